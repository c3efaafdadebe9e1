"""Which files are read and where their results go; nothing is ever touched by asking."""

from pathlib import Path

import pytest

from evoae_cli.applying.inputs import plan
from evoae_cli.errors import ImageError, UsageError


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("a.png", "photos/b.jpg", "photos/deep/c.tif", "photos/notes.txt", "photos/.hidden.png", "more/b.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def targets(here: Path, inputs: str, out: str, *, is_forced: bool = False, is_folder: bool = False) -> list[str]:
    jobs = plan([here / name for name in inputs.split()], here / out, is_forced=is_forced, is_folder=is_folder)
    return [job.target.relative_to(here).as_posix() for job in jobs if job.target]


@pytest.mark.parametrize(
    ("inputs", "out", "is_folder", "found"),
    [
        ("a.png", "out.tif", False, ["out.tif"]),
        ("a.png", "photos", False, ["photos/a.png"]),
        ("a.png", "new", True, ["new/a.png"]),
        ("photos", "new", False, ["new/b.jpg", "new/deep/c.tif"]),
        ("a.png photos", "new", False, ["new/a.png", "new/b.jpg", "new/deep/c.tif"]),
        ("a.png photos/b.jpg", "new/deeper", False, ["new/deeper/a.png", "new/deeper/b.jpg"]),
        ("photos photos/b.jpg", "new", False, ["new/b.jpg", "new/deep/c.tif"]),
    ],
)
def test_a_file_goes_to_a_file_or_folder_and_folders_keep_their_structure(
    here: Path, inputs: str, out: str, is_folder: bool, found: list[str]
) -> None:
    before = sorted(here.rglob("*"))
    assert targets(here, inputs, out, is_folder=is_folder) == found
    assert sorted(here.rglob("*")) == before


def test_without_an_output_nothing_is_to_be_written(here: Path) -> None:
    jobs = plan([here / "photos"], None)
    assert [(job.name, job.target) for job in jobs] == [("b.jpg", None), ("deep/c.tif", None)]


def test_results_of_an_earlier_run_below_the_input_are_no_inputs(here: Path) -> None:
    (here / "photos/clean").mkdir()
    (here / "photos/clean/b.jpg").touch()
    assert targets(here, "photos", "photos/clean", is_forced=True) == ["photos/clean/b.jpg", "photos/clean/deep/c.tif"]


def test_names_that_would_collide_are_refused_with_both_sources(here: Path) -> None:
    with pytest.raises(UsageError, match=r"photos/b\.jpg and .*more/b\.jpg would both become .*new/b\.jpg"):
        targets(here, "photos more", "new", is_forced=True)
    (here / "more/a.png").mkdir()
    (here / "more/a.png/d.png").touch()
    with pytest.raises(UsageError, match=r"must be a folder for .*d\.png"):
        targets(here, "a.png more", "new", is_forced=True)


def test_the_first_file_that_exists_and_the_number_of_others_are_named(here: Path) -> None:
    (here / "new/deep").mkdir(parents=True)
    (here / "new/b.jpg").touch()
    with pytest.raises(UsageError, match=r"new/b\.jpg exists; add --force to overwrite it"):
        targets(here, "photos", "new")
    (here / "new/deep/c.tif").touch()
    with pytest.raises(UsageError, match=r"new/b\.jpg exists \(and 1 more\); add --force to overwrite them"):
        targets(here, "photos", "new")
    assert len(targets(here, "photos", "new", is_forced=True)) == 2


@pytest.mark.parametrize(("inputs", "out"), [("photos", "photos"), ("a.png photos", "."), ("a.png more photos", ".")])
def test_an_input_is_never_overwritten_even_by_force(here: Path, inputs: str, out: str) -> None:
    with pytest.raises(UsageError, match=r"is the input|would both become"):
        targets(here, inputs, out, is_forced=True)


def test_one_input_is_not_overwritten_by_the_result_of_another_under_any_name(here: Path) -> None:
    (here / "new").mkdir()
    (here / "new/a.png").symlink_to(here / "photos/b.jpg")
    with pytest.raises(UsageError, match=r"is the input .*photos/b\.jpg"):
        targets(here, "a.png photos", "new", is_forced=True)
    (here / "link.png").hardlink_to(here / "a.png")
    with pytest.raises(UsageError, match="the image itself"):
        targets(here, "a.png", "link.png", is_forced=True)


@pytest.mark.parametrize(
    ("inputs", "out", "part"),
    [
        ("gone.png", "out.png", "gone.png does not exist"),
        ("a.png gone", "new", "gone does not exist"),
        ("photos/notes.txt", "out.png", "'.txt'"),
        ("a.png", "out.xyz", "'.xyz'"),
        ("a.png", "no/out.png", "no does not exist; make it first"),
        ("photos", "a.png", "a.png is a file"),
        ("photos", "a.png/below", "a.png is a file"),
        ("a.png", "folder.png", "is a folder"),
        ("empty", "new", "empty holds no image"),
    ],
)
def test_what_is_missing_or_of_the_wrong_kind_is_named(here: Path, inputs: str, out: str, part: str) -> None:
    (here / "folder.png").mkdir()
    (here / "empty").mkdir()
    with pytest.raises(UsageError, match=part):
        targets(here, inputs, out, is_forced=True)


def test_a_link_to_nothing_in_a_folder_leaves_the_others_their_place(here: Path) -> None:
    (here / "photos/gone.png").symlink_to(here / "nowhere")
    assert targets(here, "photos", "new") == ["new/b.jpg", "new/deep/c.tif", "new/gone.png"]
    with pytest.raises(ImageError):
        targets(here, "photos/gone.png", "new.png")
