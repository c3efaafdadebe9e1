"""Wrong use of images: to search with, and to denoise."""

import io
import pickle
import struct
import zlib

import numpy as np
from wrong_use_kit import Kit, Prepare, case, cut, file, folder, link, mode, picture, pictures, pixels, several, study

SEARCH = "search denoise -q --data images --patch 32 --crop 32"
PAIRS = "search denoise -q --pairs noisy clean --patch 32 --crop 32"
DENOISE = "denoise mine in.{} -o out.{} -q"


def _png_bomb(width: int, height: int) -> bytes:
    """A few bytes that claim to be `width` x `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _tiff_bomb(width: int, height: int) -> bytes:
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    entries += [(278, 4, height), (279, 4, 16)]
    # The entries begin after the head, at 24, where 16 bytes of pixels lie before them.
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in entries)
    return b"II*\x00" + struct.pack("<I", 24) + bytes(16) + directory + bytes(4)


def _npy(array: "np.typing.NDArray[np.generic]") -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _to_denoise(name: str, content: bytes) -> Prepare:
    return several(study, file(name, content))


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("a data set ran code",)


def _cifar10(kit: Kit) -> None:
    place = "sets/cifar-10-batches-py"
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        file(f"{place}/{name}", pickle.dumps(_Code()))(kit)


_PNG_BOMB, _TIFF_BOMB = _png_bomb(10**6, 10**6), _tiff_bomb(10**6, 10**6)
_OBJECTS = _npy(np.array([[{"a": 1}, None]], dtype=object))
_NAN = _npy(np.full((40, 40), np.nan))
_ODD_NPY = b"\x93NUMPY\x01\x00\x40\x00{'descr': '<f8', 'fortran_order': False, 'shape': (-5, 99999)}\n"

BLACK = several(*(picture(f"images/{number}.png", pixels(40 + number) * 0) for number in range(9)))
CASES = (
    # Sources of images.
    case("images nowhere", "search denoise --data nowhere", "'nowhere'", "no such folder", is_process=True),
    case("images nowhere in a dry run", "search denoise --data nowhere --dry-run", "no such folder"),
    case("a misspelt data set", "search denoise --data photograph", "did you mean photographs?"),
    case("no name of images", "search denoise --data ''", "--data", "empty"),
    case("a name no system takes", f"search denoise --data {'x' * 5000}", "--data", "no such folder"),
    case("images in the home of nobody", "search denoise --data ~nobody-here/x", "~nobody-here/x", "no such folder"),
    case("an image for a folder", "search denoise --data a.png", "a.png is a file", prepare=file("a.png", b"x")),
    case("an empty folder", "search denoise --data images", "holds no files", prepare=folder("images")),
    case(
        "a folder without images",
        "search denoise --data images",
        "1 .txt file",
        "convert",
        prepare=file("images/a.txt", "text"),
    ),
    case(
        "a folder that may not be listed",
        "search denoise --data images",
        "images",
        "permissions",
        prepare=several(file("images/a.png", b"x"), mode("images", 0)),
        is_unprivileged=True,
    ),
    case("a data set that is not there", "search denoise --data stl10 --data-root sets", "stl10", "--download"),
    case(
        "a file for the folder of data sets",
        "search denoise --data stl10 --data-root sets",
        "stl10",
        "--data-root",
        prepare=file("sets", "text"),
    ),
    case(
        "half a data set",
        "search denoise -q --data stl10 --data-root sets",
        "stl10",
        "--download",
        prepare=file("sets/stl10_binary/train_X.bin", bytes(100)),
    ),
    case(
        "a data set of garbage",
        "search denoise -q --data stl10 --data-root sets",
        "stl10",
        "damaged",
        prepare=several(*(file(f"sets/stl10_binary/{a}_{b}.bin", bytes(100)) for a in ("train", "test") for b in "Xy")),
    ),
    case(
        "a data set with code in it",
        "search denoise -q --data cifar10 --data-root sets",
        "print",
        "do not trust",
        prepare=_cifar10,
    ),
    # Images to search with.
    case("empty files", SEARCH, "none of the 1 image", "empty", prepare=file("images/a.png")),
    case("text named image", SEARCH, "a.png", "not an image", prepare=file("images/a.png", "text")),
    case("cut files", SEARCH, "0.png", prepare=several(pictures("images", 1, pixels()), cut("images/0.png", 0.5))),
    case("a PNG bomb", SEARCH, "a.png", "million pixels", prepare=file("images/a.png", _PNG_BOMB)),
    case("a TIFF bomb", SEARCH, "a.tif", "million pixels", prepare=file("images/a.tif", _TIFF_BOMB)),
    case("an array of objects", SEARCH, "a.npy", "bject", prepare=file("images/a.npy", _OBJECTS)),
    case("an array of four dimensions", SEARCH, "a.npy", "HxW", prepare=picture("images/a.npy", np.ones((2, 3, 4, 5)))),
    case("an array of no rows", SEARCH, "a.npy", "no pixels", prepare=picture("images/a.npy", np.ones((0, 40)))),
    case("an array of NaN", SEARCH, "a.npy", "NaN", prepare=file("images/a.npy", _NAN)),
    case(
        "an array of complex numbers", SEARCH, "a.npy", "complex", prepare=picture("images/a.npy", np.ones((9, 9)) * 1j)
    ),
    case("an array of negative size", SEARCH, "a.npy", prepare=file("images/a.npy", _ODD_NPY)),
    case("a stack of images", SEARCH, "a.tif", "stack", prepare=picture("images/a.tif", np.ones((5, 40, 40, 40)))),
    case("links to nothing", SEARCH, "a.png", prepare=several(folder("images"), link("images/a.png", "gone"))),
    case("two images", SEARCH, "2 usable images", "at least 3", prepare=pictures("images", 2, pixels())),
    case("small images", SEARCH, "--patch 32", "16x16", "--patch 16", prepare=pictures("images", 9, pixels(16, 16))),
    case("tiny images", SEARCH, "--patch 32", "use larger", prepare=pictures("images", 9, pixels(3, 3))),
    case("images of one value", SEARCH, "equal", "nothing to learn", prepare=BLACK),
    case(
        "a range that holds no pixel",
        f"{SEARCH} --range 5000 6000",
        "--range 5000 6000",
        "values from 0 to 255",
        prepare=pictures("images", 9, pixels()),
    ),
    case(
        "mixed depths",
        SEARCH,
        "uint8",
        "uint16",
        "one depth",
        prepare=several(pictures("images", 9, pixels()), picture("images/deep.png", pixels().astype(np.uint16))),
    ),
    case(
        "mixed channels",
        SEARCH,
        "channels",
        "grey and colour",
        prepare=several(pictures("images", 9, pixels()), picture("images/two.npy", pixels(channels=2))),
    ),
    case(
        "a split without images",
        SEARCH,
        "test of images has no usable image",
        prepare=several(
            pictures("images/train", 9, pixels()), pictures("images/val", 9, pixels()), folder("images/test")
        ),
    ),
    case(
        "images that may not be read",
        SEARCH,
        "0.png",
        "permission denied",
        prepare=several(pictures("images", 1, pixels()), mode("images/0.png", 0)),
        is_unprivileged=True,
    ),
    # Pairs to search with.
    case("pairs nowhere", PAIRS, "'noisy' is no folder", "two folders", is_process=True),
    case("pairs nowhere in a dry run", f"{PAIRS} --dry-run", "'noisy' is no folder"),
    case("an image for a folder of pairs", PAIRS, "'noisy' is a file", prepare=file("noisy", b"x")),
    case("one folder for both", "search denoise --pairs a ./a", "one folder twice", prepare=folder("a")),
    case(
        "clean images of which there are none",
        PAIRS,
        "clean holds no files",
        prepare=several(pictures("noisy", 3, pixels()), folder("clean")),
    ),
    case(
        "pairs of other names",
        PAIRS,
        "0.png and a.png",
        "alike",
        prepare=several(pictures("noisy", 3, pixels()), picture("clean/a.png", pixels())),
    ),
    case(
        "two partners for one image",
        PAIRS,
        "0.png and 0.tif in clean",
        "keep one",
        prepare=several(
            pictures("noisy", 3, pixels()), pictures("clean", 3, pixels()), picture("clean/0.tif", pixels())
        ),
    ),
    case(
        "pairs of other sizes",
        PAIRS,
        "0 (noisy 40x40, clean 40x41)",
        "same height, width",
        prepare=several(pictures("noisy", 1, pixels()), pictures("clean", 1, pixels(40, 41))),
    ),
    case(
        "pairs without noise",
        PAIRS,
        "no noise to remove",
        prepare=several(pictures("noisy", 3, pixels()), pictures("clean", 3, pixels())),
    ),
    case(
        "two pairs",
        PAIRS,
        "2 usable pairs",
        "at least 3",
        prepare=several(pictures("noisy", 2, pixels()), pictures("clean", 2, 255 - pixels())),
    ),
    # An image to denoise.
    case("no image", "denoise mine in.png -o out.png", "in.png does not exist", is_process=True),
    case("a folder without an image", "denoise mine in -o out", "in holds no image", prepare=folder("in")),
    case("an image of unknown kind", "denoise mine in.gif -o a.png", "'.gif'", ".png", prepare=file("in.gif", b"x")),
    case("an output of unknown kind", "denoise mine in.png -o a.gif", "'.gif'", ".png", prepare=file("in.png", b"x")),
    case(
        "two images for one file",
        "denoise mine a.png b.png -o out.png --force",
        "out.png is a file",
        prepare=several(picture("a.png", pixels()), picture("b.png", pixels()), file("out.png", "mine")),
    ),
    case(
        "two images of one name",
        "denoise mine one two -o out",
        "one/a.png and two/a.png",
        "out/a.png",
        prepare=several(picture("one/a.png", pixels()), picture("two/a.png", pixels())),
    ),
    case(
        "results that exist",
        "denoise mine in -o out",
        "out/0.png exists (and 1 more)",
        "--force",
        prepare=several(pictures("in", 2, pixels()), file("out/0.png", "mine"), file("out/1.png", "mine")),
    ),
    case(
        "results over their inputs",
        "denoise mine in -o in --force",
        "in/0.png",
        "the input",
        prepare=pictures("in", 2, pixels()),
    ),
    case(
        "one missing image of two",
        "denoise mine in.png gone.png -o out",
        "gone.png does not exist",
        prepare=picture("in.png", pixels()),
    ),
    case(
        "a stack without its axes",
        DENOISE.format("npy", "npy"),
        "shape (2, 2, 40, 40)",
        "--axes ZCYX",
        prepare=several(study, picture("in.npy", np.ones((2, 2, 40, 40), np.uint8))),
    ),
    case(
        "a stack with too few axes",
        f"{DENOISE.format('npy', 'npy')} --axes TYX",
        "has 4 axes",
        "--axes TYX",
        prepare=several(study, picture("in.npy", np.ones((2, 2, 40, 40), np.uint8))),
    ),
    case(
        "axes without a plane",
        f"{DENOISE.format('npy', 'npy')} --axes TZX",
        "--axes 'TZX'",
        "TZCYX",
        prepare=picture("in.npy", np.ones((2, 2, 40), np.uint8)),
    ),
    case(
        "a stack for a picture",
        DENOISE.format("tif", "png"),
        "cannot hold a stack",
        ".tif or .npy",
        prepare=several(study, picture("in.tif", np.ones((5, 40, 40), np.uint8))),
    ),
    case(
        "noise to add of another kind",
        f"{DENOISE.format('png', 'png')} --add-noise lots",
        "--add-noise 'lots'",
        "gaussian:25",
        prepare=picture("in.png", pixels()),
    ),
    case("a piece of no number", f"{DENOISE.format('png', 'png')} --tile abc", "--tile 'abc'", "whole number", "as 5"),
    case("noise of no seed", "denoise mine in.png --add-noise gaussian:25 --seed x", "--seed 'x'", "whole number"),
    case("three views", f"{DENOISE.format('png', 'png')} --views 3", "--views 3", "1, 2", "8"),
    case("a piece of 8 pixels", f"{DENOISE.format('png', 'png')} --tile 8", "--tile 8", "at least 64"),
    case("a negative seed of noise", f"{DENOISE.format('png', 'png')} --seed -1", "--seed -1", "at least 0"),
    case("two devices for one image", f"{DENOISE.format('png', 'png')} --device cpu,cuda:0", "'cpu,cuda:0'", "one GPU"),
    case(
        "a GPU that is not there to denoise",
        f"{DENOISE.format('png', 'png')} --device cuda:999",
        "cuda:999",
        "this machine has cpu",
        prepare=several(study, picture("in.png", pixels())),
    ),
    case("an output without a kind", "denoise mine in.png -o out", "''", ".png", prepare=file("in.png", b"x")),
    case("an empty image", DENOISE.format("png", "png"), "in.png", "empty", prepare=_to_denoise("in.png", b"")),
    case(
        "an image that is none", DENOISE.format("png", "png"), "in.png", "damaged", prepare=_to_denoise("in.png", b"x")
    ),
    case("a PNG bomb to denoise", DENOISE.format("png", "png"), "million", prepare=_to_denoise("in.png", _PNG_BOMB)),
    case("a TIFF bomb to denoise", DENOISE.format("tif", "png"), "million", prepare=_to_denoise("in.tif", _TIFF_BOMB)),
    case("objects to denoise", DENOISE.format("npy", "npy"), "in.npy", prepare=_to_denoise("in.npy", _OBJECTS)),
    case("NaN to denoise", DENOISE.format("npy", "npy"), "in.npy", "NaN", prepare=_to_denoise("in.npy", _NAN)),
    case(
        "pixels of unknown scale",
        DENOISE.format("npy", "npy"),
        "in.npy",
        "0..1",
        prepare=several(study, picture("in.npy", pixels(channels=3).astype(np.float32))),
    ),
    case(
        "channels that the model lacks",
        DENOISE.format("npy", "npy"),
        "2 channels",
        "takes 3",
        prepare=several(study, picture("in.npy", pixels(channels=2))),
    ),
    case(
        "a depth that the output cannot hold",
        DENOISE.format("npy", "png"),
        "float32",
        ".tif or .npy",
        prepare=several(study, picture("in.npy", np.full((40, 40), 0.5))),
    ),
    case(
        "an image that may not be read",
        DENOISE.format("png", "png"),
        "in.png",
        "not readable",
        prepare=several(study, picture("in.png", pixels()), mode("in.png", 0)),
        is_unprivileged=True,
    ),
    # Where the result is to be.
    case(
        "an output that exists",
        DENOISE.format("png", "png"),
        "out.png exists",
        "--force",
        prepare=several(study, picture("in.png", pixels()), file("out.png", "mine")),
    ),
    case(
        "the image as its own output",
        "denoise mine in.png -o ./in.png --force",
        "the image itself",
        prepare=picture("in.png", pixels()),
    ),
    case(
        "the image by another name",
        "denoise mine in.png -o other.png --force",
        "the image itself",
        prepare=several(picture("in.png", pixels()), link("other.png", "in.png")),
    ),
    case(
        "a folder for an output",
        "denoise mine in.png -o out.png --force",
        "out.png is a folder",
        prepare=several(picture("in.png", pixels()), folder("out.png")),
    ),
    case(
        "an output in no folder",
        "denoise mine in.png -o no/out.png",
        "no does not exist",
        "make it first",
        prepare=picture("in.png", pixels()),
    ),
    case(
        "an output below a file",
        "denoise mine in.png -o text/out.png",
        "text is a file",
        prepare=several(picture("in.png", pixels()), file("text", "text")),
    ),
    case(
        "a name of an output longer than names may be",
        f"denoise mine in.png -q -o {'x' * 300}.png",
        "too long",
        prepare=several(study, picture("in.png", pixels())),
    ),
    case(
        "an output that may not be written",
        "denoise mine in.png -q -o out/a.png",
        "out/a.png",
        "ermission",
        prepare=several(study, picture("in.png", pixels()), folder("out"), mode("out", 0o555)),
        is_unprivileged=True,
    ),
)
