"""Writes a stack plane by plane, in any order: a TIFF or NPY file is laid out first, then its planes are filled in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evoae_cli.applying.carried import TIFF, tiff_tags
from evoae_cli.applying.pixels import writing
from evoae_cli.applying.stacks import Place, Stack
from evoae_cli.errors import ImageError

Pixels = npt.NDArray[Any]

_CLASSIC = 2**32 - 2**25
"""Bytes that a TIFF with offsets of 32 bits holds, with room for its directories."""
_ORDER = "TZCYXS"


@contextmanager
def writing_stack(path: Path, like: Stack) -> Iterator[Callable[[Place, Pixels], None]]:
    """Within the block, takes planes [H, W, C] of `like` by their place; at its end they are the file `path`.

    Axes, shape, depth, spacing and resolution are those of `like`; planes lie uncompressed, one after another. Whole or
    not at all. Raises ImageError if the format or the folder cannot take it, EvoaeError if the disk is full.
    """
    check_holds_stack(path, like)
    with writing(path) as aside:
        offset = _lay_out_npy(aside, like) if path.suffix.lower() == ".npy" else _lay_out_tiff(aside, like)
        with aside.open("rb+") as file:

            def put(place: Place, plane: Pixels) -> None:
                # By writing, not through a mapping, which would end the process where the disk is full.
                for first, values in _runs(like, place, plane.astype(like.dtype, copy=False)):
                    file.seek(offset + first * like.dtype.itemsize)
                    file.write(np.ascontiguousarray(values).tobytes())

            yield put


def check_holds_stack(path: Path, stack: Stack) -> None:
    """Raise ImageError unless `path` may hold a stack with the axes of `stack`."""
    if path.suffix.lower() not in (".npy", *TIFF):
        raise ImageError(f"{path}: {path.suffix} cannot hold a stack (axes {stack.axes}); write .tif or .npy")


def kind_of(axes: str, kind: str, n_bytes: int) -> str:
    """As what a stack is written, `ome`, `imagej` or `plain`, that was `kind`: some hold not all axes or sizes."""
    is_ordered = list(axes) == sorted(axes, key=_ORDER.find) and set(axes) <= set(_ORDER)
    if kind == "imagej" and (not is_ordered or n_bytes > _CLASSIC):
        kind = "ome"
    if kind == "ome" and not (set(axes) <= set(_ORDER) and axes.removesuffix("S").endswith("YX")):
        return "plain"
    return kind


def _runs(stack: Stack, place: Place, plane: Pixels) -> Iterator[tuple[int, Pixels]]:
    """(number of the first value in the file, values in a row) that make up a plane."""
    strides = [int(np.prod(stack.shape[axis + 1 :])) for axis in range(len(stack.shape))]
    first = sum(
        number * stride
        for number, stride in zip(stack.index(place), strides, strict=True)
        if not isinstance(number, slice)
    )
    channels = stack.channel_axis
    if channels is None or channels > stack.axes.index("X"):
        yield first, plane
    else:
        yield from ((first + c * strides[channels], plane[:, :, c]) for c in range(plane.shape[2]))


def _lay_out_npy(path: Path, stack: Stack) -> int:
    """Write the head, and return where the values begin."""
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(stack.dtype), "fortran_order": False, "shape": stack.shape}
        np.lib.format.write_array_header_1_0(file, header)
        return file.tell()


def _lay_out_tiff(path: Path, stack: Stack) -> int:
    """Write all but the values, and return where they begin."""
    import tifffile

    about = stack.description
    n_bytes = int(np.prod(stack.shape)) * stack.dtype.itemsize
    kind = kind_of(stack.axes, about.kind, n_bytes)
    metadata = _renamed(about.metadata, about.kind, kind, about.unit) | {"axes": stack.axes}
    is_rgb = stack.axes[-1] == "S" and stack.shape[-1] in (3, 4)
    tifffile.imwrite(
        path,
        shape=stack.shape,
        dtype=stack.dtype,
        photometric="rgb" if is_rgb else "minisblack",
        planarconfig="contig" if is_rgb else None,
        bigtiff=n_bytes > _CLASSIC,
        ome=kind == "ome",
        imagej=kind == "imagej",
        metadata=metadata,
        resolution=about.resolution,
        resolutionunit=about.unit,
        iccprofile=about.carried.icc or None,
        extratags=tiff_tags(about.carried),
    )
    with tifffile.TiffFile(path) as file:
        [series] = file.series
        if series.dataoffset is None:
            raise ImageError(f"{path} cannot be written with axes {stack.axes}; write .npy")
        return series.dataoffset


def _renamed(metadata: dict[str, Any], old: str, new: str, unit: int | None) -> dict[str, Any]:
    """What is known of a stack by the names of the format that it is written in."""
    if old == new or old == "plain":
        return dict(metadata)
    if old == "imagej" and new == "ome" and "spacing" in metadata:
        return {"PhysicalSizeZ": metadata["spacing"], "PhysicalSizeZUnit": _micro(metadata.get("unit", "pixel"))}
    return {}


def _micro(unit: str) -> str:
    """ImageJ's ways to write a micrometre as OME writes it."""
    return "µm" if unit in ("um", "micron", "microns", "\\u00B5m", "µm") else unit
