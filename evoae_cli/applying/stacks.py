"""Stacks: TIFF and NPY arrays of more than one plane, read plane by plane, by the letters of their axes.

The letters are those of OME-TIFF and ImageJ: T time, Z depth, C channel, Y and X the plane, S samples of one pixel (the
colours of RGB); others, as Q for what is unknown, are planes as T and Z are.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evoae_cli.applying.carried import NOTHING, TIFF, Carried, carried_by_page
from evoae_cli.errors import ImageError, UsageError, first_line
from evoae_cli.evaluation.readers import (
    CONVERTED,
    MAX_CHANNELS,
    MAX_PIXELS,
    UnreadableImageError,
    as_pixels,
    is_converted,
    read_compressed_tiff,
)

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

Pixels = npt.NDArray[Any]
Place = tuple[int, ...]
_FLAT = ("YX", "YXS", "YXC", "SYX", "CYX")


@dataclass(frozen=True)
class Description:
    """What a TIFF file says of its stack beside the pixels."""

    kind: str = "plain"
    """`ome`, `imagej` or `plain`."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Spacing, units, names, as tifffile takes them."""
    resolution: tuple[Any, Any] | None = None
    unit: int | None = None
    """Of the resolution: TIFF's ResolutionUnit."""
    carried: Carried = NOTHING
    """How to turn its planes, their colour profile, and whose they are."""


@dataclass(frozen=True)
class Stack:
    """An array on disk, of which one plane at a time is in memory."""

    path: Path
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """Of the planes as they are read: uint8, uint16 or float32."""
    fetch: Callable[[tuple[Any, ...]], Pixels]
    """What an index over all axes picks out, with whole Y and X."""
    description: Description
    has_grey_channels: bool = False
    """Whether C counts planes, as T and Z do, each of them grey."""

    @property
    def channel_axis(self) -> int | None:
        """Where the channels of a plane are: S, or C if there is no S and it does not count planes."""
        for letter in "S" if self.has_grey_channels else "SC":
            if letter in self.axes:
                return self.axes.index(letter)
        return None

    @property
    def n_channels(self) -> int:
        """Channels of each plane."""
        return 1 if self.channel_axis is None else self.shape[self.channel_axis]

    @property
    def plane_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of each plane."""
        return self.shape[self.axes.index("Y")], self.shape[self.axes.index("X")], self.n_channels

    def places(self) -> list[Place]:
        """The indices of all planes over the axes that are neither Y, X nor channels, in the order of the file."""
        return list(np.ndindex(*(self.shape[axis] for axis in self._planes())))

    def by_channel(self) -> "Stack":
        """The same with each channel of C as a grey plane of its own."""
        return replace(self, has_grey_channels=True)

    def index(self, place: Place) -> tuple[Any, ...]:
        """The index of one plane over all axes."""
        index: list[Any] = [slice(None)] * len(self.axes)
        for axis, number in zip(self._planes(), place, strict=True):
            index[axis] = number
        return tuple(index)

    def read(self, place: Place) -> Pixels:
        """One plane, [H, W, C]. Raises UnreadableImageError."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                plane = np.asarray(self.fetch(self.index(place)))
            if self.channel_axis is not None and self.channel_axis < self.axes.index("Y"):
                plane = np.moveaxis(plane, 0, -1)
            return as_pixels(plane)
        except MemoryError as error:
            raise UnreadableImageError(self.path, "it does not fit in memory") from error
        except Exception as error:  # A damaged file can make a decoder raise anything.
            raise UnreadableImageError(self.path, first_line(error)) from error

    def _planes(self) -> list[int]:
        return [axis for axis, letter in enumerate(self.axes) if letter not in "YX" and axis != self.channel_axis]


def check_axes(axes: str) -> str:
    """The letters of `--axes` in upper case. Raises UsageError for letters that describe no stack."""
    letters = axes.upper()
    has_planes = _has_planes(letters)
    if not letters.isascii() or not letters.isalpha() or len(set(letters)) < len(letters) or not has_planes:
        raise UsageError(
            f"--axes {axes!r} is not understood; write one letter per axis, Y and X last, as TZCYX or ZYXS"
        )
    return letters


