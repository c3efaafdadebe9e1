import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from evoae_cli.evaluation.readers import UnreadableImageError, read_image

RNG = np.random.default_rng(2)
GREY = RNG.integers(0, 256, (10, 12), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (10, 12, 3), dtype=np.uint8)
DEEP_GREY = RNG.integers(0, 65536, (10, 12), dtype=np.uint16)
DEEP_COLOUR = RNG.integers(0, 65536, (10, 12, 3), dtype=np.uint16)


def write_png16(path, pixels, colour_type):
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "TIFF", "npy"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_8_bit_images_of_lossless_formats_are_read_exactly(tmp_path, suffix, pixels):
    path = tmp_path / f"image.{suffix}"
    if suffix == "npy":
        np.save(path, pixels)
    elif suffix == "webp":
        Image.fromarray(pixels).convert("RGB").save(path, lossless=True)
        pixels = np.broadcast_to(pixels.reshape(10, 12, -1), (10, 12, 3))
    else:
        Image.fromarray(pixels).save(path)
    found = read_image(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels.reshape(10, 12, -1))


def test_jpeg_is_read_upright_as_its_exif_orientation_says(tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.JPG", exif=exif, quality=95)
    found = read_image(tmp_path / "turned.JPG")
    assert found.shape == (32, 16, 3)
    assert found[:14].min() > 200
    assert found[18:].max() < 50


@pytest.mark.parametrize(("pixels", "colour_type"), [(DEEP_GREY[..., None], 0), (DEEP_COLOUR, 2)])
def test_16_bit_png_keeps_its_depth(tmp_path, pixels, colour_type):
    write_png16(tmp_path / "deep.png", pixels, colour_type)
    found = read_image(tmp_path / "deep.png")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, pixels)


def test_alpha_of_16_bit_png_is_dropped(tmp_path):
    pixels = RNG.integers(0, 65536, (10, 12, 4), dtype=np.uint16)
    write_png16(tmp_path / "deep.png", pixels, 6)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), pixels[..., :-1])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 2)])
def test_alpha_of_images_of_one_pixel_a_side_is_dropped_and_nothing_else(tmp_path, mode, shape):
    image = Image.new(mode, shape[::-1], (1, 2, 3, 100) if mode == "RGBA" else (1, 100))
    image.save(tmp_path / "alpha.png")
    assert read_image(tmp_path / "alpha.png").shape == (*shape, 3 if mode == "RGBA" else 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_alpha_of_8_bit_images_is_dropped(tmp_path, mode, suffix):
    pixels = COLOUR if mode == "RGBA" else GREY
    image = Image.fromarray(pixels).convert(mode)
    image.putalpha(100)
    image.save(tmp_path / f"alpha.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"alpha.{suffix}"), pixels.reshape(10, 12, -1))


def test_palettes_become_colour_and_one_bit_becomes_0_and_255(tmp_path):
    palette = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))
    Image.fromarray(GREY > 99).save(tmp_path / "bit.png")
    assert set(np.unique(read_image(tmp_path / "bit.png"))) == {0, 255}


def test_cmyk_jpeg_becomes_colour(tmp_path):
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "print.jpeg")
    assert read_image(tmp_path / "print.jpeg").shape == (10, 12, 3)


