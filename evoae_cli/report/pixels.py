"""Writes one array as an image file, in its own depth. What a format cannot hold is refused, never squeezed."""

import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evoae_cli.errors import ImageError

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


def write_pixels(path: Path, pixels: Pixels) -> None:
    """Write an image [H, W, C] whole or not at all, without loss except as JPEG. Raises ImageError if it cannot."""
    check_holds(path, pixels)
    try:
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror}") from None
    os.close(descriptor)
    try:
        _encode(Path(aside), pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        # mkstemp makes files private; this one is as public as any other that the person writes.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(aside, 0o666 & ~umask)
        os.replace(aside, path)
    finally:
        Path(aside).unlink(missing_ok=True)


def _encode(path: Path, pixels: Pixels) -> None:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        np.save(path, pixels, allow_pickle=False)
    elif suffix in _TIFF:
        import tifffile

        is_colour = pixels.ndim == 3 and pixels.shape[2] == 3
        tifffile.imwrite(
            path,
            pixels,
            photometric="rgb" if is_colour else "minisblack",
            planarconfig="contig" if pixels.ndim == 3 else None,
            compression="zlib",
        )
    elif suffix == ".png" and pixels.dtype == np.uint16 and pixels.ndim == 3:
        path.write_bytes(_deep_colour_png(pixels))
    else:
        from PIL import Image

        quality: dict[str, Any] = {".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".webp": {"lossless": True}}
        Image.fromarray(pixels).save(path, **quality.get(suffix, {}))


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
