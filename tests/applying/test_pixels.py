"""Image files written in their own depth, read back with the project's reader."""

import os
import resource
from pathlib import Path

import numpy as np
import pytest

from evoae_cli.applying.pixels import check_holds, check_suffix, write_pixels
from evoae_cli.errors import EvoaeError, ImageError
from evoae_cli.evaluation.readers import read_image


def make_pixels(channels: int, dtype: str) -> "np.ndarray[tuple[int, int, int], np.dtype[np.generic]]":
    values = np.random.default_rng(0).uniform(0, 1, (7, 11, channels))
    scale = {"uint8": 255, "uint16": 65535, "float32": 1.0}[dtype]
    return (values * scale).astype(dtype)


@pytest.mark.parametrize(
    ("name", "channels", "dtype"),
    [
        ("a.png", 1, "uint8"),
        ("a.png", 3, "uint8"),
        ("a.png", 1, "uint16"),
        ("a.PNG", 3, "uint16"),
        ("a.webp", 3, "uint8"),
        *[
            (name, channels, dtype)
            for name in ("a.tif", "a.TIFF", "a.npy")
            for channels in (1, 3)
            for dtype in ("uint8", "uint16", "float32")
        ],
        ("a.npy", 5, "uint16"),
        ("a.tif", 2, "uint16"),
    ],
)
def test_what_was_written_is_read_back_to_the_last_bit(name: str, channels: int, dtype: str, tmp_path: Path) -> None:
    pixels = make_pixels(channels, dtype)
    write_pixels(tmp_path / name, pixels)
    found = read_image(tmp_path / name)
    assert found.dtype == pixels.dtype
    assert np.array_equal(found, pixels)
    assert os.listdir(tmp_path) == [name]


def test_jpeg_keeps_shape_and_picture(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), 90, np.uint8)
    write_pixels(tmp_path / "a.jpg", pixels)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - pixels).max() <= 2


@pytest.mark.parametrize(
    ("name", "channels", "dtype"),
    [
        ("a.jpg", 3, "uint16"),
        ("a.webp", 1, "uint16"),
        ("a.png", 3, "float32"),
        ("a.png", 5, "uint8"),
        ("a.jpeg", 2, "uint8"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_leaves_no_file(
    name: str, channels: int, dtype: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=r"cannot hold .*write \.tif or \.npy"):
        write_pixels(tmp_path / name, make_pixels(channels, dtype))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.gif"])
def test_an_unknown_ending_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ImageError, match=r"\.png.*\.npy"):
        check_suffix(Path(name))
    with pytest.raises(ImageError):
        check_holds(Path(name), (7, 11, 1), "uint8")


@pytest.mark.parametrize(("name", "most"), [("a.webp", 16_383), ("a.jpg", 65_500), ("a.JPEG", 65_500)])
def test_sides_that_a_format_cannot_hold_are_refused_and_the_longest_is_written(
    name: str, most: int, tmp_path: Path
) -> None:
    write_pixels(tmp_path / name, np.zeros((1, most, 1), np.uint8))
    for shape in ((1, most + 1, 1), (most + 1, 1, 3)):
        with pytest.raises(ImageError, match=rf"{name}: .* cannot hold .* at most {most:,}; write \.png or \.tif"):
            check_holds(tmp_path / name, shape, "uint8")


def test_a_new_file_is_as_public_as_others(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_pixels(tmp_path / "a.png", make_pixels(1, "uint8"))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("name", ["a.png", "deep.png", "a.jpg", "a.webp", "a.tif", "a.npy"])
def test_a_full_disk_is_one_line_and_leaves_no_file(name: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(EvoaeError, match=f"cannot write .*{name} .*make room") as caught:
            write_pixels(tmp_path / name, pixels.astype(np.uint16) if name == "deep.png" else pixels)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []
