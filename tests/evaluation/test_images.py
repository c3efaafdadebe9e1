import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from evoae_cli.errors import ImageError, UsageError
from evoae_cli.evaluation.imagefile import ImageFile, pixels
from evoae_cli.evaluation.images import prepare_images

RNG = np.random.default_rng(4)


def put(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else "minisblack")
    else:
        Image.fromarray(array).save(path)


def noise(*shape: int, dtype: str = "uint8", top: int = 256) -> np.ndarray:
    return RNG.integers(0, top, shape).astype(dtype)


@pytest.fixture
def folder(tmp_path) -> Path:
    for number in range(20):
        put(tmp_path / "images" / f"{number:02}.png", noise(32, 40, 3))
    return tmp_path / "images"


class Prepared:
    def __init__(self, source, cache: Path, **changes) -> None:
        self.warnings: list[str] = []
        settings = {
            "data_root": None,
            "download": False,
            "pixel_range": None,
            "patch": 32,
            "crop": 16,
            "seed": 0,
            "n_val": 1,
            "n_test": 1,
            "warn": self.warnings.append,
            "cache": cache,
        }
        named = source if isinstance(source, tuple) else str(source)
        self.file: ImageFile = prepare_images(named, **(settings | changes))


def split_of(image_file: ImageFile) -> dict[str, str]:
    return {image.name: image.split for image in image_file.images}


def image(image_file: ImageFile, name: str) -> np.ndarray:
    entry = next(entry for entry in image_file.images if entry.name == name)
    shape = (entry.height, entry.width, image_file.channels)
    return pixels(image_file)[entry.offset : entry.offset + np.prod(shape)].reshape(shape)


def test_the_photographs_need_nothing_but_the_packages_and_split_by_scene(tmp_path):
    prepared = Prepared("photographs", tmp_path, patch=96, crop=48, n_val=24, n_test=24)
    assert prepared.warnings == []
    assert (prepared.file.dtype, prepared.file.channels) == ("uint8", 3)
    scenes = {
        split: {entry.name.split("/")[0] for entry in prepared.file.of(split)} for split in ("train", "val", "test")
    }
    assert not scenes["train"] & scenes["val"] | scenes["train"] & scenes["test"] | scenes["val"] & scenes["test"]
    assert len(scenes["val"]) >= 2
    assert len(scenes["test"]) >= 2


def test_a_folder_is_split_by_file_80_10_10_as_the_seed_says(tmp_path, folder):
    first, again, other = (Prepared(folder, tmp_path / f"cache{n}", seed=seed).file for n, seed in enumerate((0, 0, 1)))
    assert [first.n_images(split) for split in ("train", "val", "test")] == [16, 2, 2]
    assert split_of(first) == split_of(again)
    assert first.fingerprint == again.fingerprint
    assert split_of(first) != split_of(other)
    assert first.fingerprint != other.fingerprint


def test_three_images_are_enough_one_each(tmp_path):
    for name in "abc":
        put(tmp_path / f"in/{name}.png", noise(32, 32))
    assert sorted(split_of(Prepared(tmp_path / "in", tmp_path).file).values()) == ["test", "train", "val"]


@pytest.mark.parametrize("seed", range(4))
def test_copies_of_an_image_are_all_in_one_split(tmp_path, seed):
    for number in range(30):
        array = noise(32, 32)
        for copy in range(1 + number % 3):
            put(tmp_path / f"in/{copy}/{number}.png", array)
    found = Prepared(tmp_path / "in", tmp_path, seed=seed)
    places = {}
    for name, split in split_of(found.file).items():
        places.setdefault(name.split("/")[1], set()).add(split)
    assert found.warnings == []
    assert all(len(splits) == 1 for splits in places.values())
    assert Counter(split for splits in places.values() for split in splits) == {"train": 24, "val": 3, "test": 3}


def test_an_image_in_two_of_the_folder_s_own_splits_is_told(tmp_path):
    shared, other = noise(32, 32), noise(32, 32)
    for name, array in {"train/a": shared, "train/b": other, "val/c": noise(32, 32), "test/d": shared}.items():
        put(tmp_path / f"in/{name}.png", array)
    assert Prepared(tmp_path / "in", tmp_path).warnings == [
        f"test and train of {tmp_path / 'in'} have 1 image in common (test/d.png is train/a.png), so figures on test "
        "say too much; take it out of one of the two"
    ]
    for name in ("val/c", "test/e"):
        put(tmp_path / f"in/{name}.png", other)
    told = Prepared(tmp_path / "in", tmp_path).warnings
    assert [line.split(" of ")[0] for line in told] == ["val and train", "test and train", "test and val"]
    assert "have 2 images in common (test/d.png is train/a.png, test/e.png is train/b.png)" in told[1]