def _has_planes(axes: str) -> bool:
    """Whether Y and X are the last axes; channels may stand before or after them, not between them."""
    rest = axes.replace("S", "") if "S" in axes else axes.replace("C", "")
    return rest.endswith("YX") and "YX" in axes


@contextmanager
def open_stack(path: Path, axes: str | None = None) -> Iterator[Stack | None]:
    """Within the block the stack in `path`; None if it is one plain image, which needs no letters.

    `axes` says what its axes are, if the file does not, or wrongly. Raises ImageError where the letters do not fit it,
    an NPY of more than three dimensions has none, or it holds several arrays; UnreadableImageError where it is damaged.
    """
    with ExitStack() as until_closed:
        yield _opened(path, axes, until_closed)


def _opened(path: Path, axes: str | None, until_closed: ExitStack) -> Stack | None:
    suffix = path.suffix.lower()
    if suffix not in (".npy", *TIFF):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _open_npy(path, axes) if suffix == ".npy" else _open_tiff(path, axes, until_closed)
    except ImageError:
        raise
    except Exception as error:  # A damaged file can make a decoder raise anything.
        raise UnreadableImageError(path, first_line(error)) from error


def _open_npy(path: Path, axes: str | None) -> Stack | None:
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            # The reader of images says what is wrong with it.
            return None
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if axes is None and (array.ndim < 3 or (array.ndim == 3 and array.shape[2] <= MAX_CHANNELS)):
        return None
    if axes is None:
        raise ImageError(f"{path} has shape {array.shape}; say what its axes are, as --axes {'TZCYX'[-array.ndim :]}")
    return _stack(path, axes, array.shape, array.dtype, array.__getitem__, Description())


def _open_tiff(path: Path, axes: str | None, until_closed: ExitStack) -> Stack | None:
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    file = until_closed.enter_context(tifffile.TiffFile(path))
    # What is marked as reduced is a preview of another.
    series = [one for one in file.series if not one.keyframe.is_reduced] or file.series[:1]
    if len(series) > 1:
        shapes = ", ".join("x".join(map(str, one.shape)) for one in series[:3])
        raise ImageError(f"{path} holds {len(series)} images beside each other ({shapes}); save each as a file")
    one = series[0]
    description = _description(file)
    if axes is None and one.axes in _FLAT and description.kind == "plain":
        return None
    if is_converted(one.keyframe):
        if axes is None and one.axes in _FLAT:
            return None
        colours = CONVERTED[one.keyframe.photometric]
        raise ImageError(f"{path} is a stack of {colours}; save it as plain grey or RGB")
    return _stack(path, axes or one.axes, one.shape, one.dtype, _planes_of(path, one), description)


def _stack(
    path: Path,
    axes: str,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    fetch: Callable[[tuple[Any, ...]], Pixels],
    description: Description,
) -> Stack:
    if len(axes) != len(shape):
        raise ImageError(f"{path} has {len(shape)} axes (shape {tuple(shape)}), --axes {axes} names {len(axes)}")
    if not {"Y", "X"} <= set(axes):
        raise ImageError(f"{path} has axes {axes}, among which there is no plane; say what they are, as --axes TZCYX")
    if not _has_planes(axes):
        raise ImageError(
            f"{path} has axes {axes}, in which Y and X are not last; save it with them last, as ZYX, or say what its "
            "axes are, as --axes ZYX"
        )
    if 0 in shape:
        raise ImageError(f"{path} has shape {tuple(shape)}, which holds no pixels")
    # The depth in which such values are read.
    depth = as_pixels(np.zeros((1, 1), dtype)).dtype
    stack = Stack(path, axes, tuple(shape), depth, fetch, description)
    if (n_pixels := shape[axes.index("Y")] * shape[axes.index("X")]) > MAX_PIXELS:
        raise ImageError(f"{path} has planes of {n_pixels // 10**6} million pixels; cut it into smaller ones")
    if stack.n_channels > MAX_CHANNELS:
        # No model has so many.
        stack = stack.by_channel()
    if stack.n_channels > MAX_CHANNELS:
        raise ImageError(f"{path} has {stack.n_channels} channels (axes {axes}); at most {MAX_CHANNELS} are possible")
    return stack


