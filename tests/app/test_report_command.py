"""`evoae report` as people run it."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

import evoae_cli
from evoae_cli.app.main import run
from evoae_cli.app.running import Show, run_study
from evoae_cli.page.write import page_text
from evoae_cli.study.study import Study
from evoae_cli.study.summary import summary


def evoae(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        run([str(arg) for arg in args])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.fixture
def runs(tmp_path: Path, finished_study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder with the study `mine`."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copytree(finished_study, folder / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVOAE_RUNS", "runs")
    return folder


def test_a_search_has_written_its_page_at_its_end(finished_study: Path) -> None:
    page = (finished_study / "report.html").read_text(encoding="utf-8")
    best = summary(finished_study)["best"]
    assert best["genotype"] in page
    assert f"{best['test']['psnr_db']:.2f}" in page


def test_the_newest_study_gets_its_page_and_only_its_path_is_printed(
    runs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (runs / "mine" / "report.html").write_text("old")
    assert evoae("report") == 0
    said = capfd.readouterr()
    assert said.out == "runs/mine/report.html\n"
    assert "newest study: runs/mine" in said.err
    assert (runs / "mine" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_study_in_the_current_folder_has_its_page_too(
    runs: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs / "mine")
    assert evoae("report", ".") == 0
    assert evoae("resume", ".", "--quiet") == 0
    assert "warning" not in capfd.readouterr().err
    assert f"evoae denoise {runs / 'mine'} noisy.png" in Path("report.html").read_text(encoding="utf-8")


def test_json_names_the_file_its_size_and_what_it_is_about(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert evoae("report", "mine", "--out", "a.html", "--json", "--quiet") == 0
    said = capfd.readouterr()
    assert json.loads(said.out) == {
        "report": "a.html",
        "bytes": Path("a.html").stat().st_size,
        "studies": ["runs/mine"],
    }
    assert said.err == ""


def test_what_exists_is_overwritten_when_forced(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("a.html").write_text("mine")
    assert evoae("report", "mine", "--out", "a.html") == 2
    assert Path("a.html").read_text() == "mine"
    assert evoae("report", "mine", "--out", "a.html", "--force") == 0
    assert Path("a.html").stat().st_size > 10_000


def test_the_page_is_opened_in_the_browser(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    browser = runs.parent / "browser"
    browser.write_text(f'#!{sys.executable}\nimport pathlib, sys\npathlib.Path("opened").write_text(sys.argv[1])\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setattr("webbrowser._tryorder", None)
    assert evoae("report", "mine", "--open") == 0
    assert Path("opened").read_text() == (runs / "mine" / "report.html").absolute().as_uri()


def test_python_writes_the_same_page_and_may_overwrite_it(runs: Path) -> None:
    for _ in range(2):
        assert evoae_cli.report("mine", out="a.html") == Path("a.html")
    assert Path("a.html").read_text(encoding="utf-8") == page_text([Path("runs/mine")])[0]


def test_a_resumed_study_renews_its_page_and_says_where_it_is(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = runs / "mine" / "report.html"
    page.write_text("old")
    opened = Study.open(runs / "mine", warn=lambda text: None)
    assert run_study(opened, Show(Console(stderr=True, width=200), is_quiet=False, is_json=True), None) == 0
    said = capfd.readouterr()
    assert f"report: {page}" in said.err
    assert json.loads(said.out)["report"] == str(page)
    assert page.read_text(encoding="utf-8") == page_text([runs / "mine"])[0]


def test_a_page_that_cannot_be_written_does_not_end_a_search(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = runs / "mine" / "report.html"
    page.unlink()
    page.mkdir()
    opened = Study.open(runs / "mine", warn=lambda text: None)
    assert run_study(opened, Show(Console(stderr=True, width=200), is_quiet=True, is_json=False), None) == 0
    said = capfd.readouterr()
    assert said.out == f"{runs / 'mine' / 'best'}\n"
    assert "warning: " in said.err
    assert "report.html could not be written" in said.err