def test_a_folder_with_train_and_val_has_its_test_images_drawn_from_train(tmp_path):
    for number in range(20):
        put(tmp_path / f"in/train/{number}.png", noise(32, 32))
    put(tmp_path / "in/val/a.png", noise(32, 32))
    found = Prepared(tmp_path / "in", tmp_path).file
    assert [found.n_images(split) for split in ("train", "val", "test")] == [18, 1, 2]
    assert {entry.name.split("/")[0] for entry in found.of("test")} == {"train"}
    assert [entry.name for entry in found.of("val")] == ["val/a.png"]


def test_mixed_sizes_keep_their_pixels(tmp_path):
    arrays = {f"{n}.png": noise(32 + n, 50 - n, 3) for n in range(4)}
    for name, array in arrays.items():
        put(tmp_path / "in" / name, array)
    prepared = Prepared(tmp_path / "in", tmp_path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(image(prepared.file, name), array)


def test_grey_among_colour_is_repeated_to_colour(tmp_path):
    grey = noise(32, 32)
    for name, array in {"a": noise(32, 32, 3), "b": grey, "c": noise(32, 32, 3)}.items():
        put(tmp_path / f"in/{name}.png", array)
    prepared = Prepared(tmp_path / "in", tmp_path)
    assert prepared.file.channels == 3
    np.testing.assert_array_equal(image(prepared.file, "b.png"), np.repeat(grey[..., None], 3, axis=2))


def test_8_bits_map_0_to_255_and_a_range_overrides(tmp_path, folder):
    plain = Prepared(folder, tmp_path).file
    assert (plain.low, plain.high) == ((0.0,) * 3, (255.0,) * 3)
    ranged = Prepared(folder, tmp_path, pixel_range=(10.0, 200.0)).file
    assert (ranged.low, ranged.high) == ((10.0,) * 3, (200.0,) * 3)


@pytest.mark.parametrize("suffix", ["tif", "npy"])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_deeper_images_keep_their_depth_and_take_the_limits_of_each_training_channel(tmp_path, dtype, suffix):
    arrays = {
        f"{split}/{n}.{suffix}": noise(32, 32, 3, dtype=dtype, top=1000) for split in ("train", "val") for n in "ab"
    }
    arrays[f"test/c.{suffix}"] = noise(32, 32, 3, dtype=dtype, top=60000)
    for name, array in arrays.items():
        put(tmp_path / "in" / name, array)
    found = Prepared(tmp_path / "in", tmp_path).file
    assert found.dtype == dtype
    train = np.stack([array for name, array in arrays.items() if name.startswith("train")])
    assert found.low == tuple(train.min(axis=(0, 1, 2)).tolist())
    assert found.high == tuple(train.max(axis=(0, 1, 2)).tolist())
    np.testing.assert_array_equal(image(found, f"test/c.{suffix}"), arrays[f"test/c.{suffix}"])


def test_a_constant_channel_still_has_two_limits(tmp_path):
    for place, name in enumerate("abc"):
        pixels = np.zeros((32, 32, 2), np.float32)
        pixels[place, 0, 1] = 5
        put(tmp_path / f"in/{name}.npy", pixels)
    found = Prepared(tmp_path / "in", tmp_path).file
    assert (found.low, found.high) == ((0.0, 0.0), (1.0, 5.0))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_constant_training_images_are_refused(tmp_path, dtype):
    for name in ("train/a", "train/b", "val/c", "test/d"):
        pixels = np.full((32, 32), 7, dtype) if name.startswith("train") else noise(32, 32, dtype=dtype)
        put(tmp_path / f"in/{name}.npy", pixels)
    with pytest.raises(ImageError, match=r"all pixels of the training images of .* are equal \(7\); there is nothing"):
        Prepared(tmp_path / "in", tmp_path)


@pytest.mark.parametrize("pixel_range", [(300.0, 1000.0), (-1.0, 0.0), (255.0, 256.0)])
def test_a_range_that_holds_no_training_pixel_is_refused(tmp_path, folder, pixel_range):
    with pytest.raises(ImageError, match=r"--range .* leaves nothing to see: .* values from 0 to 255$"):
        Prepared(folder, tmp_path, pixel_range=pixel_range)
    assert Prepared(folder, tmp_path, pixel_range=(254.0, 1000.0)).file.low == (254.0,) * 3


def test_small_images_are_skipped_with_one_warning_that_names_them(tmp_path, folder):
    put(folder / "small.png", noise(31, 90, 3))
    prepared = Prepared(folder, tmp_path)
    assert prepared.warnings == ["1 image skipped, smaller than 32x32: small.png (31x90)"]
    assert len(prepared.file.images) == 20


def test_images_smaller_than_the_crop_are_skipped_too(tmp_path, folder):
    put(folder / "large.png", noise(64, 64, 3))
    with pytest.raises(ImageError, match="only 1 usable image"):
        Prepared(folder, tmp_path, crop=64)


def test_fewer_patches_than_wanted_are_said(tmp_path, folder):
    prepared = Prepared(folder, tmp_path, n_val=500, n_test=18)
    assert prepared.warnings == ["val has only 18 images of 32x32, not the 500 asked for"]


def test_corrupt_files_are_skipped_and_said_again_at_every_start(tmp_path, folder):
    (folder / "bad.jpg").write_bytes(b"nonsense")
    first, again = Prepared(folder, tmp_path), Prepared(folder, tmp_path)
    assert len(first.warnings) == 1
    assert "bad.jpg" in first.warnings[0]
    assert first.warnings == again.warnings
    assert first.file == again.file


def test_an_unchanged_folder_is_not_decoded_again_and_a_changed_one_is(tmp_path, folder):
    first = Prepared(folder, tmp_path / "cache").file
    (path,) = (path for path in (tmp_path / "cache").iterdir() if path.suffix == ".evoae-source")
    assert Prepared(folder, tmp_path / "cache").file == first
    path.write_text("an" * 32)
    assert Prepared(folder, tmp_path / "cache").file == first
    put(folder / "00.png", noise(32, 40, 3))
    assert Prepared(folder, tmp_path / "cache").file.fingerprint != first.fingerprint


def test_a_damaged_file_in_the_cache_is_written_anew(tmp_path, folder):
    first = Prepared(folder, tmp_path / "cache").file
    whole = Path(first.path).read_bytes()
    os.chmod(first.path, 0o644)
    os.truncate(first.path, 1000)
    assert Prepared(folder, tmp_path / "cache").file == first
    assert Path(first.path).read_bytes() == whole


def test_stl10_in_the_real_layout_becomes_a_file(tmp_path):
    place = tmp_path / "stl10_binary"
    place.mkdir()
    for name, n in (("train", 20), ("test", 4)):
        noise(n, 3, 96, 96).tofile(place / f"{name}_X.bin")
        np.ones(n, np.uint8).tofile(place / f"{name}_y.bin")
    found = Prepared("stl10", tmp_path / "cache", data_root=str(tmp_path), patch=96, crop=96, n_val=2, n_test=4).file
    assert found.summary() == "24 images (18 train, 2 val, 4 test), 96x96, colour, uint8"


def tree(place: Path, **arrays: np.ndarray) -> Path:
    for name, array in arrays.items():
        put(place / name.replace("__", "."), array)
    return place


GREY, COLOUR, FIVE = noise(32, 32), noise(32, 32, 3), noise(32, 32, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp: "photograph", "'photograph': there is no such folder; did you mean photographs?"),
        (
            lambda tmp: tmp / "nowhere",
            "there is no such folder; give a folder of images, or photographs, stl10, cifar10",
        ),
        (lambda tmp: "", "there is no such folder"),
        (lambda tmp: tree(tmp / "in", a__png=GREY) / "a.png", "a.png is a file; name its folder, "),
        (
            lambda tmp: tree(tmp / "in", a__png=GREY, b__png=noise(32, 32)),
            "only 2 usable images to split; at least 3 are needed (train, val, test)",
        ),
        (
            lambda tmp: tree(tmp / "in", a__png=GREY, b__png=GREY, c__png=noise(32, 32)),
            "only 2 different usable images to split; at least 3 are needed (train, val, test)",
        ),
        (lambda tmp: "stl10", "stl10 is not in "),
        (
            lambda tmp: tree(tmp / "in", a__png=GREY, b__png=GREY, c__npy=DEEP),
            "mix depths: uint16 (1 file, as c.npy) and uint8 (2 files, as a.png); convert them to one depth",
        ),
        (
            lambda tmp: tree(tmp / "in", a__npy=FIVE, b__npy=GREY, c__npy=COLOUR),
            "mix numbers of channels: 1 (as b.npy) and 3 (as c.npy) and 5 (as a.npy); only grey and colour",
        ),
        (
            lambda tmp: tree(tmp / "in", a__png=noise(30, 31), b__png=noise(20, 90), c__png=noise(26, 25)),
            "are smaller than --patch 32 (largest 30x31); use --patch 24 --crop 24",
        ),
        (lambda tmp: tree(tmp / "in", a__png=noise(3, 3)), "(largest 3x3); use larger ones"),
        (
            lambda tmp: tree(tmp / "in", a__czi__npy=GREY).parent,
            "only 1 usable image to split; at least 3 are needed (train, val, test)",
        ),
    ],
)
def test_every_mistake_is_one_line_that_names_it_and_leaves_no_half_written_file(tmp_path, make, message):
    with pytest.raises(ImageError) as refusal:
        Prepared(make(tmp_path), tmp_path / "cache", crop=32)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "cache").exists() or os.listdir(tmp_path / "cache") == []


