"""The file of codes: an NPZ of plain arrays, which scikit-learn takes as they are and a model turns back into images.

| array | what it is |
|---|---|
| `codes` | [n, d], one row per image: its code, flattened. Only where all codes have one shape |
| `shape` | [3]: channels, height and width of each code, so that d is their product |
| `code_0`, `code_1`, ... | [c, h, w], one per image: in place of `codes` and `shape`, where images differ in size |
| `names` | [n], text: of each image |
| `sizes` | [n, 2]: height and width of each image |
| `channels` | [n]: of each image |
| `depths` | [n], text: `uint8`, `uint16` or `float32` |
| `model` | text: the SHA-256 of the weights of the model that made the codes |
| `scale`, `offset` | [c]: only with fewer bits: a code is the stored number * scale + offset of its channel |
"""

import io
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from evoae_cli.errors import UsageError

Code = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

FULL_BITS = 32
_DEPTHS = ("uint8", "uint16", "float32")


@dataclass(frozen=True)
class CodedImage:
    """One image as its code, and what it was."""

    name: str
    """Where it lay: a relative path with `/`."""
    code: Code
    """[c, h, w]"""
    shape: tuple[int, int, int]
    """Of the image, [H, W, C]."""
    depth: str


@dataclass(frozen=True)
class CodeFile:
    """What a file of codes says."""

    images: Sequence[CodedImage]
    model: str
    """Fingerprint of the weights."""


def have_one_shape(images: Sequence[CodedImage]) -> bool:
    """Whether the codes fit into one matrix."""
    return len({image.code.shape for image in images}) == 1


def to_npz(file: CodeFile, bits: int = FULL_BITS) -> bytes:
    """What `write_npz` writes."""
    stream = io.BytesIO()
    write_npz(stream, file, bits)
    return stream.getvalue()


def write_npz(stream: IO[bytes], file: CodeFile, bits: int = FULL_BITS) -> None:
    """Write the file. With fewer than 32 `bits` (1 to 16) each channel's values become that many levels.

    The levels lie evenly between the channel's least and greatest value in all images; they are stored as whole
    numbers of 8 or 16 bits, and compressed without further loss. Beside the codes memory is taken for one of them only.
    """
    images = file.images
    arrays: dict[str, Array] = {
        "names": np.array([image.name for image in images]),
        "sizes": np.array([image.shape[:2] for image in images], np.int64),
        "channels": np.array([image.shape[2] for image in images], np.int64),
        "depths": np.array([image.depth for image in images]),
        "model": np.array(file.model),
    }
    codes: Iterator[Array] = (image.code for image in images)
    if bits < FULL_BITS:
        scale, offset = _levels(images, bits)
        codes = (_quantised(image.code, scale, offset, bits) for image in images)
        arrays |= {"scale": scale, "offset": offset}
    is_matrix = have_one_shape(images)
    if is_matrix:
        arrays["shape"] = np.array(images[0].code.shape, np.int64)
    # 32-bit codes hardly shrink (by a tenth), and take long to try.
    compression = zipfile.ZIP_STORED if bits == FULL_BITS else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(stream, "w", compression) as npz:
        for name, array in arrays.items():
            _write_entry(npz, name, array.shape, [array])
        if is_matrix:
            _write_entry(npz, "codes", (len(images), images[0].code.size), codes)
        else:
            for number, code in enumerate(codes):
                _write_entry(npz, f"code_{number}", code.shape, [code])


def _write_entry(npz: zipfile.ZipFile, name: str, shape: tuple[int, ...], parts: Iterable[Array]) -> None:
    """Write one array of `shape`, whose values are those of `parts`, one after another."""
    # Its size is not known beforehand, and may be above 2 GB.
    with npz.open(f"{name}.npy", "w", force_zip64=True) as entry:
        for number, part in enumerate(parts):
            if number == 0:
                descr = np.lib.format.dtype_to_descr(part.dtype)
                np.lib.format.write_array_header_1_0(entry, {"descr": descr, "fortran_order": False, "shape": shape})
            entry.write(part.tobytes())


