"""Whatever is asked for wrongly: one line that names value and remedy, exit code 2, and nothing touched."""

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import wrong_baselines
import wrong_codes
import wrong_engines
import wrong_hosts
import wrong_images
import wrong_reports
import wrong_scaling
import wrong_settings
import wrong_studies
import wrong_training
from wrong_use_kit import Case, Kit, changes, contents, study

from evoae_cli.app.main import run

CASES = (
    *wrong_settings.CASES,
    *wrong_images.CASES,
    *wrong_codes.CASES,
    *wrong_studies.CASES,
    *wrong_training.CASES,
    *wrong_baselines.CASES,
    *wrong_scaling.CASES,
    *wrong_hosts.CASES,
    *wrong_engines.CASES,
    *wrong_reports.CASES,
)
ROOT = Path(__file__).parents[2]
RUN = "from evoae_cli.app.main import run; run()"


@pytest.fixture
def kit(tmp_path: Path, finished_study: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("EVOAE_RUNS")
    monkeypatch.setenv("EVOAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVOAE_KEY_FILE", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    # One line it stays, however narrow the terminal.
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with contextlib.ExitStack() as until_checked:
        yield Kit(folder=place, study=finished_study, until_checked=until_checked)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_wrong_use_is_one_line_and_exit_code_2_and_touches_nothing(
    case: Case, kit: Kit, capfd: pytest.CaptureFixture[str]
) -> None:
    case.prepare(kit)
    before = contents(kit.folder)
    code, stdout, stderr = _as_process(case) if case.is_process else _here(case, capfd)
    assert stderr.startswith("evoae: ")
    assert len(stderr.splitlines()) == 1
    assert [word for word in case.words if word not in stderr] == [], stderr
    assert (code, stdout) == (2, "")
    assert changes(before, contents(kit.folder)) == {}
    assert [path.name for path in kit.folder.parent.rglob("*.part")] == []


def test_the_table_names_each_case_once_and_is_as_long_as_promised() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 150
    assert sum(case.is_process for case in CASES) >= 12


def test_a_broken_study_does_not_hide_the_others_in_a_list(kit: Kit, capfd: pytest.CaptureFixture[str]) -> None:
    for spoil in (study, *wrong_studies.SPOILED):
        spoil(kit)
    before = contents(kit.folder)
    code, stdout, stderr = _here(Case("list", ("list",), ()), capfd)
    assert code == 0
    assert [line.split()[0] for line in stdout.splitlines()] == ["study", "runs/mine"]
    lines = stderr.splitlines()
    assert len(lines) == len(wrong_studies.SPOILED)
    assert all(line.startswith("warning: ") and "runs/spoiled-" in line for line in lines)
    assert changes(before, contents(kit.folder)) == {}


def _here(case: Case, capfd: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """The command in this process, which has loaded everything already."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        run(case.argv)
    said = capfd.readouterr()
    return stop.value.code, said.out, said.err


def _as_process(case: Case) -> tuple[object, str, str]:
    if case.is_unprivileged and os.geteuid() == 0 and not _can_drop():
        pytest.skip("root that cannot let go of its privileges is refused nothing")
    done = subprocess.run(
        [sys.executable, "-c", RUN, *case.argv],
        preexec_fn=_bind_by_permissions if case.is_unprivileged and os.geteuid() == 0 else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


_DROP = 24  # PR_CAPBSET_DROP
_OVERRIDES = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


def _bind_by_permissions() -> None:
    """Let what this process becomes be bound by the permissions of files, though it is root (capabilities(7))."""
    libc = ctypes.CDLL(None)
    for capability in _OVERRIDES:
        if libc.prctl(_DROP, capability, 0, 0, 0):
            raise PermissionError("cannot drop a capability")


def _can_drop() -> bool:
    try:
        subprocess.run([sys.executable, "-c", ""], preexec_fn=_bind_by_permissions, timeout=60, check=True)
    except (subprocess.SubprocessError, OSError, AttributeError):
        return False
    return True