def smooth(mode):
    """Colours that survive each conversion, and these as `mode` stores them."""
    values = np.random.default_rng(0).integers(100, 160, (3, 4, 3), dtype=np.uint8)
    rgb = Image.fromarray(values).resize((24, 16), Image.Resampling.BICUBIC)
    if mode != "LAB":
        return np.asarray(rgb), rgb.convert(mode)
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return np.asarray(rgb), ImageCms.applyTransform(rgb, ImageCms.buildTransform(*profiles, "RGB", "LAB"))


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_other_colours_of_a_tiff_become_rgb(tmp_path, mode, compression):
    rgb, image = smooth(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    found = read_image(tmp_path / "a.tif")
    assert found.shape == rgb.shape
    np.testing.assert_allclose(found.astype(int), rgb, atol=8)


@pytest.mark.parametrize(
    ("values", "options", "reason"),
    [
        (np.zeros((8, 9, 5), np.uint8), {"photometric": "separated", "extrasamples": ["unassalpha"]}, "with alpha"),
        (np.zeros((8, 9, 4), np.uint16), {"photometric": "separated"}, "CMYK of 16 bits"),
        (np.zeros((8, 9, 3), np.uint8), {"photometric": "icclab"}, "ICCLAB that cannot be decoded"),
        (np.zeros((3, 8, 9), np.uint8), {"photometric": "ycbcr", "planarconfig": "separate"}, "YCbCr that cannot be"),
    ],
)
def test_colours_that_nobody_turns_into_rgb_are_refused_with_the_remedy(tmp_path, values, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    with pytest.raises(UnreadableImageError, match=f"{reason}.*save it as RGB") as caught:
        read_image(tmp_path / "a.tif")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_an_animation_is_refused_and_one_of_a_single_image_is_read(tmp_path, suffix):
    images = [Image.fromarray(COLOUR ^ value) for value in (0, 60, 200)]
    for n in (1, 3):
        images[0].save(tmp_path / f"{n}.{suffix}", save_all=True, append_images=images[1:n], lossless=True)
    assert read_image(tmp_path / f"1.{suffix}").shape == COLOUR.shape
    with pytest.raises(UnreadableImageError, match="an animation of 3 images; save each as a file of its own"):
        read_image(tmp_path / f"3.{suffix}")


def test_a_photograph_with_its_preview_is_read(tmp_path):
    image = Image.fromarray(COLOUR)
    image.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[image.resize((4, 4))])
    assert read_image(tmp_path / "a.jpg").shape == COLOUR.shape


@pytest.mark.parametrize("pixels", [DEEP_GREY, DEEP_COLOUR, DEEP_GREY / np.float32(7)], ids=["grey", "colour", "float"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_keeps_its_depth_in_either_byte_order(tmp_path, pixels, byteorder):
    tifffile.imwrite(tmp_path / "deep.tif", pixels, byteorder=byteorder)
    found = read_image(tmp_path / "deep.tif")
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels.reshape(10, 12, -1))


def test_tiff_channels_in_planes_are_moved_last(tmp_path):
    planes = RNG.integers(0, 65536, (5, 10, 12), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "planes.tif", planes, imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(read_image(tmp_path / "planes.tif"), planes.transpose(1, 2, 0))


def test_lzw_compressed_8_bit_tiff_is_read(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "lzw.tif"), COLOUR)


@pytest.mark.parametrize("dtype", [">f8", "f2", "i4"])
def test_npy_of_other_numbers_becomes_float32(tmp_path, dtype):
    pixels = RNG.integers(-100, 100, (10, 12, 8)).astype(dtype)
    np.save(tmp_path / "numbers.npy", pixels)
    found = read_image(tmp_path / "numbers.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, pixels.astype(np.float32))


def save_npy(pixels):
    return lambda path: np.save(path, pixels)


def save_bomb(path):
    write_png16(path, np.zeros((1, 1), np.uint16), 0)
    # Pillow checks the size that the head claims before it reads a pixel.
    head = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 16, 0, 0, 0, 0)
    data = bytearray(path.read_bytes())
    data[12:33] = head + struct.pack(">I", zlib.crc32(head))
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "save", "reason"),
    [
        ("empty.png", lambda path: path.touch(), "the file is empty"),
        ("pipe.png", os.mkfifo, "no file that holds anything, but a pipe or a device"),
        ("link.tif", lambda path: path.symlink_to("nowhere"), "a link to nothing"),
        ("text.png", lambda path: path.write_text("hello"), "not an image of the kind its name says, or damaged"),
        ("bomb.png", save_bomb, "more than 178 million pixels"),
        (
            "alpha.png",
            lambda path: write_png16(path, np.zeros((9, 9, 2), np.uint16), 4),
            "16-bit grey with alpha; save it without alpha",
        ),
        ("text.tif", lambda path: path.write_text("hello hello"), "TIFF"),
        ("text.npy", lambda path: path.write_text("hello"), "no NPY file, or damaged"),
        ("nan.npy", save_npy(np.full((9, 9), np.nan)), "NaN or infinite"),
        ("huge.npy", save_npy(np.full((9, 9), 1e300)), "NaN or infinite"),
        ("complex.npy", save_npy(np.ones((9, 9), complex)), "complex128, which are no real numbers"),
        ("stack.npy", save_npy(np.zeros((9, 9, 9))), r"shape \(9, 9, 9\) is not HxW, or HxWxC with at most 8"),
        ("line.npy", save_npy(np.zeros(9)), r"shape \(9,\) is not HxW"),
        ("none.npy", save_npy(np.zeros((0, 9))), "no pixels"),
        ("objects.npy", save_npy(np.full((2, 2), None)), "Python objects"),
        (
            "stack.tif",
            lambda path: tifffile.imwrite(path, np.zeros((7, 9, 9), np.uint16), imagej=True, metadata={"axes": "ZYX"}),
            r"a stack of 7 images \(axes ZYX\); save each",
        ),
        ("missing.png", lambda path: None, "it is not there"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_reason_in_one_line(tmp_path, name, save, reason):
    save(tmp_path / name)
    with pytest.raises(UnreadableImageError, match=reason) as refusal:
        read_image(tmp_path / name)
    message = str(refusal.value)
    assert message == f"{tmp_path / name} cannot be read: {refusal.value.reason}"
    assert "\n" not in message


NAMES = ["a.png", "deep.png", "a.jpg", "a.webp", "a.tif", "deep.tif", "a.npy"]


def save_as_named(path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    match path.name:
        case "a.npy":
            np.save(path, pixels)
        case "deep.png":
            write_png16(path, pixels, 2)
        case "deep.tif":
            tifffile.imwrite(path, pixels.astype(np.uint16), photometric="rgb")
        case _:
            Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_bytes_give_pixels_or_a_reason_and_nothing_worse(tmp_path, name):
    path = tmp_path / name
    save_as_named(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for n_damaged in (1, 1, 1, 3, 3, 20, 20, 20):
        data = bytearray(whole)
        for place in rng.integers(0, [64, len(data)], (n_damaged, 2)).ravel():
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            outcome = f"{read_image(path).ndim} dimensions"
        except UnreadableImageError as error:
            outcome = str(error)
        assert outcome == "3 dimensions" or outcome.startswith(f"{path} cannot be read: ")
        assert "\n" not in outcome


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_is_unreadable(tmp_path, name):
    path = tmp_path / name
    save_as_named(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImageError):
        read_image(path)
