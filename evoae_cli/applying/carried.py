"""What an image file carries beside its colours, and takes along into what is made of it: EXIF, profile, alpha."""

import contextlib
import logging
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evoae_cli.evaluation.readers import is_converted

if TYPE_CHECKING:
    from PIL.Image import Exif
    from tifffile import TiffFile

Pixels = npt.NDArray[Any]

TIFF = (".tif", ".tiff")
_PREFIX = b"Exif\x00\x00"
_ORIENTATION = 274
_TEXTS = {271: "Make", 272: "Model", 306: "DateTime", 315: "Artist", 33432: "Copyright"}
"""Tags of TIFF 6.0 that EXIF took over, by number: all that is text and says where a picture comes from."""
_MOST_IN_JPEG = 65_533 - len(_PREFIX)
"""Bytes of EXIF that one segment of a JPEG file holds."""
_INCH_IN_M = 0.0254
_MOST_DPI = {
    "PNG": (2**31 - 1) * _INCH_IN_M,
    "JPEG": 2**16 - 1,
    "TIFF": 2**32 - 1,
}
"""The largest resolution, by format; other formats have no place for one."""


@dataclass(frozen=True)
class Carried:
    """What comes along unchanged."""

    exif: bytes = b""
    """An EXIF block without its prefix; it says how the stored pixels are to be turned."""
    icc: bytes = b""
    """The colour profile of the pixels."""
    dpi: tuple[float, float] | None = None
    alpha: Pixels | None = None
    """Transparency [H, W, 1], in the depth of the image."""
    is_premultiplied: bool = False
    """Whether the colours were multiplied with `alpha` (TIFF knows both)."""
    has_lost_alpha: bool = False
    """Whether the file has transparency of a kind that is left out."""
    has_channel_axis: bool = False
    """Whether the file is an array that has an axis for a single channel."""


NOTHING = Carried()


