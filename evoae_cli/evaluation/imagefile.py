"""The image file: all images of a study in one read-only, memory-mapped file, named by its SHA-256 in the cache folder.

Layout: the pixels of all images as one flat array (each image HxWxC, one after another, in the source's depth, native
byte order; of a pair HxWx2C, a pixel's noisy channels before its clean ones), then the index as JSON, then its length
(8 bytes, little-endian) and the closing mark. The index is last so that a source larger than memory can be written in
one pass; a file that was cut short lacks the mark.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.contract import Split
from evoae_cli.wholefile import sync_folder

Depth = Literal["uint8", "uint16", "float32"]
Pixels = npt.NDArray[Any]
"""One image, HxWxC, in uint8, uint16 or float32."""

SUFFIX = ".evoae-images"
_MARK = b"EVOAEIM1"
_TAIL_BYTES = 8 + len(_MARK)
"""What the fingerprint leaves out: the length of the index, and the mark."""
_PIECE_BYTES = 1 << 20


class ImageEntry(msgspec.Struct, frozen=True, array_like=True):
    """Where one image lies in the flat array, and to which split it belongs."""

    offset: int
    """Of its first element, in elements."""
    height: int
    width: int
    split: Split
    name: str


# Without its defaults, so that a file of single images has the fingerprint that it had before there were pairs.
class _Index(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    dtype: Depth
    channels: int
    """Of one image, noisy or clean."""
    low: tuple[float, ...]
    """Per channel, the pixel value mapped to -1 ..."""
    high: tuple[float, ...]
    """... and the one mapped to 1; they hold for both images of a pair."""
    images: tuple[ImageEntry, ...]
    is_paired: bool = False
    """Whether each image is a pair: noisy, and clean."""

    @property
    def stored_channels(self) -> int:
        """Values of one pixel in the flat array."""
        return self.channels * 2 if self.is_paired else self.channels


class ImageFile(_Index, frozen=True, kw_only=True):
    """The images of a study on disk."""

    path: str
    fingerprint: str
    """SHA-256 of pixels and index, in hex."""
    source: str
    """Where the images came from, for people; no part of the fingerprint."""

    def of(self, split: Split) -> tuple[ImageEntry, ...]:
        """The images of one split, in the file's order."""
        return tuple(image for image in self.images if image.split == split)

    def n_images(self, split: Split) -> int:
        """How many images a split has."""
        return sum(image.split == split for image in self.images)

    def summary(self) -> str:
        """One line for people: how many images, their split, sizes, channels and depth."""
        n_train, n_val, n_test = (self.n_images(split) for split in ("train", "val", "test"))
        sizes = sorted({(image.height, image.width) for image in self.images}, key=lambda size: size[0] * size[1])
        size = " to ".join(f"{height}x{width}" for height, width in dict.fromkeys((sizes[0], sizes[-1])))
        colour = {1: "grey", 3: "colour"}.get(self.channels, f"{self.channels} channels")
        split = f"{n_train} train, {n_val} val, {n_test} test"
        noun = "pairs" if self.is_paired else "images"
        return f"{len(self.images)} {noun} ({split}), {size}, {colour}, {self.dtype}"


