"""EXIF, colour profile, resolution and transparency come along, so that a picture looks as before in a viewer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from evoae_cli.applying.carried import Carried, carried_by
from evoae_cli.applying.pixels import holds_alpha, write_pixels
from evoae_cli.evaluation.readers import read_image

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(path: Path, mode: str = "RGB", **options: Any) -> Image.Image:
    shape = (24, 40) if mode == "L" else (24, 40, len(mode))
    values = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    image = Image.frombytes(mode, (40, 24), values.tobytes())
    image.save(path, **options)
    return image


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[274], block[271], block[315] = orientation, "Maker", "Painter"
    return block


def copied(source: Path, target: Path) -> Carried:
    pixels = read_image(source, is_upright=False)
    carried = carried_by(source, pixels)
    write_pixels(target, pixels, carried)
    return carried


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".webp", ".tif"])
def test_pixels_stay_as_stored_and_the_way_up_profile_and_texts_are_written_back(
    suffix: str, target: str, tmp_path: Path
) -> None:
    source, out = tmp_path / f"in{suffix}", tmp_path / f"out{target}"
    picture(source, exif=exif(6), icc_profile=ICC)
    copied(source, out)
    if target == ".tif":
        with tifffile.TiffFile(out) as file:
            tags = file.pages.first.tags
            assert (tags[274].value, tags[271].value, tags[315].value, tags[34675].value) == (
                6,
                "Maker",
                "Painter",
                ICC,
            )
            assert file.pages.first.shape == (24, 40, 3)
        return
    with Image.open(out) as found:
        assert found.size == (40, 24)
        assert ImageOps.exif_transpose(found).size == (24, 40)
        block = found.getexif()
        assert (block[274], block[271], block[315]) == (6, "Maker", "Painter")
        assert found.info["icc_profile"] == ICC


def test_a_tiff_keeps_its_way_up_its_texts_its_resolution_and_its_profile(tmp_path: Path) -> None:
    source = tmp_path / "in.tif"
    pixels = np.random.default_rng(0).integers(0, 60000, (8, 12, 3), dtype=np.uint16)
    tags = [(274, "H", 1, 8, True), (271, "s", 0, "Maker", True)]
    tifffile.imwrite(
        source, pixels, photometric="rgb", extratags=tags, iccprofile=ICC, resolution=(300, 300), resolutionunit="inch"
    )
    copied(source, tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        page = file.pages.first
        assert (page.tags[274].value, page.tags[271].value, page.tags[34675].value) == (8, "Maker", ICC)
        assert page.tags["XResolution"].value == (300, 1)
        assert np.array_equal(page.asarray(), pixels)


def test_a_tiff_that_is_turned_upright_while_it_is_read_is_not_turned_again(tmp_path: Path) -> None:
    image = picture(tmp_path / "in.tif", compression="tiff_lzw", exif=exif(6))
    copied(tmp_path / "in.tif", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as found:
        turned = image.transpose(Image.Transpose.ROTATE_270)
        assert found.size == (24, 40)
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(found)), np.asarray(turned))


def test_16_bit_colour_png_carries_the_same(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 60000, (6, 9, 3), dtype=np.uint16)
    exif_block = exif(3).tobytes().removeprefix(b"Exif\x00\x00")
    write_pixels(tmp_path / "a.png", pixels, Carried(exif=exif_block, icc=ICC, dpi=(300.0, 300.0)))
    carried = copied(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as found:
        assert (found.getexif()[274], found.info["icc_profile"]) == (3, ICC)
        assert found.info["dpi"] == pytest.approx((300, 300), rel=0.01)
    assert carried.icc == ICC
    assert np.array_equal(read_image(tmp_path / "b.png", is_upright=False), pixels)
    assert np.array_equal(read_image(tmp_path / "b.png"), pixels[::-1, ::-1])


def test_an_exif_block_too_long_for_jpeg_is_cut_to_the_way_up(tmp_path: Path) -> None:
    block = exif(6)
    block[305] = "x" * 70_000
    picture(tmp_path / "in.png", exif=block)
    copied(tmp_path / "in.png", tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as found:
        assert dict(found.getexif()) == {274: 6}


def test_a_damaged_exif_block_stops_nothing_and_is_left_out(tmp_path: Path) -> None:
    picture(tmp_path / "in.png", exif=b"Exif\x00\x00nonsense")
    for target in ("out.png", "out.jpg", "out.tif"):
        copied(tmp_path / "in.png", tmp_path / target)
        assert read_image(tmp_path / target).shape == (24, 40, 3)


def test_the_profile_of_cmyk_is_not_given_to_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8)).save(tmp_path / "in.jpg", icc_profile=ICC)
    assert copied(tmp_path / "in.jpg", tmp_path / "out.jpg").icc == b""


@pytest.mark.parametrize(("mode", "target"), [("RGBA", ".png"), ("RGBA", ".webp"), ("RGBA", ".tif"), ("LA", ".png")])
def test_transparency_is_copied_unchanged_where_the_format_has_room(mode: str, target: str, tmp_path: Path) -> None:
    image = picture(tmp_path / "in.png", mode)
    carried = copied(tmp_path / "in.png", tmp_path / f"out{target}")
    assert not carried.has_lost_alpha
    found = (
        tifffile.imread(tmp_path / "out.tif") if target == ".tif" else np.asarray(Image.open(tmp_path / f"out{target}"))
    )
    assert np.array_equal(found, np.asarray(image))
    again = tmp_path / f"out{target}"
    assert read_image(again).shape[2] == len(mode) - 1


def test_transparency_of_a_16_bit_tiff_keeps_its_kind(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 60000, (8, 9, 4), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    copied(tmp_path / "in.tif", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert np.array_equal(file.asarray(), pixels)
        assert file.pages.first.extrasamples == (tifffile.EXTRASAMPLE.ASSOCALPHA,)


def test_transparency_that_cannot_be_kept_is_known(tmp_path: Path) -> None:
    Image.new("P", (8, 8)).save(tmp_path / "palette.png", transparency=0)
    assert copied(tmp_path / "palette.png", tmp_path / "a.png").has_lost_alpha
    pixels = read_image(tmp_path / "palette.png")
    assert not holds_alpha(Path("a.jpg"), pixels)
    assert not holds_alpha(Path("a.npy"), pixels)
    assert holds_alpha(Path("a.png"), pixels)
    assert not holds_alpha(Path("a.png"), pixels.astype(np.uint16))


@pytest.mark.parametrize("target", [".png", ".webp"])
def test_colours_that_were_multiplied_with_their_transparency_are_divided_where_the_format_wants_it(
    target: str, tmp_path: Path
) -> None:
    alpha = np.array([255, 128, 10, 0], np.uint8).reshape(1, 4, 1)
    colours = np.array([200, 100, 10, 0], np.uint8).reshape(1, 4, 1).repeat(3, axis=2)
    tifffile.imwrite(
        tmp_path / "in.tif", np.concatenate([colours, alpha], axis=2), photometric="rgb", extrasamples=["assocalpha"]
    )
    copied(tmp_path / "in.tif", tmp_path / f"out{target}")
    with Image.open(tmp_path / f"out{target}") as image:
        assert np.asarray(image)[0].tolist() == [[200] * 3 + [255], [199] * 3 + [128], [255] * 3 + [10], [0] * 4]


@pytest.mark.parametrize(
    ("target", "per_inch", "is_kept"),
    [
        (".png", 5e7, True),
        (".png", 1.27e9, False),
        (".jpg", 60_000, True),
        (".jpg", 70_000, False),
        (".tif", 4e9, True),
        (".tif", 5e9, False),
        (".webp", 100, False),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_resolution_that_the_format_cannot_hold_is_left_out(
    target: str, per_inch: float, is_kept: bool, dtype: str, tmp_path: Path
) -> None:
    if dtype == "uint16" and target in (".jpg", ".webp"):
        pytest.skip("which these do not hold")
    write_pixels(tmp_path / f"out{target}", np.zeros((4, 4, 3), dtype), Carried(dpi=(per_inch, per_inch)))
    found = carried_by(tmp_path / f"out{target}", np.zeros((4, 4, 3), dtype)).dpi
    assert found == (pytest.approx((per_inch, per_inch), rel=1e-6) if is_kept else None)


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_a_tiff_of_other_colours_is_not_turned_again_and_its_profile_is_not_given_to_rgb(
    mode: str, tmp_path: Path
) -> None:
    image = picture(tmp_path / "plain.tif", mode)
    image.save(tmp_path / "in.tif", icc_profile=ICC, tiffinfo={274: 6})
    carried = copied(tmp_path / "in.tif", tmp_path / "out.png")
    assert (carried.icc, carried.exif) == (b"", b"")
    upright = np.rot90(read_image(tmp_path / "plain.tif"), 3)
    assert np.array_equal(read_image(tmp_path / "out.png"), upright)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["in.png", "in.tif"])
def test_a_large_image_is_taken_along_without_a_word(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / name, "RGBA")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert copied(tmp_path / name, tmp_path / "out.png").alpha is not None


def test_a_plain_image_carries_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "L")
    assert copied(tmp_path / "a.png", tmp_path / "b.png") == Carried()
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    assert carried_by(tmp_path / "a.npy", np.zeros((4, 4, 1))) == Carried()
