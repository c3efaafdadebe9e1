"""The geometric self-ensemble: an image is cleaned turned and mirrored too, and the results are averaged.

Timofte, Rothe and Van Gool 2016, "Seven ways to improve example-based single image super resolution", section 3.3: what
a network gets wrong depends on how the image lies, and partly averages out.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from evoae_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

VIEWS = (1, 2, 4, 8)
"""How many there may be: as it is; upside down; turned by right angles; and all of these mirrored."""
Clean = Callable[["Tensor"], "Tensor"]
"""[n, C, H, W] -> the same."""


def check_views(n: int) -> int:
    """`n`. Raises UsageError unless it is one of `VIEWS`."""
    if n not in VIEWS:
        raise UsageError(f"--views {n} cannot be; use 1, 2 (also upside down), 4 (turned) or 8 (turned and mirrored)")
    return n


def in_views(clean: Clean, n: int) -> Clean:
    """`clean` averaged over `n` of `VIEWS`; it takes `n` times as long."""
    turns = {1: (0,), 2: (0, 2), 4: (0, 1, 2, 3), 8: (0, 1, 2, 3)}[n]
    ways = [(turn, is_mirrored) for turn in turns for is_mirrored in ((False, True) if n == 8 else (False,))]
    if ways == [(0, False)]:
        return clean

    import torch

    def average(x: "Tensor") -> "Tensor":
        return torch.stack([_back(clean(_seen(x, *way)), *way) for way in ways]).mean(0)

    return average


def _seen(x: "Tensor", turn: int, is_mirrored: bool) -> "Tensor":
    turned = x.rot90(turn, (2, 3))
    return turned.flip(3) if is_mirrored else turned


def _back(x: "Tensor", turn: int, is_mirrored: bool) -> "Tensor":
    return (x.flip(3) if is_mirrored else x).rot90(-turn, (2, 3))