class LabelledImage(NamedTuple):
    """One image with the split it belongs to, on its way into a file."""

    name: str
    split: Split
    pixels: Pixels
    """HxWxC; of a pair HxWx2xC, the noisy image and then the clean one."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """EVOAE_CACHE, or XDG_CACHE_HOME/evoae, or ~/.cache/evoae."""
    if environ.get("EVOAE_CACHE"):
        return Path(os.path.expanduser(environ["EVOAE_CACHE"]))
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "evoae"


def write_image_file(
    images: Iterable[LabelledImage],
    *,
    low: tuple[float, ...],
    high: tuple[float, ...],
    source: str,
    cache: Path,
) -> ImageFile:
    """Write images of one depth and channel count into the cache, or reuse the file that holds the same already.

    Written aside, synced and renamed, so no reader ever sees a part of it; a damaged file of that name is replaced.
    Raises ImageError when the cache folder cannot be written, ValueError for no images, mixed depths or channels, or
    pairs among single images.
    """
    with writing_to(cache), tempfile.NamedTemporaryFile(dir=cache, prefix=".", suffix=".part", delete=False) as file:
        try:
            index, fingerprint = _write(file, images, low, high)
            path = cache / f"{fingerprint}{SUFFIX}"
            if not _is_whole(path):
                file.flush()
                os.fsync(file.fileno())
                # Workers of other users of the host may read it, nobody may write it.
                os.fchmod(file.fileno(), 0o444)
                os.replace(file.name, path)
                sync_folder(cache)
        finally:
            Path(file.name).unlink(missing_ok=True)
    return _image_file(path, fingerprint, source, index)


def open_image_file(path: Path | str, source: str = "") -> ImageFile:
    """Read the index of an image file. Raises ImageError for one that is missing or damaged (seen by mark and size)."""
    path = Path(path)
    try:
        index = _read_index(path)
    except FileNotFoundError:
        raise ImageError(f"image file {path} is gone; run the search again to write it anew") from None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise ImageError(f"image file {path} is damaged ({error}); run the search again to write it anew") from error
    return _image_file(path, path.name.removesuffix(SUFFIX), source, index)


def fingerprint_of(path: Path) -> str:
    """The fingerprint of an image file, from what is in it. Raises ValueError for one that is damaged."""
    try:
        _read_index(path)
        with path.open("rb") as file:
            digest = hashlib.sha256()
            left = path.stat().st_size - _TAIL_BYTES
            while piece := file.read(min(left, _PIECE_BYTES)):
                digest.update(piece)
                left -= len(piece)
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
    return digest.hexdigest()


def pixels(image_file: ImageFile) -> npt.NDArray[Any]:
    """The flat array of all pixels, mapped, not read: its pages are shared by all processes of the host.

    Mapped copy-on-write ('c'): torch warns about read-only arrays, and so a stray write stays in its own process.
    """
    n_elements = sum(image.height * image.width for image in image_file.images) * image_file.stored_channels
    return np.memmap(image_file.path, dtype=image_file.dtype, mode="c", shape=(n_elements,))


@contextmanager
def writing_to(cache: Path) -> Iterator[None]:
    """Make the cache folder, and turn a full disk or a read-only folder into an ImageError of one line.

    What is to write nothing that stays has its cache in the folder of temporary files.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        is_temporary = cache != cache_folder() and cache.is_relative_to(tempfile.gettempdir())
        what, variable = ("temporary", "TMPDIR") if is_temporary else ("cache", "EVOAE_CACHE")
        refusal = f"cannot write to the {what} folder {cache} ({error.strerror or error})"
        raise ImageError(f"{refusal}; name another with {variable}") from error


def _write(
    file: IO[bytes], images: Iterable[LabelledImage], low: tuple[float, ...], high: tuple[float, ...]
) -> tuple[_Index, str]:
    entries: list[ImageEntry] = []
    kinds: set[tuple[str, tuple[int, ...]]] = set()
    digest = hashlib.sha256()
    offset = 0
    for name, split, image in images:
        height, width, *inner = image.shape
        kinds.add((image.dtype.name, tuple(inner)))
        block = np.ascontiguousarray(image).data
        digest.update(block)
        file.write(block)
        entries.append(ImageEntry(offset, height, width, split, name))
        offset += image.size
    if len(kinds) != 1:
        raise ValueError(f"an image file holds one depth and one channel count, not {sorted(kinds)}")
    [(dtype, (*n_each, channels))] = kinds
    if n_each not in ([], [2]):
        raise ValueError(f"an image file holds images, or pairs of them, not {n_each} of them together")
    # Validated here too, so a wrong depth or a short range never reaches the disk.
    fields = {"dtype": dtype, "channels": channels, "low": low, "high": high, "images": tuple(entries)}
    index = msgspec.convert(fields | {"is_paired": bool(n_each)}, _Index)
    if len(low) != channels or len(high) != channels:
        raise ValueError(f"{channels} channels need as many limits, not {low} and {high}")
    text = msgspec.json.encode(index)
    digest.update(text)
    file.write(text + len(text).to_bytes(8, "little") + _MARK)
    return index, digest.hexdigest()


def _read_index(path: Path) -> _Index:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 16))
        tail = file.read(16)
        if len(tail) < 16 or tail[8:] != _MARK:
            raise ValueError("its end is missing")
        n_text = int.from_bytes(tail[:8], "little")
        if n_text > size - 16:
            raise ValueError("its index is cut")
        file.seek(size - 16 - n_text)
        index = msgspec.json.decode(file.read(n_text), type=_Index)
    n_elements = sum(image.height * image.width for image in index.images) * index.stored_channels
    if n_elements * np.dtype(index.dtype).itemsize + n_text + 16 != size:
        raise ValueError(f"it has {size} bytes, which is not what its index says")
    return index


def _is_whole(path: Path) -> bool:
    try:
        _read_index(path)
    except (OSError, ValueError, msgspec.DecodeError):
        return False
    return True


def _image_file(path: Path, fingerprint: str, source: str, index: _Index) -> ImageFile:
    return ImageFile(path=str(path), fingerprint=fingerprint, source=source, **msgspec.structs.asdict(index))