def read_codes(path: Path) -> CodeFile:
    """Read what `to_npz` made, quantised codes as the numbers that they stand for.

    Raises UsageError for what is no such file.
    """
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise UsageError(f"{path} is no NPZ file, or damaged; {_REMEDY}")
            file.seek(0)
            # Opened here: of a damaged file numpy leaves open what it opened itself.
            with np.load(file, allow_pickle=False) as npz:
                return _checked({name: npz[name] for name in npz.files})
    except _Refused as reason:
        raise UsageError(f"{path} {reason}; {_REMEDY}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError, NotImplementedError) as error:
        raise UsageError(f"{path} is damaged, or no file of codes; {_REMEDY}") from error


_REMEDY = "make one: evoae encode MODEL INPUT -o CODES.npz"
_PLAIN = {"names": "U", "sizes": "iu", "channels": "iu", "depths": "U", "model": "U"}
"""The kinds of numpy types of what every file holds."""


class _Refused(Exception):  # noqa: N818  (caught in this module)
    """What is wrong with the arrays, to be said after the path."""


def _require(is_so: bool, what: str) -> None:
    if not is_so:
        raise _Refused(what)


def _checked(arrays: dict[str, Array]) -> CodeFile:
    for name in _PLAIN:
        _require(name in arrays, f"lacks the array {name!r}")
    n = arrays["names"].size
    expected = {"names": (n,), "sizes": (n, 2), "channels": (n,), "depths": (n,), "model": ()}
    for name, shape in expected.items():
        is_good = arrays[name].shape == shape and arrays[name].dtype.kind in _PLAIN[name]
        _require(is_good, f"has an odd array {name!r}")
    names, depths = arrays["names"].tolist(), arrays["depths"].tolist()
    _require(n > 0, "holds no image")
    _require(len(set(names)) == n, "names an image twice")
    for name in names:
        _require(_is_safe(name), f"holds {name!r}, which is no name below a folder")
    _require(set(depths) <= set(_DEPTHS), f"has depths other than {', '.join(_DEPTHS)}")
    _require(arrays["sizes"].min() > 0 and arrays["channels"].min() > 0, "has images without pixels")
    codes = _dequantised(_codes_in(arrays, n), arrays)
    for name, code in zip(names, codes, strict=True):
        _require(bool(np.isfinite(code).all()), f"has NaN or infinite values in the code of {name}")
    shapes = np.column_stack([arrays["sizes"], arrays["channels"]]).tolist()
    images = [
        CodedImage(name, code, tuple(shape), depth)
        for name, code, shape, depth in zip(names, codes, shapes, depths, strict=True)
    ]
    return CodeFile(images, str(arrays["model"]))


def _codes_in(arrays: dict[str, Array], n: int) -> list[Array]:
    """The codes of `n` images, each [c, h, w], as they are stored."""
    if "code_0" in arrays and "codes" not in arrays:
        for number in range(n):
            _require(f"code_{number}" in arrays, f"lacks the array 'code_{number}'")
        codes = [arrays[f"code_{number}"] for number in range(n)]
        _require(all(code.ndim == 3 and code.size for code in codes), "has codes that are not [c, h, w]")
    else:
        for name in ("codes", "shape"):
            _require(name in arrays, f"lacks the array {name!r}")
        matrix, shape = arrays["codes"], arrays["shape"]
        fits = (
            shape.shape == (3,)
            and shape.dtype.kind in "iu"
            and shape.min() > 0
            and matrix.shape == (n, math.prod(shape.tolist()))
        )
        _require(fits, "has 'codes' that are not [n, d] for its 'names' and 'shape'")
        codes = list(matrix.reshape(n, *shape.tolist()))
    for code in codes:
        _require(code.dtype.kind in "fui", f"has codes of type {code.dtype}, which are no real numbers")
    return codes


def _dequantised(codes: list[Array], arrays: dict[str, Array]) -> list[Code]:
    if all(code.dtype.kind == "f" for code in codes):
        return [code.astype(np.float32) for code in codes]
    n_channels = max(code.shape[0] for code in codes)
    for name in ("scale", "offset"):
        _require(name in arrays, f"lacks the array {name!r}")
        is_good = arrays[name].shape == (n_channels,) and arrays[name].dtype.kind == "f"
        _require(is_good, f"has an odd array {name!r}")
    scale, offset = arrays["scale"], arrays["offset"]
    return [(code * _per_channel(scale, code) + _per_channel(offset, code)).astype(np.float32) for code in codes]


def _levels(images: Sequence[CodedImage], bits: int) -> tuple[Array, Array]:
    """Scale and offset [c] float32; grey and colour images through a grey model differ in c, the largest counts."""
    n_channels = max(image.code.shape[0] for image in images)
    low, high = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
    for image in images:
        n = image.code.shape[0]
        low[:n] = np.minimum(low[:n], image.code.min(axis=(1, 2)))
        high[:n] = np.maximum(high[:n], image.code.max(axis=(1, 2)))
    return ((high - low) / (2**bits - 1)).astype(np.float32), low.astype(np.float32)


def _quantised(code: Code, scale: Array, offset: Array, bits: int) -> Array:
    widths = _per_channel(np.where(scale > 0, scale, 1), code)
    levels = np.rint((code - _per_channel(offset, code)) / widths).clip(0, 2**bits - 1)
    return levels.astype(np.uint8 if bits <= 8 else np.uint16)


def _per_channel(values: Array, code: Array) -> Array:
    return values[: code.shape[0], None, None]


def _is_safe(name: str) -> bool:
    """Whether a name leads to a file below the folder that it is put into, wherever it comes from."""
    path = PurePosixPath(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name