def carried_by(path: Path, pixels: Pixels) -> Carried:
    """What the readable image file `path` carries, whose stored pixels are `pixels` [H, W, C]."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return Carried(has_channel_axis=np.load(path, mmap_mode="r", allow_pickle=False).ndim == 3)
    # Of large images and odd metadata, as in `read_image`.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _of_tiff(path, pixels) if suffix in TIFF else _of_picture(path, pixels)


def _of_picture(path: Path, pixels: Pixels) -> Carried:
    from PIL import Image

    with Image.open(path) as image:
        exif = (image.info.get("exif") or b"").removeprefix(_PREFIX)
        with contextlib.suppress(Exception):  # What cannot be parsed may raise anything, and is left out.
            found = image.getexif()
            exif = exif or (found.tobytes().removeprefix(_PREFIX) if found else b"")
        has_alpha = image.mode in ("RGBA", "LA", "La", "PA") or "transparency" in image.info
        alpha = None
        if image.mode in ("RGBA", "LA") and pixels.dtype == np.uint8:
            alpha = np.asarray(image)[..., -1:]
        # The profile of CMYK is none of the RGB that was made of it.
        icc = image.info.get("icc_profile") if image.mode not in ("CMYK", "LAB") else None
        return Carried(
            exif=exif if len(_parsed(exif)) else b"",
            icc=icc or b"",
            dpi=_dpi(image.info.get("dpi")),
            alpha=alpha,
            has_lost_alpha=has_alpha and alpha is None,
        )


def _dpi(dpi: Any) -> tuple[float, float] | None:
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
        across, down = (float(value) for value in dpi)
        if across > 0 and down > 0:
            return across, down
    return None


def _of_tiff(path: Path, pixels: Pixels) -> Carried:
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        of_page = carried_by_page(page, is_stored=_is_stored(file))
        kinds = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
        alphas = [kind for kind in page.extrasamples if kind in kinds]
        alpha = None
        if len(alphas) == len(page.extrasamples) == 1:
            # What needs a decoder that is missing was read by Pillow, and loses its alpha.
            with contextlib.suppress(ValueError):
                stored = file.series[0].asarray()
                stored = np.moveaxis(stored, 0, -1) if file.series[0].axes in ("SYX", "CYX") else stored
                alpha = stored[..., -1:]
        if alpha is not None and (alpha.dtype != pixels.dtype or alpha.shape[:2] != pixels.shape[:2]):
            alpha = None
        return replace(
            of_page,
            alpha=alpha,
            is_premultiplied=alphas == [tifffile.EXTRASAMPLE.ASSOCALPHA],
            has_lost_alpha=bool(alphas) and alpha is None,
        )


def carried_by_page(page: Any, *, is_stored: bool = True) -> Carried:
    """Texts, profile, resolution and, unless its pixels are turned when read, the way up of a page of a TIFF file."""
    from PIL.Image import Exif
    from tifffile import PHOTOMETRIC

    tags = {tag.code: tag.value for tag in page.tags}
    exif = Exif()
    for code in _TEXTS:
        if isinstance(tags.get(code), str):
            exif[code] = tags[code]
    orientation = tags.get(_ORIENTATION, 1)
    if orientation in range(2, 9) and is_stored:
        exif[_ORIENTATION] = int(orientation)
    icc = tags.get(34675)
    return Carried(
        exif=exif.tobytes().removeprefix(_PREFIX) if len(exif) else b"",
        icc=bytes(icc) if icc and page.photometric not in (PHOTOMETRIC.SEPARATED, PHOTOMETRIC.CIELAB) else b"",
        dpi=_tiff_dpi(tags),
    )


def _is_stored(file: "TiffFile") -> bool:
    """Whether its pixels are read as they are stored; Pillow, which reads some kinds, turns them upright."""
    page = file.pages.first
    if is_converted(page):
        return False
    try:
        page.asarray()
    except ValueError:
        return False
    return True


def _tiff_dpi(tags: dict[int, Any]) -> tuple[float, float] | None:
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError, KeyError):
        across, down = (float(tags[code][0]) / float(tags[code][1]) for code in (282, 283))
        scale = {2: 1.0, 3: 2.54}[int(tags.get(296, 2))]
        return _dpi((across * scale, down * scale))
    return None


def turned(pixels: Pixels, carried: Carried) -> Pixels:
    """Stored pixels [H, W, C] as they are to be seen, by the orientation that is carried (TIFF 6.0, Orientation)."""
    match _parsed(carried.exif).get(_ORIENTATION, 1):
        case 2:
            return pixels[:, ::-1]
        case 3:
            return pixels[::-1, ::-1]
        case 4:
            return pixels[::-1]
        case 5:
            return pixels.swapaxes(0, 1)
        case 6:
            return np.rot90(pixels, 3)
        case 7:
            return pixels[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return np.rot90(pixels)
        case _:
            return pixels


def dpi_in(kind: str, carried: Carried) -> tuple[float, float] | None:
    """The resolution as far as the format `kind` holds one; None for what is too large for its numbers."""
    if carried.dpi is None or max(carried.dpi) > _MOST_DPI.get(kind, 0):
        return None
    return carried.dpi


def exif_for_jpeg(carried: Carried) -> bytes:
    """The block with its prefix; of one that is too long for JPEG only how to turn the picture."""
    exif = carried.exif
    if len(exif) > _MOST_IN_JPEG:
        from PIL.Image import Exif

        short = Exif()
        short[_ORIENTATION] = _parsed(exif).get(_ORIENTATION, 1)
        return short.tobytes()
    return _PREFIX + exif if exif else b""


def tiff_tags(carried: Carried) -> list[tuple[int, str, int, Any, bool]]:
    """What of the EXIF block TIFF has as tags of its own, in the form that tifffile takes."""
    exif = _parsed(carried.exif)
    # DateTime and Artist among them are written by tifffile only if asked to, so there is no second one.
    tags: list[tuple[int, str, int, Any, bool]] = [
        (code, "s", 0, str(exif[code]).encode("ascii", "replace"), True) for code in _TEXTS if exif.get(code)
    ]
    orientation = exif.get(_ORIENTATION, 1)
    if orientation in range(2, 9):
        tags.append((_ORIENTATION, "H", 1, int(orientation), True))
    return tags


def png_chunks(carried: Carried) -> list[tuple[bytes, bytes]]:
    """(kind, data) of the chunks that belong before a PNG's pixels (PNG specification, section 11.3)."""
    chunks = []
    if carried.icc:
        chunks.append((b"iCCP", b"ICC profile\x00\x00" + zlib.compress(carried.icc)))
    if (dpi := dpi_in("PNG", carried)) is not None:
        per_metre = [round(value / _INCH_IN_M) for value in dpi]
        chunks.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if carried.exif:
        chunks.append((b"eXIf", carried.exif))
    return chunks


def _parsed(exif: bytes) -> "Exif":
    from PIL.Image import Exif

    parsed = Exif()
    with contextlib.suppress(Exception):  # A damaged block may raise anything; then nothing is known of the picture.
        parsed.load(_PREFIX + exif)
        dict(parsed)
        return parsed
    return Exif()
