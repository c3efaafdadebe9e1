"""What a source of images gives, and the spool that its images pass through, one at a time, into an image file."""

import math
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from evoae_cli.evaluation.contract import Split
from evoae_cli.evaluation.imagefile import LabelledImage, Pixels, writing_to

_NOUNS = {3: "image", 4: "pair"}
"""By the dimensions of the pixels."""


class SourceImage(NamedTuple):
    """One image as a source gives it; `split` is None where the source leaves the split open."""

    name: str
    split: Split | None
    pixels: Pixels
    """HxWxC; of a pair HxWx2xC, the noisy image and then the clean one."""

    @property
    def noun(self) -> str:
        """What it is, for people: an image, or a pair."""
        return _NOUNS[self.pixels.ndim]


class Draft(NamedTuple):
    """What the spool knows of an image without reading it again."""

    name: str
    split: Split | None
    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    """Smallest pixel value per channel, of a pair in its clean image."""
    high: tuple[float, ...]
    """Largest one."""
    position: int
    """In the spool, in bytes."""
    digest: bytes
    """`digest_of` its pixels, of a pair those of its clean image: images with the same one are copies."""

    @property
    def noun(self) -> str:
        """What it is, for people: an image, or a pair."""
        return _NOUNS[len(self.shape)]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.shape[-1]


def digest_of(pixels: Pixels) -> bytes:
    """The same for images that are equal in every pixel, and in shape and depth."""
    digest = blake2b(f"{pixels.shape} {pixels.dtype.name}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


class Spool:
    """An unnamed file in the cache folder: which depth and how many channels a study has is known after the last image.

    Decoding everything twice would be slow, and keeping it would need as much memory as the source. Being unnamed, it
    vanishes with the process.
    """

    def __init__(self, cache: Path) -> None:
        with writing_to(cache):
            self._file = tempfile.TemporaryFile(dir=cache)  # noqa: SIM115  (closed by __exit__)
        self._cache = cache
        self.drafts: list[Draft] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, image: SourceImage) -> None:
        """Take an image in. Raises ImageError when the disk is full."""
        data = np.ascontiguousarray(image.pixels)
        clean = data[:, :, 1] if data.ndim == 4 else data
        low = tuple(float(value) for value in clean.min(axis=(0, 1)))
        high = tuple(float(value) for value in clean.max(axis=(0, 1)))
        with writing_to(self._cache):
            position = self._file.tell()
            self._file.write(data.data)
        self.drafts.append(
            Draft(image.name, image.split, data.shape, data.dtype.name, low, high, position, digest_of(clean))
        )

    def images(self, splits: Iterable[Split], channels: int) -> Iterator[LabelledImage]:
        """All images in order, each with its split; a single channel is repeated to make `channels`."""
        for draft, split in zip(self.drafts, splits, strict=True):
            self._file.seek(draft.position)
            dtype = np.dtype(draft.dtype)
            data = self._file.read(math.prod(draft.shape) * dtype.itemsize)
            image: Pixels = np.frombuffer(data, dtype).reshape(draft.shape)
            yield LabelledImage(draft.name, split, np.broadcast_to(image, (*draft.shape[:-1], channels)))
