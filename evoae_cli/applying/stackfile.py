"""Writes a stack plane by plane, in any order: a TIFF or NPY file is laid out first, then its planes are filled in."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from evoae_cli.applying.carried import TIFF, tiff_tags
from evoae_cli.applying.pixels import writing
from evoae_cli.applying.stacks import Description, Place, Stack
from evoae_cli.errors import ImageError, first_line

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
                for first, step, values in _runs(like, place, plane.astype(like.dtype, copy=False)):
                    _put(file, offset + first * like.dtype.itemsize, step, values)

            yield put


def _put(file: BinaryIO, at: int, step: int, values: Pixels) -> None:
    """Write values from `at` on, as every `step`-th of the file; what lies between them stays."""
    flat = np.ravel(values)
    if step > 1:
        joined = np.zeros((len(flat) - 1) * step + 1, flat.dtype)
        file.seek(at)
        # Fewer where the file is not as long yet.
        there = np.frombuffer(file.read(joined.nbytes), flat.dtype)
        joined[: len(there)] = there
        joined[::step] = flat
        flat = joined
    file.seek(at)
    file.write(flat.tobytes())


def check_holds_stack(path: Path, stack: Stack) -> None:
    """Raise ImageError unless `path` may hold a stack with the axes of `stack`."""
    if path.suffix.lower() not in (".npy", *TIFF):
        raise ImageError(f"{path}: {path.suffix} cannot hold a stack (axes {stack.axes}); write .tif or .npy")


def kind_of(axes: str, shape: tuple[int, ...], dtype: np.dtype[Any], kind: str) -> str:
    """As what a stack of `kind` is written, `ome`, `imagej` or `plain`: some hold not all axes, sizes or depths."""
    is_ordered = list(axes) == sorted(axes, key=_ORDER.find) and set(axes) <= set(_ORDER)
    is_small = math.prod(shape) * dtype.itemsize <= _CLASSIC
    n_samples = shape[axes.index("S")] if "S" in axes else None
    has_good_samples = n_samples is None or (n_samples in (3, 4) and dtype == np.uint8)
    if kind == "imagej" and not (is_ordered and is_small and has_good_samples):
        kind = "ome"
    # OME keeps samples right beside the plane, and no axis for a single one.
    has_planes = axes.endswith("YX" if n_samples is None else ("YXS", "SYX")) and n_samples != 1
    if kind == "ome" and not (set(axes) <= set(_ORDER) and has_planes):
        return "plain"
    return kind


def _runs(stack: Stack, place: Place, plane: Pixels) -> Iterator[tuple[int, int, Pixels]]:
    """(number of the first value in the file, how far apart they lie, values) that make up a plane."""
    strides = [int(np.prod(stack.shape[axis + 1 :])) for axis in range(len(stack.shape))]
    first = sum(
        number * stride
        for number, stride in zip(stack.index(place), strides, strict=True)
        if not isinstance(number, slice)
    )
    channels = stack.channel_axis
    if channels is None or channels > stack.axes.index("X"):
        step = 1 if channels is not None else strides[stack.axes.index("X")]
        yield first, step, plane
    else:
        yield from ((first + c * strides[channels], 1, plane[:, :, c]) for c in range(plane.shape[2]))


def _lay_out_npy(path: Path, stack: Stack) -> int:
    """Write the head, and return where the values begin."""
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(stack.dtype), "fortran_order": False, "shape": stack.shape}
        np.lib.format.write_array_header_1_0(file, header)
        return file.tell()


def _lay_out_tiff(path: Path, stack: Stack) -> int:
    """Write all but the values, and return where they begin. Raises ImageError for what TIFF cannot hold."""
    try:
        offset = _written_tiff(path, stack)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # For what a format cannot hold tifffile raises errors of several kinds.
        raise ImageError(
            f"{stack.path} cannot be written as TIFF with axes {stack.axes} ({first_line(error)}); write .npy"
        ) from error
    if offset is None:
        raise ImageError(f"{stack.path} cannot be written as TIFF with axes {stack.axes}; write .npy")
    return offset


def _written_tiff(path: Path, stack: Stack) -> int | None:
    """Where the values begin; None if they do not lie one after another."""
    import tifffile

    about = stack.description
    n_bytes = math.prod(stack.shape) * stack.dtype.itemsize
    kind = kind_of(stack.axes, stack.shape, stack.dtype, about.kind)
    n_samples, layout = _samples(stack)
    tifffile.imwrite(
        path,
        shape=stack.shape,
        dtype=stack.dtype,
        photometric="rgb" if n_samples in (3, 4) else "minisblack",
        planarconfig=layout,
        bigtiff=n_bytes > _CLASSIC,
        ome=kind == "ome",
        imagej=kind == "imagej",
        metadata=_metadata(stack, kind),
        resolution=about.resolution,
        resolutionunit=about.unit,
        iccprofile=about.carried.icc or None,
        extratags=tiff_tags(about.carried),
    )
    with tifffile.TiffFile(path) as file:
        [series] = file.series
        return series.dataoffset


def _samples(stack: Stack) -> tuple[int, str | None]:
    """How many samples each pixel has, and how TIFF calls the way they lie: beside each other, or plane by plane."""
    layouts = {"YXS": "contig", "SYX": "separate"}
    n_samples = stack.shape[stack.axes.index("S")] if stack.axes[-3:] in layouts else 1
    return n_samples, layouts[stack.axes[-3:]] if n_samples > 1 else None


def _metadata(stack: Stack, kind: str) -> dict[str, Any]:
    """Axes and what is known of a stack, by the names of the format that it is written in."""
    about = stack.description
    if about.kind == kind:
        known = dict(about.metadata)
    else:
        known = _as_ome(about) if (about.kind, kind) == ("imagej", "ome") else {}
    n_channels = stack.shape[stack.axes.index("C")] if "C" in stack.axes else 1
    if "Channel" in known and len(known["Channel"]["Name"]) != n_channels:
        # Letters of one's own make other channels than those that have these names.
        del known["Channel"]
    return known | {"axes": stack.axes}


def _as_ome(about: Description) -> dict[str, Any]:
    """What ImageJ says of spacing and time step, by the names of OME."""
    known: dict[str, Any] = {}
    unit = _micro(about.metadata.get("unit", "pixel"))
    if "spacing" in about.metadata:
        known |= {"PhysicalSizeZ": about.metadata["spacing"], "PhysicalSizeZUnit": unit}
    if "unit" in about.metadata and about.resolution is not None:
        # ImageJ keeps the pixels in a unit, as a fraction.
        for name, (count, of) in zip("XY", about.resolution, strict=True):
            if count > 0:
                known |= {f"PhysicalSize{name}": of / count, f"PhysicalSize{name}Unit": unit}
    if "finterval" in about.metadata and about.metadata.get("tunit", "sec") in ("sec", "s"):
        known |= {"TimeIncrement": about.metadata["finterval"], "TimeIncrementUnit": "s"}
    return known


def _micro(unit: str) -> str:
    """ImageJ's ways to write a micrometre as OME writes it."""
    return "µm" if unit in ("um", "micron", "microns", "\\u00B5m", "µm") else unit
