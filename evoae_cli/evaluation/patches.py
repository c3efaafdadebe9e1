"""Where the fixed validation and test patches lie: drawn once, spread over all images, apart where there is room."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from evoae_cli.draws import draw, generator, permutation, sample

Positions = npt.NDArray[np.int64]
"""[n, 3]: number of the image, top, left."""


def n_distinct(sizes: Sequence[tuple[int, int]], patch: int) -> int:
    """How many different patches images of these (height, width) have."""
    return int(_n_positions(np.array(sizes, dtype=np.int64).reshape(-1, 2), patch).sum())


def patch_positions(sizes: Sequence[tuple[int, int]], patch: int, n: int, seed: int) -> Positions:
    """Positions of `n` patches, all different, over images of these (height, width); fewer only where no more exist.

    As many from each image as from any other, as far as they go. Patches of one image do not overlap unless all images
    together have no room for `n` that do not.
    """
    rng = generator(seed)
    shapes = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    n_apart = (shapes // patch).prod(axis=1)
    room = n_apart if n_apart.sum() >= n else _n_positions(shapes, patch)
    counts = _shared_out(n, room, rng)
    found = [
        _within(height, width, patch, int(count), rng) for (height, width), count in zip(shapes, counts, strict=True)
    ]
    numbers = np.repeat(np.arange(len(shapes)), counts)
    return np.column_stack([numbers, np.concatenate(found)]).astype(np.int64)


def _n_positions(shapes: npt.NDArray[np.int64], patch: int) -> npt.NDArray[np.int64]:
    n_positions: npt.NDArray[np.int64] = np.maximum(shapes - patch + 1, 0).prod(axis=1)
    return n_positions


def _shared_out(n: int, room: npt.NDArray[np.int64], rng: Generator) -> npt.NDArray[np.int64]:
    """Share `n` among images as evenly as their room allows; which images get one more is drawn."""
    counts = np.zeros_like(room)
    n_left = min(n, int(room.sum()))
    while n_left:
        still_open = np.flatnonzero(counts < room)
        still_open = still_open[permutation(len(still_open), rng)]
        share, n_more = divmod(n_left, len(still_open))
        wanted = np.full(len(still_open), share)
        wanted[:n_more] += 1
        given = np.minimum(wanted, (room - counts)[still_open])
        counts[still_open] += given
        n_left -= int(given.sum())
    return counts


def _within(height: int, width: int, patch: int, count: int, rng: Generator) -> npt.NDArray[np.int64]:
    """[count, 2] different (top, left) in one image: cells of a grid from a drawn origin, or any if too few."""
    n_rows, n_columns = height // patch, width // patch
    if count <= n_rows * n_columns:
        cells = np.array(sample(n_rows * n_columns, count, rng), dtype=np.int64)
        top = draw(height - n_rows * patch + 1, rng)
        left = draw(width - n_columns * patch + 1, rng)
        return np.column_stack([top + cells // n_columns * patch, left + cells % n_columns * patch])
    places = np.array(sample((height - patch + 1) * (width - patch + 1), count, rng), dtype=np.int64)
    return np.column_stack(np.divmod(places, width - patch + 1))
