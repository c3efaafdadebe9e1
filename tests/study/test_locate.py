import os
from datetime import datetime
from pathlib import Path

import pytest

from evoae_cli.errors import StudyError
from evoae_cli.study.locate import find_study, list_studies, new_study_folder, shortest_name, study_path


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOAE_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def make_study(folder: Path, at: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "study.db").touch()
    (folder / "study.toml").touch()
    os.utime(folder / "study.toml", (at, at))
    return folder


def test_a_bare_name_lies_under_runs_and_a_path_is_a_path(runs: Path) -> None:
    assert study_path("mine") == runs / "mine"
    assert study_path("./mine") == Path("mine")
    assert study_path("/a/mine") == Path("/a/mine")
    assert study_path(".") == Path(".")


def test_lines_to_copy_name_a_study_so_that_it_is_found_from_anywhere(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_study(runs / "mine")
    # `runs` is `EVOAE_RUNS` here, so the name is enough.
    assert shortest_name(folder) == "mine"
    assert shortest_name(Path("a/mine")) == "a/mine"
    monkeypatch.chdir(folder)
    assert shortest_name(Path(".")) == str(folder)


def test_an_empty_name_is_refused() -> None:
    for name in ("", "  "):
        with pytest.raises(StudyError, match="name is empty"):
            study_path(name)


def test_a_study_without_its_settings_file_is_listed_last(runs: Path) -> None:
    make_study(runs / "whole", 2000)
    (make_study(runs / "half", 3000) / "study.toml").unlink()
    assert list_studies() == [runs / "whole", runs / "half"]


def test_without_a_name_the_newest_study_is_taken_and_that_is_said(runs: Path) -> None:
    make_study(runs / "old", 1000)
    newest = make_study(runs / "new", 2000)
    (runs / "no-study").mkdir()
    assert find_study(None) == (newest, True)
    assert find_study("old") == (runs / "old", False)
    assert list_studies() == [newest, runs / "old"]


def test_a_study_is_found_by_name_by_path_and_from_its_own_folder(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = make_study(runs.parent / "elsewhere")
    assert find_study("./elsewhere")[0].resolve() == elsewhere.resolve()
    assert find_study("elsewhere")[0].resolve() == elsewhere.resolve()
    monkeypatch.chdir(elsewhere)
    assert find_study(".")[0].resolve() == elsewhere.resolve()


def test_a_missing_study_is_refused_with_what_there_is(runs: Path) -> None:
    with pytest.raises(StudyError, match=r"no study in .*; start one"):
        find_study(None)
    make_study(runs / "mine")
    with pytest.raises(StudyError, match="no study 'other'; there are: mine"):
        find_study("other")
    for name in "abcdef":
        make_study(runs / name)
    with pytest.raises(StudyError, match=r"there are: (\w+, ){4}\w+ and 2 more$"):
        find_study("other")
    (runs / "empty").mkdir()
    with pytest.raises(StudyError, match="is no study"):
        find_study("empty")


def test_a_new_study_is_named_by_objective_date_and_time_and_never_twice_the_same(runs: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5)
    first = new_study_folder(None, "denoise", now)
    assert first == runs / "denoise-20260102-030405"
    first.mkdir(parents=True)
    assert new_study_folder(None, "denoise", now) == runs / "denoise-20260102-030405-2"


def test_what_is_there_already_is_never_taken_for_a_new_study(runs: Path) -> None:
    make_study(runs / "mine")
    with pytest.raises(StudyError, match="evoae resume"):
        new_study_folder("mine", "denoise")
    (runs / "full").mkdir()
    (runs / "full" / "file").touch()
    with pytest.raises(StudyError, match="is no study"):
        new_study_folder("full", "denoise")
    (runs / "empty").mkdir()
    assert new_study_folder("empty", "denoise") == runs / "empty"
