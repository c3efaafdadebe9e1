"""Wrong use of codes and of export."""

import io
import shutil

import numpy as np
from wrong_use_kit import Kit, Prepare, case, file, folder, link, picture, pixels, several, study

ENCODE = "encode mine in.png -o codes.npz -q"
DECODE = "decode mine codes.npz -o out -q"


def _npz(**changes: object) -> bytes:
    """Codes of two images, whatever model they are of, with some arrays changed or left out."""
    arrays: dict[str, object] = {
        "names": np.array(["a.png", "b.png"]),
        "sizes": np.array([[4, 4], [4, 4]]),
        "channels": np.array([3, 3]),
        "depths": np.array(["uint8", "uint8"]),
        "model": np.array("0" * 64),
        "codes": np.zeros((2, 16), np.float32),
        "shape": np.array([4, 2, 2]),
    }
    stream = io.BytesIO()
    np.savez(stream, **{name: np.asarray(array) for name, array in (arrays | changes).items() if array is not None})
    return stream.getvalue()


def _with(name: str = "codes.npz", **changes: object) -> Prepare:
    return several(study, file(name, _npz(**changes)))


def _with_one(kit: Kit) -> None:
    """Codes of a single image."""
    one = {"names": np.array(["a.png"]), "sizes": np.array([[4, 4]]), "channels": np.array([3])}
    several(study, file("codes.npz", _npz(**one, depths=np.array(["uint8"]), codes=np.zeros((1, 16), np.float32))))(kit)


def _other_model(kit: Kit) -> None:
    """A folder with what is no model."""
    shutil.copytree(kit.study / "best", kit.folder / "other")
    (kit.folder / "other" / "model.safetensors").write_text("{}")


_NAN = np.full((2, 16), np.nan, np.float32)

CASES = (
    # Images to encode.
    case("no image to encode", ENCODE, "in.png does not exist", prepare=study),
    case("a folder without images to encode", "encode mine in -o codes.npz", "in holds no image", prepare=folder("in")),
    case("a file to encode of unknown kind", "encode mine a.gif -o c.npz", "'.gif'", prepare=file("a.gif", b"x")),
    case("nothing to encode", "encode mine -o codes.npz", "INPUT"),
    case(
        "two images of one name to encode",
        "encode mine a/x.png b/x.png -o codes.npz",
        "a/x.png and b/x.png",
        "x.png",
        prepare=several(picture("a/x.png", pixels()), picture("b/x.png", pixels())),
    ),
    case("a damaged image to encode", ENCODE, "in.png", "damaged", prepare=several(study, file("in.png", b"x"))),
    case(
        "an image to encode with channels that the model lacks",
        "encode mine in.npy -o codes.npz -q",
        "in.npy",
        "2 channels",
        prepare=several(study, picture("in.npy", pixels(channels=2))),
    ),
    case(
        "an image smaller than what is to be cut out",
        f"{ENCODE} --crop 64",
        "40x40",
        "--size",
        prepare=several(study, picture("in.png", pixels())),
    ),
    case("scaled and cut out", f"{ENCODE} --crop 8 --size 8", "--size and --crop", "choose one"),
    case("too many bits", f"{ENCODE} --bits 17", "--bits '17'", "1 to 16"),
    case("no bits", f"{ENCODE} --bits 0", "--bits '0'", "1 to 16"),
    case("a side that is no number", f"{ENCODE} --crop 8x8", "--crop '8x8'", "whole number"),
    case("no pixels to scale to", f"{ENCODE} --size 0", "--size '0'", "1 to"),
    case("codes of another kind", "encode mine in.png -o codes.txt", "codes.txt", ".npz"),
    case("codes into a folder", "encode mine in.png -o c.npz", "is a folder", prepare=folder("c.npz")),
    case("codes in no folder", "encode mine in.png -o no/c.npz", "no does not exist", "make it first"),
    case(
        "codes that exist",
        ENCODE,
        "codes.npz exists",
        "--force",
        prepare=several(study, picture("in.png", pixels()), file("codes.npz", "mine")),
    ),
    case("no model to encode with", ENCODE, "no model in 'mine'", prepare=picture("in.png", pixels())),
    case("a name of codes longer than names may be", f"encode mine in.png -o {'x' * 300}.npz", "too long"),
    case("an input longer than names may be", f"encode mine {'x' * 300}.png -o c.npz", "too long"),
    # Codes to decode.
    case("no codes", DECODE, "codes.npz cannot be read", "No such file", prepare=study),
    case("text for codes", DECODE, "no NPZ file", "evoae encode", prepare=several(study, file("codes.npz", "text"))),
    case("cut codes", DECODE, "codes.npz", "evoae encode", prepare=several(study, file("codes.npz", _npz()[:-50]))),
    case("codes without names", DECODE, "lacks the array 'names'", prepare=_with(names=None)),
    case("codes without codes", DECODE, "lacks the array 'codes'", prepare=_with(codes=None)),
    case("codes without a model", DECODE, "lacks the array 'model'", prepare=_with(model=None)),
    case("codes of NaN", DECODE, "NaN", "a.png", prepare=_with(codes=_NAN)),
    case("codes of another model", DECODE, "another model", "name the model", prepare=_with()),
    case("codes with a name outside", DECODE, "../a.png", prepare=_with(names=np.array(["../a.png", "b.png"]))),
    case("codes of objects", DECODE, "damaged", prepare=_with(names=np.array([{}, None]))),
    case("one code into an unknown ending", "decode mine codes.npz -o a.bmp", "'.bmp'", ".png", prepare=_with_one),
    case("several codes into one file", "decode mine codes.npz -o a.png", "2 images", "folder", prepare=_with()),
    case(
        "codes with a name that is a folder",
        DECODE,
        "out/a.png is a folder",
        prepare=several(_with(), folder("out/a.png")),
    ),
    case(
        "codes into a file",
        DECODE,
        "out is a file",
        prepare=several(_with(), file("out", "text")),
    ),
    case(
        "images that exist",
        DECODE,
        "out/a.png exists",
        "--force",
        prepare=several(_with(), file("out/a.png", "mine")),
    ),
    case(
        "images that exist as links to nothing", DECODE, "another model", prepare=several(_with(), link("out", "gone"))
    ),
    case(
        "names of unknown kind",
        DECODE,
        "'.gif'",
        prepare=_with(names=np.array(["a.gif", "b.png"])),
    ),
    case(
        "a depth that a name cannot hold",
        DECODE,
        "float32",
        prepare=_with(depths=np.array(["float32", "float32"])),
    ),
    case(
        "a damaged model to decode with",
        "decode other codes.npz -o out -q",
        "is no model",
        prepare=several(_with(), _other_model),
    ),
    # Export.
    case("an export of no model", "export mine --onnx m.onnx", "no model in 'mine'"),
    case("an export to no file", "export mine", "--onnx"),
    case("an export of another kind", "export mine --onnx m.pb", "m.pb", ".onnx"),
    case("an unknown part", "export mine --onnx m.onnx --part half", "'half'", "encoder", prepare=study),
    case(
        "an export that exists",
        "export mine --onnx m.onnx",
        "m.onnx exists",
        "--force",
        prepare=several(study, file("m.onnx", "mine")),
    ),
    case("an export in no folder", "export mine --onnx no/m.onnx", "no does not exist", prepare=study),
)