DEEP = noise(32, 32, dtype="uint16", top=60000)


def test_a_split_whose_images_are_all_unusable_is_named(tmp_path):
    for name, size in {"train/a": 32, "val/b": 32, "test/c": 16}.items():
        put(tmp_path / f"in/{name}.png", noise(size, size))
    with pytest.raises(ImageError, match=r"test of .* has no usable image; each split needs one"):
        Prepared(tmp_path / "in", tmp_path)


@pytest.mark.parametrize("pixel_range", [(255.0, 0.0), (1.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_a_range_without_extent_is_refused(tmp_path, folder, pixel_range):
    with pytest.raises(UsageError, match=r"--range .*: the first value must be below the second, and both finite"):
        Prepared(folder, tmp_path, pixel_range=pixel_range)


def put_pairs(place: Path, n: int = 20, dtype: str = "uint8") -> tuple[str, str]:
    """Clean images of few values and noisy ones of many, as source of pairs."""
    for number in range(n):
        clean = noise(32, 40, dtype=dtype, top=100) + np.array(50, dtype)
        name = f"{number:02}.png" if dtype == "uint8" else f"{number:02}.npy"
        put(place / "clean" / name, clean)
        put(place / "noisy" / name, (clean + RNG.normal(0, 20, clean.shape)).round().astype(dtype))
    return str(place / "noisy"), str(place / "clean")


def test_pairs_are_split_as_one_and_keep_their_pixels(tmp_path):
    source = put_pairs(tmp_path / "in")
    file = Prepared(source, tmp_path).file
    assert file.summary() == "20 pairs (16 train, 2 val, 2 test), 32x40, grey, uint8"
    assert file.source == " with ".join(source)
    assert (file.low, file.high) == ((0.0,), (255.0,))
    flat = pixels(file)
    for entry in file.images:
        stored = flat[entry.offset : entry.offset + 32 * 40 * 2].reshape(32, 40, 2)
        for channel, folder in enumerate(source):
            np.testing.assert_array_equal(stored[..., channel], np.asarray(Image.open(f"{folder}/{entry.name}.png")))


def test_several_noisy_images_of_one_clean_one_are_in_one_split(tmp_path):
    for number in range(40):
        clean = np.full((32, 40), 10 + number // 4, "uint8")
        put(tmp_path / f"in/clean/{number:02}.png", clean)
        put(tmp_path / f"in/noisy/{number:02}.png", noise(32, 40))
    splits = split_of(Prepared((str(tmp_path / "in/noisy"), str(tmp_path / "in/clean")), tmp_path).file)
    places = [{splits[f"{4 * scene + shot:02}"] for shot in range(4)} for scene in range(10)]
    assert sorted(map(sorted, places)) == [["test"], *[["train"]] * 8, ["val"]]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_limits_of_pairs_are_those_of_the_clean_images(tmp_path, dtype):
    file = Prepared(put_pairs(tmp_path / "in", dtype=dtype), tmp_path).file
    assert (file.low, file.high) == ((50.0,), (149.0,))
    assert pixels(file).min() < 50
    assert pixels(file).max() > 149


def test_grey_pairs_among_colour_ones_are_repeated_to_colour_each_for_itself(tmp_path):
    source = put_pairs(tmp_path / "in", 3)
    for folder in source:
        put(Path(folder) / "colour.png", noise(32, 40, 3))
    file = Prepared(source, tmp_path).file
    assert (file.channels, file.stored_channels) == (3, 6)
    entry = next(entry for entry in file.images if entry.name == "00")
    stored = pixels(file)[entry.offset : entry.offset + 32 * 40 * 6].reshape(32, 40, 6)
    for first, folder in ((0, source[0]), (3, source[1])):
        grey = np.asarray(Image.open(f"{folder}/00.png"))
        np.testing.assert_array_equal(stored[..., first : first + 3], np.repeat(grey[..., None], 3, axis=2))


def test_pairs_are_read_anew_once_a_file_on_either_side_changes(tmp_path):
    source = put_pairs(tmp_path / "in", 4)
    found = [Prepared(source, tmp_path).file.fingerprint]
    for folder in source:
        put(Path(folder) / "00.png", noise(32, 40))
        found.append(Prepared(source, tmp_path).file.fingerprint)
    assert len(set(found)) == 3
    assert Prepared(source, tmp_path).file.fingerprint == found[-1]


def test_too_few_or_too_small_pairs_are_told_as_pairs(tmp_path):
    source = put_pairs(tmp_path / "in", 2)
    with pytest.raises(ImageError, match="has only 2 usable pairs to split"):
        Prepared(source, tmp_path)
    with pytest.raises(ImageError, match=r"all 2 pairs of .* are smaller than --patch 48"):
        Prepared(source, tmp_path, patch=48)
