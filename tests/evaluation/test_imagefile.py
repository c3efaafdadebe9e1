import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.imagefile import (
    ImageFile,
    LabelledImage,
    cache_folder,
    open_image_file,
    pixels,
    write_image_file,
    writing_to,
)

RNG = np.random.default_rng(0)
IMAGES = [
    LabelledImage("a", "train", RNG.integers(0, 256, (40, 32, 3), dtype=np.uint8)),
    LabelledImage("b", "val", RNG.integers(0, 256, (32, 48, 3), dtype=np.uint8)),
    LabelledImage("c", "test", RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)),
]


def write(cache: Path, images: list[LabelledImage] = IMAGES, source: str = "somewhere") -> ImageFile:
    n = images[0].pixels.shape[2]
    return write_image_file(images, low=(0.0,) * n, high=(255.0,) * n, source=source, cache=cache)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_what_is_written_in_any_depth_is_read_back_bit_for_bit(tmp_path, dtype):
    images = [image._replace(pixels=(image.pixels * 0.7).astype(dtype)) for image in IMAGES]
    written = write(tmp_path, images)
    opened = open_image_file(written.path, source="somewhere")
    assert opened == written
    flat = pixels(opened)
    assert flat.dtype == dtype
    for entry, image in zip(opened.images, images, strict=True):
        block = flat[entry.offset : entry.offset + image.pixels.size]
        np.testing.assert_array_equal(block.reshape(entry.height, entry.width, 3), image.pixels)


def test_the_file_is_named_by_its_fingerprint_and_nobody_may_write_it(tmp_path):
    written = write(tmp_path)
    path = Path(written.path)
    assert path.name == f"{written.fingerprint}.evoae-images"
    assert len(written.fingerprint) == 64
    assert path.stat().st_mode & 0o222 == 0
    assert os.listdir(tmp_path) == [path.name]


def test_the_fingerprint_follows_pixels_and_split_but_not_the_place_they_came_from(tmp_path):
    first = write(tmp_path)
    changed = IMAGES[0].pixels.copy()
    changed[5, 5, 0] ^= 1
    other_pixels = write(tmp_path, [IMAGES[0]._replace(pixels=changed), *IMAGES[1:]])
    other_split = write(tmp_path, [IMAGES[0]._replace(split="test"), *IMAGES[1:]])
    moved = write(tmp_path, source="elsewhere")
    assert len({first.fingerprint, other_pixels.fingerprint, other_split.fingerprint}) == 3
    assert moved.fingerprint == first.fingerprint
    assert moved.source == "elsewhere"


def test_the_same_images_are_written_once(tmp_path):
    first = Path(write(tmp_path).path)
    inode = first.stat().st_ino
    assert Path(write(tmp_path).path).stat().st_ino == inode


@pytest.mark.parametrize("n_lost", [1, 16, 1000, 10_000])
def test_a_file_that_was_cut_is_refused_by_readers_and_replaced_by_writers(tmp_path, n_lost):
    written = write(tmp_path)
    path = Path(written.path)
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-n_lost])
    with pytest.raises(ImageError, match="is damaged") as refusal:
        open_image_file(path)
    assert "\n" not in str(refusal.value)
    write(tmp_path)
    assert path.read_bytes() == whole


def test_a_file_that_lost_bytes_in_the_middle_is_refused(tmp_path):
    path = Path(write(tmp_path).path)
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[4096:])
    with pytest.raises(ImageError, match="is damaged"):
        open_image_file(path)


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.evoae-images is gone; run the search again"):
        open_image_file(tmp_path / "gone.evoae-images")


def test_torch_maps_the_pixels_without_a_copy_and_a_stray_write_never_reaches_the_file(tmp_path):
    written = write(tmp_path)
    before = Path(written.path).read_bytes()
    flat = pixels(written)
    tensor = torch.from_numpy(flat)
    assert tensor.data_ptr() == flat.ctypes.data
    tensor.zero_()
    assert Path(written.path).read_bytes() == before
    np.testing.assert_array_equal(pixels(written)[: IMAGES[0].pixels.size], IMAGES[0].pixels.ravel())


def test_mixed_depths_or_channels_are_a_bug_and_leave_nothing_behind(tmp_path):
    for pixels_ in (IMAGES[0].pixels.astype(np.uint16), IMAGES[0].pixels[..., :1]):
        with pytest.raises(ValueError, match="one depth and one channel count"):
            write(tmp_path, [*IMAGES, IMAGES[0]._replace(pixels=pixels_)])
    assert os.listdir(tmp_path) == []


def test_a_cache_folder_that_cannot_be_made_is_one_line_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EVOAE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        ImageError, match=r"cannot write to the cache folder .*; name another with EVOAE_CACHE"
    ) as refusal:
        write(tmp_path / "file" / "cache")
    assert "\n" not in str(refusal.value)


def test_the_summary_counts_the_split_and_says_sizes_colour_and_depth(tmp_path):
    assert write(tmp_path).summary() == "3 images (1 train, 1 val, 1 test), 32x32 to 32x48, colour, uint8"
    grey = [LabelledImage(name, split, image[:32, :32, :1]) for name, split, image in IMAGES]
    assert write(tmp_path, grey).summary() == "3 images (1 train, 1 val, 1 test), 32x32, grey, uint8"


def test_the_cache_folder_follows_evoae_cache_then_xdg_then_home():
    assert cache_folder({"EVOAE_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/evoae")
    assert cache_folder({}) == Path.home() / ".cache" / "evoae"


def test_a_pair_is_stored_pixel_by_pixel_its_noisy_channels_first(tmp_path):
    images = [image._replace(pixels=np.stack((image.pixels, 255 - image.pixels), axis=2)) for image in IMAGES]
    written = write_image_file(images, low=(0.0,) * 3, high=(255.0,) * 3, source="", cache=tmp_path)
    assert open_image_file(written.path) == written
    assert (written.is_paired, written.channels, written.stored_channels) == (True, 3, 6)
    assert written.summary() == "3 pairs (1 train, 1 val, 1 test), 32x32 to 32x48, colour, uint8"
    entry = written.images[1]
    block = pixels(written)[entry.offset : entry.offset + images[1].pixels.size].reshape(32, 48, 6)
    np.testing.assert_array_equal(block[..., :3], IMAGES[1].pixels)
    np.testing.assert_array_equal(block[..., 3:], 255 - IMAGES[1].pixels)


def test_pairs_and_single_images_never_share_a_file(tmp_path):
    pair = LabelledImage("pair", "train", np.zeros((32, 32, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="one depth and one channel count"):
        write(tmp_path, [*IMAGES, pair])
    with pytest.raises(ValueError, match="or pairs of them"):
        write(tmp_path, [pair._replace(pixels=np.zeros((32, 32, 4, 3), np.uint8))])


def test_a_file_of_single_images_is_the_one_that_older_studies_name(tmp_path):
    ramp = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    written = write(tmp_path, [LabelledImage("a", "train", ramp)])
    assert written.fingerprint == "7046c64fee1d8fc25566600dc1f8d7276bbc76f4f9673b243bc62dc4f6b0b094"


def test_the_variable_that_would_help_is_named_where_a_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, variable in (("cache", "EVOAE_CACHE"), ("evoae-plan-x", "TMPDIR")):
        with (
            pytest.raises(ImageError, match=f"No space left.*name another with {variable}$"),
            writing_to(tmp_path / name),
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
