"""Writes one array as an image file, in its own depth. What a format cannot hold is refused, never squeezed."""

import errno
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evoae_cli.applying.carried import NOTHING, TIFF, Carried, dpi_in, exif_for_jpeg, png_chunks, tiff_tags
from evoae_cli.errors import EvoaeError, ImageError
from evoae_cli.wholefile import writing_whole

Pixels = npt.NDArray[Any]

_JPEG = (".jpg", ".jpeg")
SUFFIXES = (".png", *_JPEG, ".webp", *TIFF, ".npy")
_LONGEST = {".webp": 16_383, **dict.fromkeys(_JPEG, 65_500)}
"""Pixels along a side: WEBP_MAX_DIMENSION of libwebp, and JPEG_MAX_DIMENSION of libjpeg."""


def check_suffix(path: Path) -> None:
    """Raise ImageError if the name's ending is none of `SUFFIXES`."""
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{path}: the ending {path.suffix!r} is not known; use {', '.join(SUFFIXES)}")


def check_holds(path: Path, shape: tuple[int, int, int], dtype: npt.DTypeLike) -> None:
    """Raise ImageError if the format of `path` cannot hold the depth, channels and sides of an image [H, W, C]."""
    check_suffix(path)
    suffix, depth = path.suffix.lower(), np.dtype(dtype).name
    if suffix in TIFF or suffix == ".npy":
        return
    height, width, n_channels = shape
    depths = ("uint8", "uint16") if suffix == ".png" else ("uint8",)
    if depth not in depths:
        raise ImageError(f"{path}: {suffix} cannot hold {depth} pixels; write .tif or .npy")
    if n_channels not in (1, 3):
        raise ImageError(f"{path}: {suffix} cannot hold {n_channels} channels; write .tif or .npy")
    most = _LONGEST.get(suffix)
    if most is not None and max(height, width) > most:
        raise ImageError(
            f"{path}: {suffix} cannot hold {height}x{width} pixels, a side has at most {most:,}; write .png or .tif"
        )


def holds_alpha(path: Path, pixels: Pixels) -> bool:
    """Whether the format of `path` has room for transparency beside `pixels` ([H, W, C])."""
    suffix = path.suffix.lower()
    if suffix in TIFF:
        return True
    return pixels.dtype == np.uint8 and suffix in (".png", ".webp")


def write_pixels(path: Path, pixels: Pixels, carried: Carried = NOTHING) -> None:
    """Write an image [H, W, C] whole or not at all, without loss except as JPEG, with what it carries.

    Raises ImageError if the format or the folder cannot take it, EvoaeError if the disk is full.
    """
    height, width, n_channels = pixels.shape
    check_holds(path, (height, width, n_channels), pixels.dtype)
    if carried.alpha is not None and holds_alpha(path, pixels):
        if carried.is_premultiplied and path.suffix.lower() not in TIFF:
            pixels = _divided(pixels, carried.alpha)
        pixels = np.concatenate([pixels, carried.alpha], axis=2)
    with writing(path) as aside:
        # Encoded in memory first: Pillow does not notice a disk that is full.
        suffix = path.suffix.lower()
        is_flat = pixels.shape[2] == 1 and not (suffix == ".npy" and carried.has_channel_axis)
        aside.write_bytes(_encoded(suffix, pixels[:, :, 0] if is_flat else pixels, carried))


def _divided(pixels: Pixels, alpha: Pixels) -> Pixels:
    """8-bit colours that were multiplied with `alpha` ([H, W, 1]) without it; black where nothing is seen of them."""
    values = np.zeros(pixels.shape, np.float32)
    np.divide(pixels * np.float32(255), alpha, out=values, where=alpha > 0)
    return np.rint(values).clip(0, 255).astype(np.uint8)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """The block fills the file that it is given, which then becomes `path`, whole or not at all. Folders are made.

    Raises ImageError if the folder cannot take it, EvoaeError if the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_whole(path) as aside:
            yield aside
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"cannot write {path}: {error.strerror}") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            # Longer by what it is called while it is written.
            raise ImageError(f"cannot write {path}: {error.strerror}; choose a shorter one") from None
        raise EvoaeError(f"cannot write {path} ({error.strerror or error}); make room, or write elsewhere") from error


def _encoded(suffix: str, pixels: Pixels, carried: Carried) -> bytes:
    if suffix == ".png" and pixels.dtype == np.uint16 and pixels.ndim == 3:
        return _deep_colour_png(pixels, carried)
    file = io.BytesIO()
    if suffix == ".npy":
        np.save(file, pixels, allow_pickle=False)
    elif suffix in TIFF:
        _write_tiff(file, pixels, carried)
    else:
        from PIL import Image

        kind = {".jpg": "JPEG", ".jpeg": "JPEG"}.get(suffix, suffix[1:].upper())
        options = dict(_OPTIONS.get(kind, {}))
        if carried.exif:
            options["exif"] = exif_for_jpeg(carried) if kind == "JPEG" else carried.exif
        if carried.icc:
            options["icc_profile"] = carried.icc
        if (dpi := dpi_in(kind, carried)) is not None:
            options["dpi"] = dpi
        Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def _write_tiff(file: io.BytesIO, pixels: Pixels, carried: Carried) -> None:
    import tifffile

    n_channels = pixels.shape[2] if pixels.ndim == 3 else 1
    has_alpha, dpi = carried.alpha is not None, dpi_in("TIFF", carried)
    tifffile.imwrite(
        file,
        pixels,
        photometric="rgb" if n_channels - has_alpha == 3 else "minisblack",
        planarconfig="contig" if pixels.ndim == 3 else None,
        extrasamples=[_ALPHA[carried.is_premultiplied]] if has_alpha else None,
        compression="zlib",
        iccprofile=carried.icc or None,
        resolution=dpi,
        resolutionunit="inch" if dpi else None,
        extratags=tiff_tags(carried),
    )


_OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True, "exact": True}}
_ALPHA = {True: "assocalpha", False: "unassalpha"}


def _deep_colour_png(pixels: npt.NDArray[np.uint16], carried: Carried) -> bytes:
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
        + b"".join(chunk(kind, data) for kind, data in png_chunks(carried))
        + chunk(b"IDAT", zlib.compress(lines.tobytes()))
        + chunk(b"IEND", b"")
    )
