"""Files of a few test images to look at (NPZ): as they are, and what was made of them. Free of torch.

Each column is a name and its images, [n, H, W, C] of 8 bit; each may have a PSNR for every image.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from evoae_cli.wholefile import write_whole

MODEL_PICTURES = "pictures.npz"
"""In `best/`: what the winner was given and what it made of it."""
CLASSICAL_PICTURES = "classical.npz"
"""In `best/`: the same images, as the best classical method cleans them."""

_N = 4
"""Images: one row each on a page, under all strengths of a range but one."""
_MOST_SIDE = 256
"""Pixels of a side that are kept, from the middle: larger pictures would be shrunk on a page anyhow."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """Images of one kind."""

    name: str
    """`clean`, `noisy`, `output`, for manifold `reconstruction`, or the name of a classical method."""
    images: npt.NDArray[np.uint8]
    """[n, H, W, C]."""
    psnr_db: tuple[float, ...] | None = None
    """Of each image as it is shown, against the clean one; None where there is none to compare with."""


class PictureFile(msgspec.Struct, frozen=True, kw_only=True):
    """What such a file holds."""

    numbers: tuple[int, ...]
    """Which of the test images these are, from 0."""
    columns: tuple[Column, ...]


def shown_numbers(n_images: int) -> list[int]:
    """Which of `n_images` test images are shown: a few, evenly spaced."""
    return [int(number) for number in np.linspace(0, n_images - 1, min(_N, n_images))]


def middle(side: int) -> slice:
    """What is kept of a side of so many pixels."""
    begin = max(0, (side - _MOST_SIDE) // 2)
    return slice(begin, begin + min(side, _MOST_SIDE))


def write_pictures(path: Path, pictures: PictureFile) -> None:
    """Write the file whole, in a folder that is made for it. Raises OSError where it cannot."""
    arrays: dict[str, npt.NDArray[Any]] = {"numbers": np.array(pictures.numbers, dtype=np.int64)}
    arrays["names"] = np.array([column.name for column in pictures.columns], dtype=np.str_)
    for number, column in enumerate(pictures.columns):
        arrays[f"images_{number}"] = column.images
        if column.psnr_db is not None:
            arrays[f"psnr_db_{number}"] = np.array(column.psnr_db, dtype=np.float64)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # its types take the names for options
    path.parent.mkdir(exist_ok=True)
    write_whole(path, content.getvalue())


def read_pictures(path: Path) -> PictureFile | None:
    """What the file holds; None where there is none that can be read."""
    try:
        # Opened here: numpy would leave a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            columns = tuple(_column(arrays, number, str(name)) for number, name in enumerate(arrays["names"]))
            numbers = tuple(int(number) for number in arrays["numbers"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return PictureFile(numbers=numbers, columns=columns)


def _column(arrays: Mapping[str, npt.NDArray[Any]], number: int, name: str) -> Column:
    images = arrays[f"images_{number}"]
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"{name} holds no pictures")
    key = f"psnr_db_{number}"
    return Column(
        name=name,
        images=images,
        psnr_db=tuple(float(value) for value in arrays[key]) if key in arrays else None,
    )
