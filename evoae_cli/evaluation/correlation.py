"""Whether the noise of images is independent from pixel to pixel, judged from the noisy images alone. Free of torch.

Independent noise is as strong in coarse detail as in fine. So is, nearly, what is left of an image where it is flat:
the squares with the least structure are taken, and their power is compared between two bands of the cosine transform
(after Ponomarenko 2017, who finds the flat squares likewise). Noise that a camera's demosaicking, a resize, a blur or
JPEG has spread over neighbouring pixels lacks the fine detail.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from evoae_cli.draws import generator, sample
from evoae_cli.evaluation.contract import Split
from evoae_cli.evaluation.imagefile import ImageFile, pixels

CORRELATED = 2.0
"""Coarse over fine power from which on noise counts as correlated. Measured on sets of 5 and 40 photographs: white
noise of standard deviation 5 to 75 (0..255) 1.0 to 1.2, of 2 up to 1.6, where the photographs show through; Poisson,
speckle and salt-pepper noise 0.9 to 1.2. Noise blurred by 0.5 pixels 2.4, by 0.7 pixels 8 to 12; demosaicked 8 to 10;
noise that went through JPEG of quality 75 to 95 above 5."""

_SIDE = 8
_N_BLOCKS = 40_000
"""About how many squares are looked at: more make the figure no steadier, but slower."""
_N_IMAGES = 200
_FLAT = 0.05
"""Share of the squares that counts as flat ..."""
_LEAST_FLAT = 50
"""... and how many they are at least; fewer give no steady figure."""
_CLIPPED = 0.02
"""Share of its values at the ends of the scale from which on a square is left out: clipped noise looks smoother."""

# The orthonormal cosine transform: row k holds frequency k.
_COSINES = np.cos(np.pi * np.outer(np.arange(_SIDE), 2 * np.arange(_SIDE) + 1) / (2 * _SIDE)) * (2 / _SIDE) ** 0.5
_COSINES[0] /= 2**0.5
_FREQUENCY = np.add.outer(np.arange(_SIDE), np.arange(_SIDE))
_STRUCTURE = (_FREQUENCY > 0) & (_FREQUENCY <= 3)
_COARSE = (_FREQUENCY >= 4) & (_FREQUENCY <= 6)
_FINE = _FREQUENCY >= 9

Array = npt.NDArray[Any]


def images_of(image_file: ImageFile, split: Split) -> Iterator[Array]:
    """Some images of a split, [H, W, C] as stored, spread over all of them."""
    flat, entries = pixels(image_file), image_file.of(split)
    for i in np.unique(np.linspace(0, len(entries) - 1, min(len(entries), _N_IMAGES)).astype(int)):
        entry = entries[i]
        shape = (entry.height, entry.width, image_file.channels)
        yield flat[entry.offset : entry.offset + np.prod(shape)].reshape(shape)


def coarse_over_fine(images: Iterable[Array]) -> float | None:
    """Power of coarse over that of fine detail in the flattest squares of noisy images, [H, W, C] each.

    About 1 where the noise is independent, several where it is not; the largest over the channels together and their
    differences, as compression blurs colour alone. None where the images have too few squares, or no noise at all.
    """
    of_all = _chosen([_squares(image) for image in images])
    if not len(of_all):
        return None
    ends = (of_all == of_all.min()) | (of_all == of_all.max())
    is_inside = ends.mean(axis=(1, 2, 3)) < _CLIPPED
    if is_inside.sum() * _FLAT >= _LEAST_FLAT:
        of_all = of_all[is_inside]
    channels = of_all.shape[-1]
    found = [_ratio(np.moveaxis(of_all, -1, 1).reshape(-1, _SIDE, _SIDE))]
    found += [_ratio(of_all[..., i] - of_all[..., i + 1]) for i in range(channels - 1)]
    known = [ratio for ratio in found if ratio is not None]
    return max(known) if known else None


def _squares(image: Array) -> Array:
    """[rows, columns, 8, 8, C]: the squares of an image, in the grid that JPEG uses. A view: nothing is copied."""
    rows, columns = (side // _SIDE for side in image.shape[:2])
    whole = image[: rows * _SIDE, : columns * _SIDE].reshape(rows, _SIDE, columns, _SIDE, image.shape[2])
    return whole.transpose(0, 2, 1, 3, 4)


def _chosen(grids: list[Array]) -> npt.NDArray[np.float64]:
    """[n, 8, 8, C]: copies of some squares of each image, in proportion to its own; of all where they are few.

    Images may be mapped and many, so what is copied must not grow with them.
    """
    counts = [grid.shape[0] * grid.shape[1] for grid in grids]
    share, rng = min(1.0, _N_BLOCKS / max(1, sum(counts))), generator(0)
    chosen = [np.empty((0, _SIDE, _SIDE, 1))]
    for grid, count in zip(grids, counts, strict=True):
        places = np.array(sorted(sample(count, math.ceil(count * share), rng)), dtype=np.int64)
        chosen.append(grid[np.unravel_index(places, grid.shape[:2])])
    return np.concatenate(chosen[1:] or chosen).astype(np.float64)


def _ratio(squares: Array) -> float | None:
    """Coarse over fine power in the flattest of [n, 8, 8]."""
    power = (_COSINES @ squares @ _COSINES.T) ** 2
    structure = power[:, _STRUCTURE].mean(axis=1)
    # A square without any structure, but for rounding, holds no noise either: it is clipped, or painted.
    has_any = structure > 1e-12 * power[:, 0, 0].mean()
    power, structure = power[has_any], structure[has_any]
    n_flat = int(_FLAT * len(structure))
    if n_flat < _LEAST_FLAT:
        return None
    flattest = power[np.argpartition(structure, n_flat)[:n_flat]].mean(axis=0)
    fine = float(flattest[_FINE].mean())
    return float(flattest[_COARSE].mean()) / fine if fine > 0 else None
