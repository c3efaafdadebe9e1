"""Writes one array as an image file, in its own depth. What a format cannot hold is refused, never squeezed."""

import errno
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evoae_cli.errors import EvoaeError, ImageError
from evoae_cli.wholefile import write_whole

Pixels = npt.NDArray[Any]

_TIFF = (".tif", ".tiff")
_JPEG = (".jpg", ".jpeg")
SUFFIXES = (".png", *_JPEG, ".webp", *_TIFF, ".npy")


def check_suffix(path: Path) -> None:
    """Raise ImageError if the name's ending is none of `SUFFIXES`."""
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{path}: the ending {path.suffix!r} is not known; use {', '.join(SUFFIXES)}")


def check_holds(path: Path, pixels: Pixels) -> None:
    """Raise ImageError if the format of `path` cannot hold the depth and channels of `pixels` ([H, W, C])."""
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix in _TIFF or suffix == ".npy":
        return
    depths = ("uint8", "uint16") if suffix == ".png" else ("uint8",)
    if pixels.dtype.name not in depths:
        raise ImageError(f"{path}: {suffix} cannot hold {pixels.dtype.name} pixels; write .tif or .npy")
    if pixels.shape[2] not in (1, 3):
        raise ImageError(f"{path}: {suffix} cannot hold {pixels.shape[2]} channels; write .tif or .npy")


def has_alpha(path: Path) -> bool:
    """Whether a readable image file has transparency, which reading leaves out."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return False
    if suffix in _TIFF:
        import tifffile

        alpha = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
        with tifffile.TiffFile(path) as tiff:
            return any(kind in alpha for kind in tiff.pages.first.extrasamples)
    from PIL import Image

    with Image.open(path) as image:
        return image.mode in ("RGBA", "LA", "La", "PA") or "transparency" in image.info


def write_pixels(path: Path, pixels: Pixels) -> None:
    """Write an image [H, W, C] whole or not at all, without loss except as JPEG.

    Raises ImageError if the format or the folder cannot take it, EvoaeError if the disk is full.
    """
    check_holds(path, pixels)
    try:
        # Encoded in memory first: Pillow does not notice a disk that is full.
        write_whole(path, _encoded(path.suffix.lower(), pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"cannot write {path}: {error.strerror}") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            # Longer by what it is called while it is written.
            raise ImageError(f"cannot write {path}: {error.strerror}; choose a shorter one") from None
        raise EvoaeError(f"cannot write {path} ({error.strerror or error}); make room, or write elsewhere") from error


def _encoded(suffix: str, pixels: Pixels) -> bytes:
    if suffix == ".png" and pixels.dtype == np.uint16 and pixels.ndim == 3:
        return _deep_colour_png(pixels)
    file = io.BytesIO()
    if suffix == ".npy":
        np.save(file, pixels, allow_pickle=False)
    elif suffix in _TIFF:
        import tifffile

        is_colour = pixels.ndim == 3 and pixels.shape[2] == 3
        tifffile.imwrite(
            file,
            pixels,
            photometric="rgb" if is_colour else "minisblack",
            planarconfig="contig" if pixels.ndim == 3 else None,
            compression="zlib",
        )
    else:
        from PIL import Image

        kind = {".jpg": "JPEG", ".jpeg": "JPEG"}.get(suffix, suffix[1:].upper())
        quality: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
        Image.fromarray(pixels).save(file, kind, **quality.get(kind, {}))
    return file.getvalue()


def _deep_colour_png(pixels: npt.NDArray[np.uint16]) -> bytes:
    """[H, W, 3] as PNG with 16 bits per channel, which Pillow cannot write (PNG specification, sections 5 and 11)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    big_endian = pixels.astype(">u2")
    # Each row says which filter it uses: 1, the difference to the pixel on its left, packs photographs well.
    rows = big_endian.view(np.uint8).reshape(height, width * 6)
    filtered = rows.copy()
    filtered[:, 6:] -= rows[:, :-6]
    lines = np.concatenate([np.ones((height, 1), np.uint8), filtered], axis=1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(lines.tobytes()))
        + chunk(b"IEND", b"")
    )
