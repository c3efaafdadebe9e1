"""`evoae random-baseline` as people run it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evoae_cli.app.baselined import baseline_lines, spread_facts
from evoae_cli.baseline.comparison import Spread
from evoae_cli.baseline.summary import baseline_summary
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import StudyError
from evoae_cli.study.checks import option_name
from evoae_cli.study.summary import read_snapshot

ROOT = Path(__file__).parents[2]
OWN = ("space", "final_epochs", "train_images", "val_images", "test_images", "patch", "crop", "filters", "kernels")


def options() -> list[str]:
    """The small study's settings as they are written on a command line."""
    written = []
    for name in OWN:
        value = SMALL[name]
        written += [option_name(name), ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return [*written, "--max-layers", "3", "--workers", "2", "--precision", "float32"]


def command(*args: str | Path) -> tuple[list[str], dict[str, Any]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    words = [sys.executable, "-c", "from evoae_cli.app.main import run; run()", *map(str, args)]
    return words, {"env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def evoae(*args: str | Path) -> "subprocess.CompletedProcess[str]":
    words, how = command(*args)
    return subprocess.run(words, timeout=240, check=False, **how)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A comparison of the paper's protocol alone, and how its command ended."""
    folder = tmp_path_factory.mktemp("baselines") / "alone"
    return folder, evoae("random-baseline", "denoise", "--samples", "3", "--study", folder, *options())


def test_it_says_what_chance_finds(alone: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    folder, done = alone
    assert done.returncode == 0, done.stderr
    assert "1 of 1: random, as the paper" in done.stderr
    assert f"report: {folder / 'report.html'}" in done.stderr
    assert "Random architectures for denoise" in (folder / "report.html").read_text(encoding="utf-8")
    lines = done.stdout.splitlines()
    assert lines[0] == f"random baseline of denoise in {folder}: done"
    assert lines[2].startswith("3 random architectures trained to the final budget, on val: mean fitness ")
    assert lines[4].endswith("% worse than the noisy images")
    assert lines[6].split() == ["best", "of", "trained", "epochs", "val", "test", "SSIM", "parameters"]
    assert lines[7].startswith("random, as the paper        3       6  ")
    assert lines[9].split() == ["on", "test", "PSNR", "SSIM", "s", "per", "image", "parameters", "trained,", "s"]
    rows = {line.split("  ")[0] for line in lines[10:]} - {"BM3D"}
    assert rows == {"random, as the paper", "wavelet", "total variation", "non-local means"}


def test_list_names_it_below_the_studies(
    alone: tuple[Path, "subprocess.CompletedProcess[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = alone
    monkeypatch.setenv("EVOAE_RUNS", str(folder.parent))
    assert evoae("list").stdout.splitlines()[0].split() == ["comparison", "objective", "state", "studies", "against"]
    monkeypatch.setenv("EVOAE_RUNS", str(folder))
    studies, comparisons = evoae("list").stdout.splitlines(), json.loads(evoae("list", "--json").stdout)
    assert studies[1].split()[:3] == [str(folder / "paper-0"), "denoise", "done"]
    assert [Path(one["study"]).name for one in comparisons] == ["paper-0"]
    monkeypatch.setenv("EVOAE_RUNS", str(folder.parent))
    assert json.loads(evoae("list", "--json").stdout) == [baseline_summary(folder).as_json()]


def test_show_says_the_same_later(alone: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    folder, done = alone
    assert evoae("show", folder).stdout == done.stdout
    found = json.loads(evoae("show", folder, "--json").stdout)
    assert found == baseline_summary(folder).as_json()
    assert (found["state"], found["random"]["n"]) == ("done", 3)


def test_lines_fit_a_narrow_terminal(alone: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    folder, _ = alone
    lines = baseline_lines(baseline_summary(folder), folder, 80)
    assert max(map(len, lines)) <= 80


def test_resume_has_nothing_left_to_do(alone: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    folder, _ = alone
    again = evoae("resume", folder, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == baseline_summary(folder).as_json()
    assert "1 of 1" not in again.stderr


@contextlib.contextmanager
def running(*args: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """A command that the block is to stop, and that is told how it goes on."""
    words, how = command(*args)
    process = subprocess.Popen(words, **how)
    try:
        yield process
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, stderr
    assert f"Continue with: evoae resume {args[args.index('--study') + 1]}" in stderr


def has_begun(study: Path) -> bool:
    """Whether a first evaluation is stored, of a study that may still be being made."""
    with contextlib.suppress(StudyError):
        return read_snapshot(study).n_done > 0
    return False


def test_an_interrupted_comparison_goes_on_to_the_same_end(
    alone: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    with running("random-baseline", "denoise", "--samples", "3", "--study", folder, *options()) as process:
        until = time.monotonic() + 120
        while not has_begun(folder / "paper-0"):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    assert evoae("resume", folder).returncode == 0
    mine, theirs = baseline_summary(folder), baseline_summary(alone[0])
    assert mine.random == theirs.random
    assert [side.test_db for side in mine.studies] == [side.test_db for side in theirs.studies]


def test_one_that_runs_is_shown_so_and_is_reached_by_its_name_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOAE_RUNS", str(tmp_path))
    folder = tmp_path / "chance"
    small = [*options(), "--final-epochs", "5000", "--samples", "3"]
    with running("random-baseline", "denoise", "--study", folder, *small):
        until = time.monotonic() + 120
        # Workers are published once they have started.
        while (listed := evoae("workers", "chance", "--json")).returncode or len(json.loads(listed.stdout)) < 2:
            assert time.monotonic() < until, listed.stderr
            time.sleep(0.2)
        assert f"running study: {folder / 'paper-0'}" in listed.stderr
        assert json.loads(evoae("workers", "--json").stdout)
        assert json.loads(evoae("show", "chance", "--json").stdout)["state"] == "running"
        assert evoae("list").stdout.splitlines()[1].split()[:3] == [str(folder), "denoise", "running"]
        stopped = evoae("stop", "--now")
        assert stopped.returncode == 0, stopped.stderr
        newest = f"newest that runs: {folder / 'paper-0'}\n"
        assert stopped.stderr == f"{newest}{folder} is being ended; go on with it: evoae resume {folder}\n"
    assert json.loads(evoae("show", "chance", "--json").stdout)["state"] == "interrupted"


def test_shares_are_said_in_per_cent() -> None:
    facts = spread_facts(
        Spread(
            n=30,
            fitness_mean=12.3456,
            fitness_sd=4.0,
            fitness_best=20.0,
            psnr_mean_db=18.25,
            psnr_best_db=22.0,
            failed=0.1,
            collapsed=0.4,
            worse_than_noisy=None,
        )
    )
    assert facts == [
        "30 random architectures trained to the final budget, on val: mean fitness 12.35, standard deviation 4.00, "
        "best 20.00 before it is trained once more",
        "mean PSNR 18.2 dB, best 22.0 dB",
        "40% no better than a constant image, 10% failed",
    ]
