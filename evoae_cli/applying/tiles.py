"""An image of any size through a network, piece by piece: pieces overlap, and what they say is blended.

Along each side the weights of the pieces sum to one everywhere, so nothing is divided afterwards, and only one row of
pieces is held in floating point at a time. No torch: what happens to a piece is an argument.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tiling:
    """How an image is cut, all in pixels. `tile` is a multiple of `step`."""

    step: int
    """Sides of what the network takes, and where its pieces begin, are multiples of it."""
    tile: int
    """Side of a piece."""
    margin: int
    """What a piece sees beyond the place where its weight begins."""
    ramp: int
    """Over how much of the overlap the weight moves from one piece to the next."""

    @property
    def stride(self) -> int:
        """How far apart neighbours may begin, a multiple of the step: so far that they overlap enough."""
        return max((self.tile - 2 * self.margin - self.ramp) // self.step, 1) * self.step


def tiling_for(tile: int, step: int, reach: int) -> Tiling:
    """Pieces of about `tile` pixels for a network whose outputs depend on inputs up to `reach` pixels away.

    The margin is the reach, for then blending changes nothing, but at most an eighth of the piece: what a deep network
    reaches in theory can be larger than a piece, and the far parts hardly count. With a ramp of a sixteenth the work at
    most doubles.
    """
    tile = max(tile // step, 2) * step
    return Tiling(step, tile, margin=min(reach, tile // 8), ramp=max(tile // 16, 1))


@dataclass(frozen=True)
class Span:
    """One piece along one side: [start, stop) of the padded image, and its weight at each of these pixels."""

    start: int
    stop: int
    weight: Floats

    @property
    def begins(self) -> int:
        """The first pixel that this piece has a say in."""
        return self.start + int(np.argmax(self.weight > 0))


def spans(length: int, tiling: Tiling) -> list[Span]:
    """The pieces along a side of `length` pixels, a multiple of the step. Their weights sum to 1 at each pixel."""
    if length <= tiling.tile:
        return [Span(0, length, np.ones(length, np.float32))]
    # As few as will do, evenly spread: a last piece close behind its neighbour would meet the one before that, too.
    last = (length - tiling.tile) // tiling.step
    n_strides = -(-last * tiling.step // tiling.stride)
    starts = [number * last // n_strides * tiling.step for number in range(n_strides + 1)]
    rising = _rising(tiling)
    found = []
    for number, start in enumerate(starts):
        weight = np.ones(tiling.tile, np.float64)
        if number:
            weight = _risen(weight, rising)
        if number + 1 < len(starts):
            # What is left for the next piece, wherever it begins: so the two always sum to one.
            after = starts[number + 1] - start
            weight[after:] *= 1 - _risen(np.ones(tiling.tile), rising)[: tiling.tile - after]
        found.append(Span(start, start + tiling.tile, weight.astype(np.float32)))
    return found


def _rising(tiling: Tiling) -> npt.NDArray[np.float64]:
    """The weight at the beginning of a piece that has a neighbour: 0 over the margin, then half a cosine up to 1."""
    at = (np.arange(tiling.ramp) + 0.5) / tiling.ramp
    return np.concatenate([np.zeros(tiling.margin), (1 - np.cos(np.pi * at)) / 2])


def _risen(weight: npt.NDArray[np.float64], rising: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    risen = weight.copy()
    risen[: len(rising)] *= rising
    return risen


def padded_index(length: int, step: int) -> npt.NDArray[np.int64]:
    """Which pixels of a side make it a multiple of `step`: itself, then mirrored; as often as a short side needs."""
    return np.pad(np.arange(length), (0, -length % step), mode="reflect")


def blended_rows(
    image: Pixels, tiling: Tiling, clean: Callable[[Pixels], Floats]
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Rows of the cleaned image, from top to bottom: (number of the first row, rows [n, W, C]).

    `clean` takes pieces [h, w, C] of `image` [H, W, C] in its own units, sides being multiples of the step, and returns
    float32 of the same shape.
    """
    height, width = image.shape[:2]
    rows, columns = padded_index(height, tiling.step), padded_index(width, tiling.step)
    downward, across = spans(len(rows), tiling), spans(len(columns), tiling)
    open_rows = np.zeros((0, len(columns), image.shape[2]), np.float32)
    first = 0
    for number, down in enumerate(downward):
        # Rows that are still open begin at `first`; those that only the next pieces reach are not there yet.
        more = down.stop - first - len(open_rows)
        open_rows = np.concatenate([open_rows, np.zeros((more, *open_rows.shape[1:]), np.float32)])
        for right in across:
            piece = image[rows[down.start : down.stop, None], columns[right.start : right.stop]]
            weight = down.weight[:, None, None] * right.weight[:, None]
            told = clean(piece) * weight
            # Rows before `first` are finished; this piece has no weight there.
            cut = max(first - down.start, 0)
            open_rows[down.start + cut - first : down.stop - first, right.start : right.stop] += told[cut:]
        is_last = number + 1 == len(downward)
        done = len(rows) if is_last else downward[number + 1].begins
        ready = open_rows[: min(done, height) - first, :width]
        if len(ready):
            yield first, ready
        open_rows, first = open_rows[done - first :], done