def _planes_of(path: Path, series: "TiffPageSeries") -> Callable[[tuple[Any, ...]], Pixels]:
    """Reads planes of a series: mapped where it lies in the file in one piece, else page by page."""
    if series.dataoffset is not None and series.keyframe.is_memmappable:
        dtype = np.dtype(series.dtype).newbyteorder(series.keyframe.parent.byteorder)
        shape = tuple(series.shape)
        return np.memmap(path, dtype=dtype, mode="r", offset=series.dataoffset, shape=shape).__getitem__
    page_axes = series.keyframe.axes
    leading = tuple(series.shape[: len(series.shape) - len(page_axes)])
    if not series.axes.endswith(page_axes) or len(series.pages) != int(np.prod(leading)):
        raise ImageError(f"{path} keeps its planes in a way that is not understood; save it uncompressed")
    numbers = np.arange(len(series.pages)).reshape(leading)

    def fetch(index: tuple[Any, ...]) -> Pixels:
        chosen = numbers[index[: len(leading)]]
        pages = np.stack([_page(path, series.pages[number]) for number in np.ravel(chosen).tolist()])
        return np.asarray(pages.reshape(*chosen.shape, *pages.shape[1:])[(..., *index[len(leading) :])])

    return fetch


def _page(path: Path, page: Any) -> Pixels:
    """The pixels of one page, by whoever can decode them."""
    try:
        return np.asarray(page.asarray())
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
    name = page.compression.name
    found = read_compressed_tiff(path, name, page.index)
    if found.shape != page.shape:
        raise ValueError(f"its {name} compression needs the package imagecodecs; install it, or save it uncompressed")
    return found


def _description(file: "TiffFile") -> Description:
    page = file.pages.first
    resolution = tuple(page.tags[name].value if name in page.tags else None for name in ("XResolution", "YResolution"))
    unit = page.tags["ResolutionUnit"].value if "ResolutionUnit" in page.tags else None
    known = (resolution[0], resolution[1]) if None not in resolution else None
    carried = carried_by_page(page)
    if file.is_ome and file.ome_metadata:
        return Description("ome", dict(_ome(file.ome_metadata)), known, unit, carried)
    if file.is_imagej and file.imagej_metadata:
        counted = ("ImageJ", "images", "channels", "slices", "frames", "hyperstack")
        kept = {name: value for name, value in file.imagej_metadata.items() if name not in counted}
        return Description("imagej", kept, known, unit, carried)
    return Description("plain", {}, known, unit, carried)


_OME_TEXTS = ("PhysicalSizeXUnit", "PhysicalSizeYUnit", "PhysicalSizeZUnit", "TimeIncrementUnit")
_OME_NUMBERS = ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "TimeIncrement")


def _ome(text: str) -> Iterator[tuple[str, Any]]:
    """Spacing, time step and names from OME-XML, by the names under which tifffile writes them."""
    from xml.etree import ElementTree

    root = ElementTree.fromstring(text)
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    image = root.find(f"{space}Image")
    pixels = None if image is None else image.find(f"{space}Pixels")
    if image is None or pixels is None:
        return
    if image.get("Name"):
        yield "Name", image.get("Name")
    for name in _OME_NUMBERS:
        if name in pixels.attrib:
            yield name, float(pixels.attrib[name])
    yield from ((name, pixels.attrib[name]) for name in _OME_TEXTS if name in pixels.attrib)
    names = [channel.get("Name") for channel in pixels.findall(f"{space}Channel")]
    if names and all(names):
        yield "Channel", {"Name": names}
