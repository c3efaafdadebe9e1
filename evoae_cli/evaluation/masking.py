"""Hidden pixels: how a network learns, and is judged, where there are only noisy images (Noise2Void, Krull 2019).

Some pixels are replaced by what stands round them, and the network's answer there is compared with the noisy pixel
itself. Noise that is independent from pixel to pixel cannot be foreseen from the others, so the best answer is the
clean pixel. All channels of a pixel are hidden together: a camera's noise is not independent between them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from evoae_cli.evaluation.contract import Split, derive_seed
from evoae_cli.evaluation.metrics import Exam

CELL = 4
"""Side of the squares of which each has one hidden pixel, 6 % of all. On photographs with noise of 25 and 12 epochs,
`5x5conv2d:32,3x3conv2d:16` reached 27.2 dB with sides of 4, 26.9 with 3 and 26.2 with 8; 27.5 with clean images."""
_RADIUS = 2
"""How far round a hidden pixel the median is taken that stands for it, in pixels (Noise2Void v2, Hoeck 2022): by the
same measure 27.2 dB with 2 and 27.1 with 1; 27.0 where a random neighbour stands for it."""
_N_HIDDEN = 50_000
"""Hidden pixels on which a network is scored: as many views of the images are taken as give so many ..."""
_MAX_VIEWS = 4
"""... but no more than these, each of which hides other pixels."""


LEAST_SIDE = 2 * _RADIUS + 1
"""Pixels: in smaller images not every pixel has others round it."""


class Hidden(NamedTuple):
    """Noisy images [n, C, H, W] on [-1, 1] in which pixels are hidden."""

    given: Tensor
    """The images as the network sees them."""
    mask: Tensor
    """[n, 1, H, W], true at the pixels that were replaced."""


def hide(noisy: Tensor, generator: torch.Generator) -> Hidden:
    """Hide one pixel of each square of 4x4, drawn from `generator`, which lives on the device of `noisy`.

    In its place stands the median of the pixels round it, channel by channel: the network cannot learn to return what
    is there, and unlike one random neighbour it brings no noise of its own. Sides are `LEAST_SIDE` at least. The result
    has the memory format of `noisy`.
    """
    n, _, height, width = noisy.shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    place = torch.randint(CELL * CELL, (n, rows, columns), generator=generator, device=noisy.device)
    return hidden_at(noisy, place)


def hidden_at(noisy: Tensor, place: Tensor) -> Hidden:
    """As `hide`, at the places [n, rows, columns] within the squares: 0 is the upper left, 15 the lower right."""
    height, width = noisy.shape[2:]
    rows, columns = place.shape[1:]
    y = torch.arange(rows, device=noisy.device)[:, None] * CELL + place // CELL
    x = torch.arange(columns, device=noisy.device) * CELL + place % CELL
    # At the lower and right edge a place may lie outside; it is cut off with its square.
    down, right = (torch.arange(side, device=noisy.device) % CELL for side in (height, width))
    mask = (_spread(place, height, width) == down[:, None] * CELL + right)[:, None]
    medians = _medians(noisy, y.clamp_max(height - 1), x.clamp_max(width - 1))
    given = torch.where(mask, _spread(medians, height, width), noisy)
    is_nhwc = noisy.is_contiguous(memory_format=torch.channels_last)
    return Hidden(given.contiguous(memory_format=torch.channels_last) if is_nhwc else given, mask)


def hidden_exam(noisy: Tensor, study_seed: int, split: Split) -> Exam:
    """The fixed views of the noisy patches of `split`: the same masks on every device and in every process."""
    n, _, height, width = noisy.shape
    n_views = min(max(1, -(-_N_HIDDEN * CELL * CELL // (n * height * width))), _MAX_VIEWS)
    generator = torch.Generator().manual_seed(derive_seed(study_seed, "hidden pixels", split))
    # Image by image, so that what is hidden does not depend on how many follow.
    views = [[hide(image, generator) for _ in range(n_views)] for image in torch.split(noisy.cpu(), 1)]
    given = torch.cat([view.given for of_image in views for view in of_image])
    masks = torch.cat([view.mask for of_image in views for view in of_image])
    return Exam(given.to(noisy.device), noisy.repeat_interleave(n_views, 0), masks.to(noisy.device))


def _medians(noisy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Median of the pixels round each place (y, x), [n, rows, columns], without its own -> [n, C, rows, columns]."""
    n, channels, height, width = noisy.shape
    side = 2 * _RADIUS + 1
    steps = [step for step in range(side * side) if step != side * side // 2]
    step = torch.tensor(steps, device=noisy.device).view(-1, 1, 1, 1)
    down, right = step // side - _RADIUS, step % side - _RADIUS
    # For what lies beyond an edge, the pixel on the other side: never the hidden one itself.
    rows, columns = y + down, x + right
    rows = torch.where((rows < 0) | (rows >= height), y - down, rows)
    columns = torch.where((columns < 0) | (columns >= width), x - right, columns)
    first = torch.arange(n, device=noisy.device).view(-1, 1, 1) * (height * width)
    pixels = noisy.permute(0, 2, 3, 1).reshape(-1, channels)
    around = pixels.index_select(0, (first + rows * width + columns).flatten()).view(len(steps), *y.shape, channels)
    middle = len(steps) // 2
    # Of an even number: the mean of the middle two.
    return around.sort(dim=0).values[middle - 1 : middle + 1].mean(0).permute(0, 3, 1, 2)


def _spread(values: Tensor, height: int, width: int) -> Tensor:
    """[..., rows, columns] -> [..., height, width]: each value over its square."""
    # By `repeat_interleave` an exported model would be one for this size.
    squares = values[..., None, :, None].expand(*(-1,) * (values.dim() - 1), CELL, -1, CELL)
    return squares.flatten(-2).flatten(-3, -2)[..., :height, :width]
