"""Which files make a pair, and what becomes of those that do not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.pairs import matched_pairs, pair_folders, pair_images

RNG = np.random.default_rng(7)


def put(path: Path, *shape: int, dtype: str = "uint8") -> np.ndarray:
    """A picture of noise, the pixels of which come back."""
    array = RNG.integers(0, 256, shape or (8, 9), dtype=np.uint8).astype(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array) if path.suffix == ".npy" else Image.fromarray(array).save(path)
    return array


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return tmp_path / "noisy"


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return tmp_path / "clean"


def read(noisy: Path, clean: Path):
    warnings: list[str] = []
    return list(pair_images(noisy, clean, warnings.append)), warnings


def refusal(noisy: Path, clean: Path) -> str:
    with pytest.raises(ImageError) as caught:
        list(pair_images(noisy, clean, lambda text: None))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_of_one_path_make_a_pair_whatever_their_endings(noisy: Path, clean: Path) -> None:
    for name, clean_name in (("b.png", "b.tif"), ("deep/er/a.PNG", "deep/er/a.npy"), ("a.b.png", "a.b.png")):
        put(noisy / name)
        put(clean / clean_name)
    (clean / "notes.txt").write_text("no image")
    images, warnings = read(noisy, clean)
    assert [image.name for image in images] == ["a.b", "b", "deep/er/a"]
    assert {image.split for image in images} == {None}
    assert warnings == []


def test_a_pair_holds_the_noisy_pixels_and_then_the_clean_ones(noisy: Path, clean: Path) -> None:
    given, wanted = put(noisy / "a.png", 8, 9, 3), put(clean / "a.png", 8, 9, 3)
    [[image], _] = read(noisy, clean)
    assert image.pixels.shape == (8, 9, 2, 3)
    assert image.noun == "pair"
    np.testing.assert_array_equal(image.pixels[:, :, 0], given)
    np.testing.assert_array_equal(image.pixels[:, :, 1], wanted)


def test_files_without_a_partner_are_counted_on_both_sides_and_some_are_named(noisy: Path, clean: Path) -> None:
    put(noisy / "a.png")
    put(clean / "a.png")
    put(clean / "z.png")
    for number in range(42):
        put(noisy / f"n{number:02}.png")
    images, [warning] = read(noisy, clean)
    assert [image.name for image in images] == ["a"]
    shown = ", ".join(f"n{number:02}.png" for number in range(40))
    assert warning == (
        f"left out without a partner: 42 files in {noisy} ({shown} and 2 more) and 1 file in {clean} (z.png)"
    )


def test_no_match_at_all_is_refused_with_an_example_and_the_remedy(noisy: Path, clean: Path) -> None:
    put(noisy / "1_noisy.png")
    put(clean / "1_clean.png")
    assert refusal(noisy, clean) == (
        f"no image of {noisy} has a partner of its name in {clean} (1_noisy.png and 1_clean.png, for example); "
        "name both images of a pair alike"
    )


@pytest.mark.parametrize("twice", ["noisy", "clean"])
def test_two_candidates_for_one_partner_are_refused(noisy: Path, clean: Path, twice: str) -> None:
    put(noisy / "a.png")
    put(clean / "a.png")
    put(noisy.parent / twice / "a.tif")
    assert refusal(noisy, clean) == (
        f"a.png and a.tif in {noisy.parent / twice} could both belong to the pair a; keep one"
    )


def test_two_candidates_without_a_partner_are_in_nobodys_way(noisy: Path, clean: Path) -> None:
    for path in (noisy / "a.png", clean / "a.png", noisy / "b.png", noisy / "b.tif"):
        put(path)
    images, [warning] = read(noisy, clean)
    assert len(images) == 1
    assert "2 files" in warning
    assert "b.png, b.tif" in warning


def test_pairs_that_do_not_fit_together_are_left_out_and_listed(noisy: Path, clean: Path) -> None:
    for name, noisy_shape, clean_shape in (
        ("good", (8, 9), (8, 9)),
        ("size", (8, 9), (9, 8)),
        ("colour", (8, 9), (8, 9, 3)),
    ):
        put(noisy / f"{name}.png", *noisy_shape)
        put(clean / f"{name}.png", *clean_shape)
    put(noisy / "depth.npy", dtype="uint16")
    put(clean / "depth.png")
    images, [warning] = read(noisy, clean)
    assert [image.name for image in images] == ["good"]
    assert warning == (
        "3 pairs left out, whose images differ: colour (noisy 1 channel, clean 3 channels), "
        "depth (noisy uint16, clean uint8), size (noisy 8x9, clean 9x8)"
    )


def test_pairs_none_of_which_fit_together_are_refused(noisy: Path, clean: Path) -> None:
    put(noisy / "a.png", 8, 9)
    put(clean / "a.png", 9, 9)
    assert refusal(noisy, clean).startswith(
        f"no pair of {noisy} and {clean} fits together: a (noisy 8x9, clean 9x9); both images of a pair need"
    )


def test_a_pair_of_which_one_cannot_be_read_is_skipped_and_it_is_said_which(noisy: Path, clean: Path) -> None:
    for name in ("a.png", "b.png"):
        put(noisy / name)
        put(clean / name)
    (clean / "b.png").write_bytes(b"")
    images, warnings = read(noisy, clean)
    assert [image.name for image in images] == ["a"]
    assert warnings == ["1 file skipped, unreadable: b (clean: the file is empty)"]
    (noisy / "a.png").write_bytes(b"")
    assert refusal(noisy, clean).startswith(f"none of the 2 pairs in {noisy} and {clean} can be read: a (noisy:")


def test_folders_that_hold_the_same_images_have_no_noise_to_remove(noisy: Path, clean: Path) -> None:
    array = put(noisy / "a.png")
    clean.mkdir()
    Image.fromarray(array).save(clean / "a.png")
    assert "no noise to remove" in refusal(noisy, clean)
    put(noisy / "b.png")
    put(clean / "b.png")
    assert [image.name for image in read(noisy, clean)[0]] == ["a", "b"]


def test_splits_are_folders_that_both_sides_have(noisy: Path, clean: Path) -> None:
    for name in ("train/a.png", "val/b.png", "test/c.png", "beside.png"):
        put(noisy / name)
        put(clean / name)
    images, [warning] = read(noisy, clean)
    assert {image.name: image.split for image in images} == {"train/a": "train", "val/b": "val", "test/c": "test"}
    assert warning == f"1 pair beside train/, val/ and test/ in {noisy} and {clean} left out"
    (clean / "val" / "b.png").unlink()
    (clean / "val").rmdir()
    assert {image.name: image.split for image in read(noisy, clean)[0]} == {"train/a": None, "test/c": "test"}


def test_only_two_folders_can_be_a_source_of_pairs(noisy: Path, clean: Path) -> None:
    put(noisy / "a.png")
    for names, reason in (
        ((str(noisy), str(clean)), f"{str(clean)!r} is no folder"),
        ((str(noisy / "a.png"), str(noisy)), f"{str(noisy / 'a.png')!r} is a file"),
        ((str(noisy), f"{noisy}/../noisy"), "names one folder twice"),
    ):
        with pytest.raises(ImageError) as caught:
            pair_folders(names)
        assert reason in str(caught.value)
    clean.mkdir()
    assert pair_folders((str(noisy), str(clean))) == (noisy, clean)
    with pytest.raises(ImageError, match="holds no files"):
        matched_pairs(noisy, clean, lambda text: None)
