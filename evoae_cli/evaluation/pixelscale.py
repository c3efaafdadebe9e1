"""Between pixel values in the source's depth and the [-1, 1] scale that networks see. Pure functions.

`low` and `high` are, per channel, the pixel values mapped to -1 and 1; they are stored with a model.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evoae_cli.evaluation.imagefile import Depth


def to_signal(pixels: Tensor, low: Sequence[float], high: Sequence[float], *, is_clipped: bool = True) -> Tensor:
    """Pixels [..., C] of any depth (uint16 as its bits in int16) as float32 [..., C], clipped to [-1, 1] if asked."""
    if pixels.dtype == torch.int16:
        # torch has few operations for uint16, so 16-bit pixels travel as int16 with the same bits.
        signal = pixels.to(torch.int32).bitwise_and_(0xFFFF).to(torch.float32)
    else:
        signal = pixels.to(torch.float32, copy=True)
    middle, half = _middle_and_half(low, high, signal.device)
    # (x - middle) / half hits -1 and 1 exactly; x * scale + shift misses them by a rounding.
    signal = signal.sub_(middle).div_(half)
    return signal.clamp_(-1.0, 1.0) if is_clipped else signal


def to_pixels(x: Tensor, low: Sequence[float], high: Sequence[float], dtype: Depth) -> npt.NDArray[Any]:
    """Images [..., C, H, W] on [-1, 1] as pixels [..., H, W, C] in the source's depth, clipped and rounded."""
    nhwc: npt.NDArray[np.float64] = x.detach().movedim(-3, -1).to("cpu", torch.float64).clamp(-1.0, 1.0).numpy()
    lows, highs = np.asarray(low), np.asarray(high)
    values: npt.NDArray[np.float64] = nhwc * ((highs - lows) / 2) + (highs + lows) / 2
    if dtype == "float32":
        return values.astype(np.float32)
    limits = np.iinfo(dtype)
    return values.round().clip(limits.min, limits.max).astype(dtype)


def to_bytes(x: Tensor) -> npt.NDArray[np.uint8]:
    """Images [..., C, H, W] on [-1, 1] as 8-bit pixels [..., H, W, C] to look at, whatever the source's depth."""
    channels = x.shape[-3]
    return to_pixels(x, [0.0] * channels, [255.0] * channels, "uint8")


def _middle_and_half(
    low: Sequence[float], high: Sequence[float], device: torch.device
) -> tuple[Tensor | float, Tensor | float]:
    middles = [(top + bottom) / 2 for bottom, top in zip(low, high, strict=True)]
    halves = [(top - bottom) / 2 for bottom, top in zip(low, high, strict=True)]
    if len(set(middles)) == len(set(halves)) == 1:
        # One number for all channels: no small tensor to make, and none to send to a GPU at every step.
        return middles[0], halves[0]
    return torch.tensor(middles, device=device), torch.tensor(halves, device=device)
