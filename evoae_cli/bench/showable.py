"""Photographs that may be shown: they come with evoae's dependencies, and no study trains or chooses by them."""

from collections.abc import Sequence
from io import BytesIO

import torch
from torch import Tensor

from evoae_cli.evaluation.noise import Noise
from evoae_cli.evaluation.objective import fixed_noisy
from evoae_cli.evaluation.photographs import photograph_images
from evoae_cli.evaluation.pixelscale import to_bytes, to_signal
from evoae_cli.study.pictures import preview_png

Column = tuple[str, Tensor]
"""A caption, and images [n, 3, H, W] on [-1, 1]."""
_SIDE = 192
_NOISE_SEED = 0


def shown_crops() -> Tensor:
    """The centres of the built-in test photographs: [n, 3, 192, 192] on [-1, 1]."""
    crops = []
    for image in photograph_images():
        if image.split == "test":
            top, left = ((length - _SIDE) // 2 for length in image.pixels.shape[:2])
            crops.append(torch.from_numpy(image.pixels[top : top + _SIDE, left : left + _SIDE].copy()))
    return to_signal(torch.stack(crops), (0.0,) * 3, (255.0,) * 3).permute(0, 3, 1, 2).contiguous()


def shown_noisy(clean: Tensor, noise: Noise) -> Tensor:
    """`clean` with noise, always the same."""
    return fixed_noisy(clean, noise, _NOISE_SEED, "test")


def sheet(columns: Sequence[Column]) -> bytes:
    """The columns beside each other, a row for each photograph, as JPEG: in a PNG noise takes five times the room."""
    from PIL import Image

    png, jpeg = preview_png([(caption, to_bytes(images)) for caption, images in columns]), BytesIO()
    with Image.open(BytesIO(png)) as picture:
        picture.save(jpeg, "JPEG", quality=90)
    return jpeg.getvalue()
