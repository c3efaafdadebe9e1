import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.folder import files_below, folder_images, listed


def put(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)


def read(folder: Path):
    warnings: list[str] = []
    return list(folder_images(folder, warnings.append)), warnings


def test_images_are_found_below_whatever_the_case_of_their_suffix_hidden_ones_apart(tmp_path):
    for name in ("b.PNG", "deep/er/a.JPG", "deep/c.tiff", ".hidden.png", ".git/d.png", "deep/._b.png"):
        put(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    images, warnings = read(tmp_path)
    assert [image.name for image in images] == ["b.PNG", "deep/c.tiff", "deep/er/a.JPG"]
    assert {image.split for image in images} == {None}
    assert warnings == []


def test_a_study_below_the_images_adds_none_of_its_pictures(tmp_path):
    for name in ("a.png", "runs/mine/best/preview.png", "runs/b.png"):
        put(tmp_path / name)
    (tmp_path / "runs/mine/study.db").touch()
    assert files_below(tmp_path) == ["a.png", "runs/b.png"]
    assert files_below(tmp_path / "runs/mine/best") == ["preview.png"]
    assert files_below(tmp_path / "runs/mine") == ["best/preview.png", "study.db"]


def test_subfolders_train_val_and_test_are_the_split_and_what_lies_beside_is_left_out(tmp_path):
    for name in ("train/a.png", "train/cats/b.png", "val/c.png", "test/d.png", "e.png", "more/f.png"):
        put(tmp_path / name)
    images, warnings = read(tmp_path)
    assert [(image.name, image.split) for image in images] == [
        ("test/d.png", "test"),
        ("train/a.png", "train"),
        ("train/cats/b.png", "train"),
        ("val/c.png", "val"),
    ]
    [warning] = warnings
    assert warning.startswith("2 images beside train/, val/ and test/")


def test_while_val_is_missing_the_split_of_train_is_open_for_it_to_be_drawn(tmp_path):
    put(tmp_path / "train/a.png")
    put(tmp_path / "test/b.png")
    images, _ = read(tmp_path)
    assert [(image.name, image.split) for image in images] == [("test/b.png", "test"), ("train/a.png", None)]


def test_a_folder_called_test_without_a_train_is_like_any_other(tmp_path):
    put(tmp_path / "test/b.png")
    assert read(tmp_path)[0][0].split is None


def test_corrupt_files_are_skipped_with_one_warning_that_names_them(tmp_path):
    put(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "empty.jpg").touch()
    images, warnings = read(tmp_path)
    assert [image.name for image in images] == ["good.png"]
    [warning] = warnings
    assert warning.startswith("2 files skipped, unreadable: bad.png (")
    assert "empty.jpg (the file is empty)" in warning
    assert "\n" not in warning


def test_unreadable_files_are_named_under_the_reason_they_share(tmp_path):
    put(tmp_path / "good.png")
    for name in ("a.png", "b.jpg", "c.webp"):
        (tmp_path / name).touch()
    (tmp_path / "0.npy").write_bytes(b"nothing")
    _, [warning] = read(tmp_path)
    assert warning == (
        "4 files skipped, unreadable: a.png, b.jpg, c.webp (the file is empty); 0.npy (no NPY file, or damaged)"
    )


def test_the_warning_stays_one_line_however_many_reasons_there_are(tmp_path):
    put(tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "nonsense.npy").write_bytes(b"nothing")
    (tmp_path / "nonsense.png").write_bytes(b"nothing")
    np.save(tmp_path / "deep.npy", np.zeros((2, 2, 2, 2)))
    np.save(tmp_path / "wide.npy", np.zeros((2, 2, 20)))
    _, [warning] = read(tmp_path)
    assert warning.startswith("5 files skipped, unreadable: ")
    assert warning.endswith("; 2 more for other reasons")


def test_a_folder_with_nothing_but_corrupt_files_is_refused(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"none of the 1 image in .* can be read: empty\.jpg \(the file is empty\)"):
        read(tmp_path)


def test_a_wrong_folder_shows_what_was_found_in_it(tmp_path):
    for number in range(41):
        (tmp_path / f"{number}.czi").touch()
    (tmp_path / "LICENSE").touch()
    with pytest.raises(ImageError, match=r"holds 41 \.czi files, 1 without a suffix, but no PNG.*; convert to TIFF$"):
        read(tmp_path)


def test_an_empty_folder_is_called_empty(tmp_path):
    with pytest.raises(ImageError, match="holds no files; give a folder with PNG, JPEG, TIFF, WebP or NPY images"):
        read(tmp_path)


def test_linked_folders_are_followed_and_a_link_upwards_does_not_go_round_for_ever(tmp_path):
    put(tmp_path / "elsewhere/a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/linked/up").symlink_to(tmp_path / "data")
    assert [image.name for image in read(tmp_path / "data")[0]] == ["linked/a.png"]


def test_odd_bytes_in_a_name_never_break_a_line(tmp_path):
    put(tmp_path / "two\nlines.png")
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb"):
        pass
    images, [warning] = read(tmp_path)
    assert images[0].name == "two?lines.png"
    assert warning == "1 file skipped, unreadable: ?.png (the file is empty)"


def test_long_lists_are_cut():
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert listed(list("abcde")) == "a, b, c, d, e"
