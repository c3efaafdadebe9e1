"""Brings images to one size, so that their codes fit into one matrix."""

from typing import Any

import numpy as np
import numpy.typing as npt

from evoae_cli.applying.apply import as_dtype, memory_told
from evoae_cli.errors import ImageError

Pixels = npt.NDArray[Any]


def centre(pixels: Pixels, side: int) -> Pixels:
    """The `side` x `side` pixels in the middle of an image [H, W, C]. Raises ImageError for a smaller image."""
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        raise ImageError(f"{height}x{width} pixels are too few for {side}x{side}; cut out less, or scale with --size")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def scaled(pixels: Pixels, side: int) -> Pixels:
    """An image [H, W, C] scaled until its shorter side is `side`, and the middle of it: `side` x `side` pixels.

    Averaged where it gets smaller, so that fine patterns leave no false ones; the depth is kept. Raises EvoaeError if
    memory is short.
    """
    import torch
    from torch.nn.functional import interpolate

    height, width = pixels.shape[:2]
    size = [max(side, round(length * side / min(height, width))) for length in (height, width)]
    with memory_told(f"memory is short for scaling it to {size[0]}x{size[1]} pixels; use a smaller --size"):
        batch = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]  # [1, C, H, W]
        smooth = interpolate(batch, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
        return centre(as_dtype(smooth, pixels.dtype), side)
