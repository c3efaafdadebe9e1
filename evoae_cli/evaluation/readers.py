"""Reads one image file of any supported format into HxWxC pixels, in the file's own depth."""

import logging
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evoae_cli.errors import ImageError, first_line
from evoae_cli.evaluation.imagefile import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".npy"})
"""What is taken for an image, compared in lower case."""

MAX_CHANNELS = 8
MAX_PIXELS = 178_956_970
"""Height x width: Pillow's own limit, beyond which it refuses a file as a decompression bomb; used for all formats."""


class UnreadableImageError(ImageError):
    """A file that holds no image which evoae can use; `reason` says why, without the path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}")
        self.reason = reason


class _RefusedError(Exception):
    """The file was understood, but is not what is wanted."""


def read_image(path: Path, *, is_upright: bool = True) -> Pixels:
    """Pixels of `path`, HxWxC with 1 to 8 channels, as uint8, uint16 or float32.

    EXIF orientation is applied, unless the pixels are wanted as they are stored (`is_upright=False`); that of TIFF
    only, and then always, where Pillow reads it (`is_converted`, some compressions). Alpha is dropped, palettes, CMYK,
    CIELAB and YCbCr become RGB, 1 bit becomes 0 and 255. Floats of any width become float32, as do integers other than
    8 and 16 bit unsigned. Animations are refused, as stacks are. Raises UnreadableImageError.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _RefusedError("no file that holds anything, but a pipe or a device")
        if status.st_size == 0:
            raise _RefusedError("the file is empty")
        # Decoders warn about odd metadata; what matters is whether pixels come out.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return as_pixels(_decode(path, is_upright))
    except _RefusedError as error:
        raise UnreadableImageError(path, str(error)) from None
    except MemoryError as error:
        raise UnreadableImageError(path, "it does not fit in memory") from error
    except PermissionError as error:
        raise UnreadableImageError(path, "permission denied") from error
    except FileNotFoundError as error:
        raise UnreadableImageError(path, "a link to nothing" if path.is_symlink() else "it is not there") from error
    except Exception as error:  # A damaged file can make a decoder raise anything.
        raise UnreadableImageError(path, first_line(error)) from error


def _decode(path: Path, is_upright: bool) -> npt.NDArray[Any]:
    match path.suffix.lower():
        case ".npy":
            return _read_npy(path)
        case ".tif" | ".tiff":
            return _read_tiff(path)
        case ".png" if _is_deep_colour_png(path):
            return _read_deep_png(path, is_upright)
        case _:
            return _read_pillow(path, is_upright)


def _read_npy(path: Path) -> npt.NDArray[Any]:
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise _RefusedError("no NPY file, or damaged")
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > MAX_CHANNELS):
        raise _RefusedError(f"shape {array.shape} is not HxW, or HxWxC with at most {MAX_CHANNELS} channels")
    _check_size(*array.shape[:2])
    return array


def _read_tiff(path: Path) -> npt.NDArray[Any]:
    import tifffile

    # Otherwise its remarks on odd tags would be printed through the screen.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    with tifffile.TiffFile(path) as file:
        series, page = file.series[0], file.pages.first
        axes = series.axes
        sizes = dict(zip(axes, series.shape, strict=True))
        if axes not in ("YX", "YXS", "YXC", "SYX", "CYX"):
            n_planes = int(np.prod([size for axis, size in sizes.items() if axis not in "YXSC"]))
            raise _RefusedError(f"a stack of {n_planes} images (axes {axes}); save each as a file of its own")
        n_channels = sizes.get("S", sizes.get("C", 1))
        if n_channels > MAX_CHANNELS:
            raise _RefusedError(f"{n_channels} channels; at most {MAX_CHANNELS} are possible")
        _check_size(sizes["Y"], sizes["X"])
        if is_converted(page):
            return _read_converted(path, page)
        try:
            array = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            return read_compressed_tiff(path, tifffile.COMPRESSION(page.compression).name)
        if axes in ("SYX", "CYX"):
            array = np.moveaxis(array, 0, -1)
        alpha = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
        n_alpha = sum(kind in alpha for kind in page.extrasamples)
        return array[..., :-n_alpha] if n_alpha else array


def is_converted(page: Any) -> bool:
    """Whether what a page of a TIFF file stores is one of `CONVERTED`, and must be made grey or RGB."""
    from tifffile import COMPRESSION, PHOTOMETRIC

    # Decoders of JPEG make RGB of YCbCr.
    is_made = page.photometric == PHOTOMETRIC.YCBCR and page.compression in (COMPRESSION.OJPEG, COMPRESSION.JPEG)
    return page.photometric in CONVERTED and not is_made


