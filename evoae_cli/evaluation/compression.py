"""What a small code is compared with: principal components of blocks, and JPEG. Images are [n, C, H, W] on [-1, 1]."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from evoae_cli.evaluation.components import Components
from evoae_cli.evaluation.metrics import psnr_by_image
from evoae_cli.evaluation.pixelscale import to_bytes, to_signal

BLOCK = 8
_QUALITIES = range(1, 96)
"""Pillow's documentation advises against higher ones, which only make the file larger."""
_SUBSAMPLINGS = ("4:4:4", "4:2:0")


@dataclass(frozen=True)
class BlockPCA:
    """Principal components of blocks of `BLOCK` x `BLOCK` pixels with all their channels."""

    components: Components
    """Of blocks of `BLOCK` x `BLOCK` pixels."""

    def encode(self, images: Tensor) -> Tensor:
        """[n, C, H, W] -> codes [n, k, H/BLOCK, W/BLOCK]; both sides are multiples of BLOCK."""
        columns = torch.nn.functional.unfold(images, BLOCK, stride=BLOCK)  # [n, C * BLOCK**2, blocks]
        codes = self._directions @ (columns - self._mean)  # [n, k, blocks]
        return codes.reshape(*codes.shape[:2], images.shape[2] // BLOCK, images.shape[3] // BLOCK)

    def decode(self, codes: Tensor) -> Tensor:
        """[n, k, h, w] -> [n, C, BLOCK * h, BLOCK * w]."""
        height, width = (BLOCK * side for side in codes.shape[2:])
        columns = self._directions.T @ codes.flatten(2) + self._mean  # [n, C * BLOCK**2, blocks]
        return torch.nn.functional.fold(columns, (height, width), BLOCK, stride=BLOCK)

    @property
    def _mean(self) -> Tensor:
        return self.components.mean.flatten()[:, None]  # [C * BLOCK**2, 1]

    @property
    def _directions(self) -> Tensor:
        return self.components.directions.flatten(1)  # [k, C * BLOCK**2]


class NoJpegError(Exception):
    """An image is in no JPEG as small as was asked for."""


class Jpegs(NamedTuple):
    """What came of JPEG."""

    images: Tensor
    """[n, C, H, W] on [-1, 1]."""
    n_bytes: float
    """Of an image, on average."""
    image_s: float
    """Median seconds to encode and decode an image in the way that was chosen for it."""


def jpeg(images: Tensor, n_bytes: float) -> Jpegs:
    """Each image as the best JPEG of at most `n_bytes`.

    All qualities of Pillow are tried, with and without subsampled colour, with Huffman tables made for the image; the
    one with the highest PSNR is taken. Headers count, as they do in a file of codes.

    Raises NoJpegError where an image does not fit at any quality.
    """
    coded = [_best_jpeg(image, pixels, n_bytes) for image, pixels in zip(images, to_bytes(images), strict=True)]
    return Jpegs(
        torch.stack([one.image for one in coded]),
        sum(one.size for one in coded) / len(coded),
        median(one.seconds for one in coded),
    )


class _Jpeg(NamedTuple):
    psnr_db: float
    image: Tensor
    size: int
    seconds: float


def _best_jpeg(image: Tensor, pixels: npt.NDArray[np.uint8], n_bytes: float) -> _Jpeg:
    source = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    fitting: list[_Jpeg] = []
    for subsampling in _SUBSAMPLINGS:
        for quality in _QUALITIES:
            begun, stream = time.perf_counter(), io.BytesIO()
            source.save(stream, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
            size = stream.tell()
            if size > n_bytes:
                # A higher quality is hardly ever smaller.
                break
            back = _signal(np.asarray(Image.open(stream)), image.shape)
            seconds = time.perf_counter() - begun
            fitting.append(_Jpeg(float(psnr_by_image(back[None], image[None])[0]), back, size, seconds))
    if not fitting:
        raise NoJpegError(
            f"no JPEG of {n_bytes:.0f} bytes holds an image of {pixels.shape[1]}x{pixels.shape[0]} pixels"
        )
    return max(fitting, key=lambda one: one.psnr_db)


def _signal(pixels: npt.NDArray[np.uint8], shape: Sequence[int]) -> Tensor:
    n_channels, height, width = shape
    signal = to_signal(torch.from_numpy(pixels.reshape(height, width, n_channels).copy()), [0.0], [255.0])
    return signal.permute(2, 0, 1)
