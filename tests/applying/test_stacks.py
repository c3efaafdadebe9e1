"""Stacks in TIFF and NPY, read plane by plane and written the same way, with their axes and what belongs to them."""

import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageCms

from evoae_cli.applying.stackfile import kind_of, writing_stack
from evoae_cli.applying.stacks import check_axes, open_stack
from evoae_cli.errors import EvoaeError, ImageError, UsageError
from evoae_cli.evaluation.readers import UnreadableImageError

OME = {"axes": "TZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "nm", "PhysicalSizeZ": 2.0, "TimeIncrement": 3.0}
IMAGEJ = {"axes": "TZCYX", "spacing": 2.5, "unit": "um", "finterval": 0.3, "Labels": [f"plane {n}" for n in range(12)]}


def values(*shape: int, dtype: str = "uint16") -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def made(path: Path, array: npt.NDArray[Any], **options: Any) -> Path:
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        tifffile.imwrite(path, array, **({"photometric": "minisblack"} | options))
    return path


def copied(source: Path, target: Path, axes: str | None = None) -> list[tuple[int, ...]]:
    """Each plane read and written by its place, the last first; returns the planes' shapes."""
    with open_stack(source, axes) as stack:
        assert stack is not None
        shapes = []
        with writing_stack(target, stack) as put:
            for place in reversed(stack.places()):
                plane = stack.read(place)
                shapes.append(plane.shape)
                put(place, plane)
    return shapes


RGB = {"photometric": "rgb"}
PLANAR = {"planarconfig": "separate", **RGB}


@pytest.mark.parametrize(
    ("array", "options", "axes", "n_planes", "n_channels"),
    [
        (values(2, 3, 2, 8, 9), {"imagej": True, "metadata": IMAGEJ, "resolution": (4, 4)}, "TZCYX", 6, 2),
        (values(8, 9), {"imagej": True, "metadata": {"axes": "YX", "unit": "um"}}, "YX", 1, 1),
        (values(4, 8, 9, 3, dtype="uint8"), {"imagej": True, "metadata": {"axes": "ZYXS"}, **RGB}, "ZYXS", 4, 3),
        (values(2, 3, 2, 8, 9), {"ome": True, "metadata": OME}, "TZCYX", 6, 2),
        (values(3, 5, 8, 9), {"ome": True, "metadata": {"axes": "CZYX"}, "compression": "zlib"}, "CZYX", 5, 3),
        (values(4, 8, 9, 3, dtype="uint8"), {"ome": True, "metadata": {"axes": "ZYXS"}, **RGB}, "ZYXS", 4, 3),
        (values(4, 3, 8, 9, dtype="uint8"), {"planarconfig": "separate", **RGB}, "QSYX", 4, 3),
        (values(4, 3, 8, 9), {"ome": True, "metadata": {"axes": "ZSYX"}, **PLANAR}, "ZSYX", 4, 3),
        (values(3, 8, 9), {"ome": True, "metadata": {"axes": "SYX"}, **PLANAR}, "SYX", 1, 3),
        (values(4, 8, 9, 2), {"ome": True, "metadata": {"axes": "ZYXS"}, "planarconfig": "contig"}, "ZYXS", 4, 2),
        (values(5, 8, 9), {}, "QYX", 5, 1),
        (values(5, 8, 9), {"metadata": None}, "IYX", 5, 1),
        (values(5, 8, 9), {"byteorder": ">", "metadata": {"axes": "TYX"}}, "TYX", 5, 1),
        (values(5, 8, 9, dtype="float32"), {"compression": "zlib"}, "QYX", 5, 1),
    ],
)
def test_a_tiff_stack_keeps_axes_depth_and_pixels(
    array: npt.NDArray[Any], options: dict[str, Any], axes: str, n_planes: int, n_channels: int, tmp_path: Path
) -> None:
    shapes = copied(made(tmp_path / "in.tif", array, **options), tmp_path / "out.tif")
    assert shapes == [(8, 9, n_channels)] * n_planes
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        [series] = file.series
        assert (series.axes, series.dtype) == (axes, array.dtype)
        assert np.array_equal(series.asarray(), array)
        assert (file.is_ome, file.is_imagej) == (bool(options.get("ome")), bool(options.get("imagej")))
    assert sorted(os.listdir(tmp_path)) == ["in.tif", "out.tif"]


def test_what_imagej_says_of_a_stack_is_kept(tmp_path: Path) -> None:
    source = made(tmp_path / "in.tif", values(2, 3, 2, 8, 9), imagej=True, metadata=IMAGEJ, resolution=(4, 5))
    copied(source, tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        found, tags = file.imagej_metadata, file.pages.first.tags
        assert found is not None
        assert {name: found[name] for name in ("spacing", "unit", "finterval", "Labels")} == {
            name: value for name, value in IMAGEJ.items() if name != "axes"
        }
        assert (tags["XResolution"].value, tags["YResolution"].value) == ((4, 1), (5, 1))


def test_what_ome_says_of_a_stack_is_kept(tmp_path: Path) -> None:
    about = OME | {"Channel": {"Name": ["actin", "nuclei"]}}
    copied(made(tmp_path / "in.tif", values(2, 3, 2, 8, 9), ome=True, metadata=about), tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        text = file.ome_metadata
        assert text is not None
        for part in ('PhysicalSizeX="0.5"', 'PhysicalSizeXUnit="nm"', 'PhysicalSizeZ="2.0"', 'TimeIncrement="3.0"'):
            assert part in text
        assert 'Name="actin"' in text
        assert 'Name="nuclei"' in text


@pytest.mark.parametrize(
    ("shape", "axes", "plane", "n_planes"),
    [
        ((2, 5, 8, 9), "TZYX", (8, 9, 1), 10),
        ((2, 3, 8, 9), "TCYX", (8, 9, 3), 2),
        ((2, 8, 9, 3), "TYXS", (8, 9, 3), 2),
        ((2, 8, 9, 3), "TYXC", (8, 9, 3), 2),
        ((3, 2, 8, 9), "CTYX", (8, 9, 3), 2),
        ((3, 8, 9), "ZYX", (8, 9, 1), 3),
        ((2, 2, 8, 9, 3), "TCYXS", (8, 9, 3), 4),
    ],
)
@pytest.mark.parametrize("target", ["out.npy", "out.tif"])
def test_an_array_is_read_by_the_letters_that_are_given(
    shape: tuple[int, ...], axes: str, plane: tuple[int, ...], n_planes: int, target: str, tmp_path: Path
) -> None:
    array = values(*shape)
    assert copied(made(tmp_path / "in.npy", array), tmp_path / target, axes) == [plane] * n_planes
    if target == "out.npy":
        assert np.array_equal(np.load(tmp_path / target), array)
    else:
        with tifffile.TiffFile(tmp_path / target) as file:
            assert file.series[0].axes == axes
            assert np.array_equal(file.series[0].asarray(), array)


@pytest.mark.parametrize(
    ("shape", "axes", "n_planes"),
    [
        ((2, 3, 8, 9), "TCYX", 6),
        ((3, 2, 8, 9), "CTYX", 6),
        ((2, 8, 9, 3), "TYXC", 6),
        ((8, 9, 2), "YXC", 2),
        ((2, 2, 8, 9, 3), "TCYXS", 4),
    ],
)
@pytest.mark.parametrize("target", ["out.npy", "out.tif"])
@pytest.mark.parametrize("is_backwards", [False, True])
def test_channels_that_are_planes_of_their_own_come_back_where_they_were(
    shape: tuple[int, ...], axes: str, n_planes: int, target: str, is_backwards: bool, tmp_path: Path
) -> None:
    array = values(*shape)
    with open_stack(made(tmp_path / "in.npy", array), axes) as opened:
        assert opened is not None
        stack = opened.by_channel()
        assert len(stack.places()) == n_planes
        with writing_stack(tmp_path / target, stack) as put:
            for place in stack.places()[:: -1 if is_backwards else 1]:
                plane = stack.read(place)
                assert plane.shape == (8, 9, 3 if "S" in axes else 1)
                put(place, plane)
    found = np.load(tmp_path / target) if target == "out.npy" else tifffile.imread(tmp_path / target)
    assert np.array_equal(found, array)


def test_more_channels_than_a_model_can_have_are_planes_of_their_own(tmp_path: Path) -> None:
    source = made(tmp_path / "in.tif", values(2, 40, 8, 9), ome=True, metadata={"axes": "ZCYX"})
    assert copied(source, tmp_path / "out.tif") == [(8, 9, 1)] * 80
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert (file.is_ome, file.series[0].axes) == (True, "ZCYX")
        assert np.array_equal(file.series[0].asarray(), tifffile.imread(source))


def test_letters_given_for_a_tiff_replace_its_own(tmp_path: Path) -> None:
    source = made(tmp_path / "in.tif", values(3, 8, 9))
    assert copied(source, tmp_path / "out.tif", "CYX") == [(8, 9, 3)]
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.series[0].axes == "CYX"


def test_numbers_of_other_kinds_become_float32(tmp_path: Path) -> None:
    copied(made(tmp_path / "in.tif", values(3, 8, 9).astype(np.int16) - 100), tmp_path / "out.tif")
    assert tifffile.imread(tmp_path / "out.tif").dtype == np.float32


def test_a_plain_image_is_no_stack(tmp_path: Path) -> None:
    for name, array in (("a.tif", values(8, 9)), ("b.npy", values(8, 9, 3)), ("c.npy", values(8, 9))):
        with open_stack(made(tmp_path / name, array)) as stack:
            assert stack is None
    with open_stack(made(tmp_path / "rgb.tif", values(8, 9, 3), **RGB)) as stack:
        assert stack is None
    with open_stack(tmp_path / "a.png") as stack:
        assert stack is None


@pytest.mark.parametrize(
    ("shape", "axes", "part"),
    [
        ((2, 5, 8, 9), None, "--axes ZCYX"),
        ((5, 8, 9), None, "--axes CYX"),
        ((2, 5, 8, 9), "ZYX", "has 4 axes"),
        ((9, 8, 9), "SYX", "9 channels .* at most 8"),
        ((0, 8, 9), "ZYX", "no pixels"),
    ],
)
def test_an_array_that_the_letters_do_not_fit_is_refused(
    shape: tuple[int, ...], axes: str | None, part: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=part), open_stack(made(tmp_path / "in.npy", values(*shape)), axes):
        pass


@pytest.mark.parametrize("axes", ["", "YX1", "TZ", "TXY", "YXZ", "TTYX", "ÄYX", "YXCS", "YCX"])
def test_letters_that_describe_no_stack_are_refused(axes: str) -> None:
    with pytest.raises(UsageError, match="TZCYX"):
        check_axes(axes)


@pytest.mark.parametrize("axes", ["YXZ", "YXT", "XYZ", "ZXY"])
def test_a_stack_whose_own_axes_lie_behind_its_planes_is_refused(axes: str, tmp_path: Path) -> None:
    source = made(tmp_path / "in.tif", values(8, 9, 5), metadata={"axes": axes})
    with pytest.raises(ImageError, match=f"has axes {axes}, in which Y and X are not last; save it") as caught:
        copied(source, tmp_path / "out.tif")
    assert "\n" not in str(caught.value)
    assert copied(source, tmp_path / "out.tif", "ZYX") == [(9, 5, 1)] * 8


@pytest.mark.parametrize(("photometric", "name"), [("separated", "CMYK"), ("cielab", "CIELAB"), ("ycbcr", "YCbCr")])
def test_a_stack_of_other_colours_is_refused_and_a_single_image_left_to_the_reader(
    photometric: str, name: str, tmp_path: Path
) -> None:
    array = values(2, 8, 9, 4 if name == "CMYK" else 3, dtype="uint8")
    source = made(tmp_path / "in.tif", array, photometric=photometric)
    with pytest.raises(ImageError, match=f"is a stack of {name}; save it as plain grey or RGB"), open_stack(source):
        pass
    with open_stack(made(tmp_path / "one.tif", array[0], photometric=photometric)) as stack:
        assert stack is None


@pytest.mark.filterwarnings("error")
def test_a_large_plane_that_pillow_decodes_is_read_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [Image.fromarray(plane) for plane in values(2, 16, 18, dtype="uint8")]
    images[0].save(tmp_path / "in.tif", save_all=True, append_images=images[1:], compression="tiff_lzw")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    assert copied(tmp_path / "in.tif", tmp_path / "out.tif") == [(16, 18, 1)] * 2


def test_letters_may_be_small_and_channels_may_stand_anywhere() -> None:
    assert [check_axes(axes) for axes in ("tzcyx", "YXS", "CTYX", "YX")] == ["TZCYX", "YXS", "CTYX", "YX"]


def test_a_file_of_several_unequal_images_is_refused_and_a_marked_preview_is_not(tmp_path: Path) -> None:
    for name, subfiletype in (("two.tif", 0), ("preview.tif", 1)):
        with tifffile.TiffWriter(tmp_path / name) as file:
            file.write(values(8, 9), photometric="minisblack")
            file.write(values(4, 5), photometric="minisblack", subfiletype=subfiletype)
    with pytest.raises(ImageError, match=r"2 images beside each other \(8x9, 4x5\)"), open_stack(tmp_path / "two.tif"):
        pass
    with open_stack(tmp_path / "preview.tif") as stack:
        assert stack is None


def test_a_damaged_stack_is_one_line(tmp_path: Path) -> None:
    source = made(tmp_path / "in.tif", values(5, 64, 64), compression="zlib", metadata=None)
    content = bytearray(source.read_bytes())
    source.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImageError) as caught:
        copied(source, tmp_path / "out.tif")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["out.tif", "out.npy"])
def test_what_fails_half_way_leaves_no_file(name: str, tmp_path: Path) -> None:
    array = np.zeros((3, 8, 9), np.float32)
    array[2, 1, 1] = np.nan
    with pytest.raises(UnreadableImageError, match="NaN"):
        for_all_planes(made(tmp_path / "in.npy", array), tmp_path / name)
    assert os.listdir(tmp_path) == ["in.npy"]


def for_all_planes(source: Path, target: Path) -> None:
    """In the order of the file, so that what is wrong with the last comes after the others are written."""
    with open_stack(source, "ZYX") as stack:
        assert stack is not None
        with writing_stack(target, stack) as put:
            for place in stack.places():
                put(place, stack.read(place))


def test_a_full_disk_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    source = made(tmp_path / "in.npy", values(3, 64, 64))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(EvoaeError, match="make room"):
            copied(source, tmp_path / "out.npy", "ZYX")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["in.npy"]


def test_a_picture_cannot_hold_a_stack(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot hold a stack \(axes ZYX\).*\.tif"):
        copied(made(tmp_path / "in.npy", values(3, 8, 9)), tmp_path / "out.png", "ZYX")


@pytest.mark.parametrize(
    ("axes", "kind", "shape", "dtype", "written"),
    [
        ("TZCYX", "imagej", (2, 3, 2, 8, 9), "uint16", "imagej"),
        ("CZYX", "imagej", (2, 3, 8, 9), "uint16", "ome"),
        ("TZCYX", "imagej", (2**20, 1, 1, 64, 64), "uint8", "ome"),
        ("QYX", "imagej", (3, 8, 9), "uint16", "plain"),
        ("ZYXS", "imagej", (4, 8, 9, 3), "uint8", "imagej"),
        ("ZYXS", "imagej", (4, 8, 9, 3), "uint16", "ome"),
        ("ZYXS", "imagej", (4, 8, 9, 2), "uint8", "ome"),
        ("ZYXS", "imagej", (4, 8, 9, 1), "uint8", "plain"),
        ("TZCYX", "ome", (2**20, 1, 1, 64, 64), "uint16", "ome"),
        ("ZSYX", "ome", (4, 3, 8, 9), "uint16", "ome"),
        ("SZYX", "ome", (3, 4, 8, 9), "uint16", "plain"),
        ("QYX", "ome", (3, 8, 9), "uint16", "plain"),
        ("TYXC", "ome", (2, 8, 9, 3), "uint16", "plain"),
        ("ZYX", "plain", (3, 8, 9), "uint16", "plain"),
    ],
)
def test_each_format_gets_the_axes_sizes_and_depths_that_it_holds(
    axes: str, kind: str, shape: tuple[int, ...], dtype: str, written: str
) -> None:
    assert kind_of(axes, shape, np.dtype(dtype), kind) == written


_NAMED = {"ome": True, "metadata": {"axes": "CZYX", "Channel": {"Name": ["actin", "nuclei"]}}}
_IMAGEJ = {"imagej": True, "metadata": {"axes": "ZCYX"}}


@pytest.mark.parametrize(
    ("array", "options", "axes"),
    [
        (values(2, 3, 8, 9), _NAMED, "ZCYX"),
        (values(2, 3, 8, 9), _NAMED, "CTYX"),
        (values(5, 3, 8, 9), _IMAGEJ, "TSYX"),
        (values(2, 8, 9, 3), {"imagej": True, "metadata": {"axes": "TZYX"}}, "ZYXS"),
        (values(3, 4, 8, 9), {"ome": True, "metadata": {"axes": "CZYX"}}, "SZYX"),
    ],
)
def test_letters_of_ones_own_never_ask_for_more_than_the_format_holds(
    array: npt.NDArray[Any], options: dict[str, Any], axes: str, tmp_path: Path
) -> None:
    copied(made(tmp_path / "in.tif", array, **options), tmp_path / "out.tif", axes)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.series[0].axes == axes
        assert np.array_equal(file.series[0].asarray(), array)


def test_what_tiff_cannot_hold_is_one_line_with_the_files_name(tmp_path: Path) -> None:
    source = made(tmp_path / "in.tif", values(3, 8, 9))
    with open_stack(source) as stack:
        assert stack is not None
        odd = replace(stack, description=replace(stack.description, resolution=("many", "more")))
        with pytest.raises(ImageError, match=r"in\.tif cannot be written as TIFF with axes .*; write \.npy"):
            writing_stack(tmp_path / "out.tif", odd).__enter__()
    assert os.listdir(tmp_path) == ["in.tif"]


def test_what_imagej_says_is_kept_where_its_stack_becomes_ome(tmp_path: Path) -> None:
    about = {"axes": "TZYX", "spacing": 2.5, "unit": "um", "finterval": 0.3}
    source = made(tmp_path / "in.tif", values(3, 4, 8, 9), imagej=True, metadata=about, resolution=(4, 5))
    copied(source, tmp_path / "out.tif", "ZTYX")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        text = file.ome_metadata
        assert text is not None
        for part in ('X="0.25"', 'Y="0.2"', 'Z="2.5"', 'XUnit="µm"', 'YUnit="µm"', 'ZUnit="µm"'):
            assert f"PhysicalSize{part}" in text
        assert 'TimeIncrement="0.3"' in text
        assert 'TimeIncrementUnit="s"' in text


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg"])
def test_planes_that_only_pillow_can_decode_are_read_by_it(tmp_path: Path, mode: str, compression: str) -> None:
    planes = [np.asarray(Image.fromarray(values(24, 32, dtype="uint8")).convert(mode)) for _ in range(3)]
    planes = [plane + np.uint8(number) for number, plane in enumerate(planes)]
    first, *others = map(Image.fromarray, planes)
    first.save(tmp_path / "in.tif", save_all=True, append_images=others, compression=compression)
    with open_stack(tmp_path / "in.tif") as stack:
        assert stack is not None
        assert stack.shape[0] == 3
        found = [stack.read(place) for place in stack.places()]
    for number, plane in enumerate(found):
        with Image.open(tmp_path / "in.tif") as image:
            image.seek(number)
            expected = np.asarray(image).reshape(plane.shape)
        assert np.array_equal(plane, expected)
    assert not np.array_equal(found[0], found[2])


def test_planes_that_nobody_can_decode_name_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (Image.fromarray(values(24, 32, dtype="uint8")) for _ in range(2))
    first.save(tmp_path / "in.tif", save_all=True, append_images=[second], compression="tiff_lzw")

    def refuse(*given: Any, **more: Any) -> None:
        raise OSError("decoder tiff_lzw not available")

    monkeypatch.setattr(Image.Image, "load", refuse)
    with (
        open_stack(tmp_path / "in.tif") as stack,
        pytest.raises(UnreadableImageError, match="LZW compression needs the package imagecodecs; install it, or save"),
    ):
        stack.read((0,))  # type: ignore[union-attr]  # it is one


def test_how_planes_are_turned_and_their_profile_are_kept(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = made(
        tmp_path / "in.tif",
        values(3, 8, 9, 3, dtype="uint8"),
        photometric="rgb",
        iccprofile=profile,
        extratags=[(274, "H", 1, 6, True), (271, "s", 0, b"a maker", True)],
    )
    copied(source, tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        tags = {tag.code: tag.value for tag in file.pages.first.tags}
    assert (int(tags[274]), tags[271], bytes(tags[34675])) == (6, "a maker", profile)