def _read_converted(path: Path, page: Any) -> npt.NDArray[Any]:
    from tifffile import PHOTOMETRIC

    if page.photometric in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.PALETTE):
        return _read_pillow(path)
    colours = CONVERTED[page.photometric]
    if page.bitspersample != 8:
        # Pillow would quietly cut them to 8 bits.
        raise _RefusedError(f"{colours} of {page.bitspersample} bits; save it as RGB")
    if page.extrasamples:
        raise _RefusedError(f"{colours} with alpha or other channels; save it as RGB")
    try:
        return _read_pillow(path)
    except (_RefusedError, OSError, ValueError) as error:
        raise _RefusedError(f"{colours} that cannot be decoded ({first_line(error)}); save it as RGB") from error


CONVERTED = {0: "inverted greys", 3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB"}
"""What is neither grey, with 0 for black, nor RGB, by TIFF's numbers (PhotometricInterpretation)."""


def read_compressed_tiff(path: Path, compression: str, page: int = 0) -> npt.NDArray[Any]:
    """One page, [H, W] or [H, W, C], by Pillow.

    It brings decoders for 8-bit and grey TIFF that tifffile leaves to a package of its own. Raises an error, with the
    remedy, where it has none either.
    """
    try:
        return _read_pillow(path, page=page)
    except OSError:
        raise _RefusedError(
            f"its {compression} compression needs the package imagecodecs; install it, or save the file uncompressed"
        ) from None


def _is_deep_colour_png(path: Path) -> bool:
    """Whether a PNG has 16 bits and more than one channel: Pillow would quietly cut those to 8 bits."""
    with path.open("rb") as file:
        head = file.read(26)
    return len(head) == 26 and head[12:16] == b"IHDR" and head[24] == 16 and head[25] != 0


def _read_deep_png(path: Path, is_upright: bool) -> npt.NDArray[Any]:
    """Read the high byte of each value, as Pillow does, then the low one, as if the file were little-endian.

    (torchvision decodes 16 bits in one go, but a damaged file makes it end the process.)
    """
    high = _read_pillow(path, is_upright)
    with _open_pillow(path) as image:
        [tile] = image.tile
        if tile.args not in ("RGB;16B", "RGBA;16B"):
            raise _RefusedError("16-bit grey with alpha; save it without alpha")
        image.tile = [tile._replace(args=tile.args.removesuffix("B") + "L")]
        low = np.asarray(_upright(image) if is_upright else image)[..., :3]
    pixels: Pixels = high.astype(np.uint16) << 8 | low
    return pixels


def _open_pillow(path: Path) -> "ImageFile":
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(path, formats=("PNG", "JPEG", "WEBP", "TIFF"))
    except Image.DecompressionBombError:
        raise _RefusedError(_TOO_LARGE) from None
    except UnidentifiedImageError:
        raise _RefusedError("not an image of the kind its name says, or damaged") from None
    _check_size(image.height, image.width)
    # Pillow maps a file whose name it knows, and then scrambles TIFF that is to be turned by a right angle.
    image.filename = ""
    return image


def _upright(image: "Image") -> "Image":
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _read_pillow(path: Path, is_upright: bool = True, page: int = 0) -> npt.NDArray[Any]:
    with _open_pillow(path) as opened:
        # JPEG of several images is a photograph with its preview, or the other eye's view; of TIFF the page is chosen.
        n_images = getattr(opened, "n_frames", 1) if opened.format in ("PNG", "WEBP") else 1
        if n_images > 1:
            raise _RefusedError(f"an animation of {n_images} images; save each as a file of its own")
        if page:
            opened.seek(page)
        image = _upright(opened) if is_upright else opened
        if image.mode == "1":
            image = image.convert("L")
        if image.mode == "I" and opened.format == "PNG":
            # Older releases of Pillow open 16-bit grey PNG in 32 bits.
            return np.asarray(image).astype(np.uint16)
        if image.mode in ("LA", "La", "RGBA"):
            pixels = np.asarray(image)[..., :-1]
            return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        if image.mode not in ("L", "RGB", "F", "I") and not image.mode.startswith("I;16"):
            image = image.convert("RGB")
        return np.asarray(image)


_TOO_LARGE = f"more than {MAX_PIXELS // 10**6} million pixels; cut it into smaller images"


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise _RefusedError(_TOO_LARGE)


def as_pixels(array: npt.NDArray[Any]) -> Pixels:
    """HxW or HxWxC of any number type, as HxWxC in one of the three depths. Raises an error for other numbers."""
    if array.ndim == 2:
        array = array[..., None]
    if array.size == 0:
        raise _RefusedError("it has no pixels")
    kind = array.dtype.kind
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "u" and array.dtype.itemsize <= 2:
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if kind not in "uif":
        raise _RefusedError(f"its pixels are {array.dtype.name}, which are no real numbers")
    with np.errstate(over="ignore"):
        pixels = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(pixels).all():
        raise _RefusedError("it holds pixels that are NaN or infinite")
    return pixels
