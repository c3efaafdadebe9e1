"""`evoae scale-benchmark` as people run it, with waiting in place of training."""

import json
import os
import resource
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commanded import EVOAE, Command
from PIL import Image

from evoae_cli.app.main import run
from evoae_cli.bench.executors import available, throughput
from evoae_cli.bench.scale import Conditions, Reading, measure
from evoae_cli.bench.scale_figure import scaling_png
from evoae_cli.evaluation.hardware import devices
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import worker_devices

ROOT = Path(__file__).parents[2]
QUICK = ("--simulate", "0.05", "--generations", "1", "--population", "4")


def evoae(*args: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    words = [sys.executable, "-c", "from evoae_cli.app.main import run; run()", "scale-benchmark", *map(str, args)]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False)


def reading(config: StudyConfig) -> Reading:
    return Reading(
        mode=config.mode,
        workers=1,
        stretches=(),
        rate=1.0,
        busy=1.0,
        gap_median_s=None,
        gap_p95_s=None,
        n_killed=0,
        recovery_median_s=None,
        recovery_p95_s=None,
    )


def test_it_measures_both_modes_and_writes_table_figure_and_json(tmp_path: Path) -> None:
    asked = ("--workers", "2", "--mode", "both", "--cv", "0.5", "--fail-rate", "0.3", "--out", "there")
    done = evoae(*QUICK, *asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    how, *table = done.stdout.splitlines()
    assert how == (
        "waiting 0.05 s in place of training, cv 0.5, how long is known before; evaluations killed with a chance of 30%"
    )
    head, *rows = (line.split() for line in table)
    assert head[:6] == ["search", "workers", "per", "minute", "times", "one"]
    # One worker is always among them: all others are measured by it.
    assert [row[:2] for row in rows] == [[mode, n] for mode in ("generational", "async") for n in ("1", "2")]
    assert rows[0][3] == rows[2][3] == "1.00"
    found = json.loads((tmp_path / "there" / "scaling.json").read_text())
    assert [reading["workers"] for reading in found["readings"]] == [1, 2, 1, 2]
    modes = ["generational", "async"]
    assert found["asked"] == {"modes": modes, "engine": "local", "simulate_s": 0.05, "cv": 0.5, "fail_rate": 0.3}
    assert sum(reading["n_killed"] for reading in found["readings"]) > 0
    with Image.open(tmp_path / "there" / "scaling.png") as figure:
        assert figure.size == (960, 660)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]


def test_it_goes_up_to_as_many_workers_as_a_search_has_by_itself(tmp_path: Path) -> None:
    done = evoae("--simulate", "0.05", "--generations", "1", "--json", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    readings = json.loads(done.stdout)["readings"]
    first, last = readings[0], readings[-1]
    assert (first["mode"], first["workers"], first["times_one_worker"]) == ("generational", 1, 1.0)
    assert last["workers"] == len(worker_devices(resolve("denoise", {}), devices("auto")))
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_machine_s_load_is_that_before_the_searches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = 0.25

    def measure(config: StudyConfig, *_: object) -> Reading:
        nonlocal load
        load = 9.0
        return reading(config)

    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    monkeypatch.setattr("evoae_cli.bench.scale.measure", measure)
    with pytest.raises(SystemExit) as ended:
        run(["scale-benchmark", "--workers", "1", "--json", "-q"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["machine"]["load"] == 0.25


def test_files_that_are_there_stay_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "scaling.png").write_text("mine")
    done = evoae(*QUICK, "--out", ".", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "scaling.png exists; add --force" in done.stderr
    assert (tmp_path / "scaling.png").read_text() == "mine"


def test_where_nothing_can_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = evoae(*QUICK, "--out", "file", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "evoae: cannot write to file: %s is a file; choose another --out\n" % (tmp_path / "file")


@pytest.mark.parametrize("more", [(), ("--compare",)])
def test_a_disk_that_fills_up_meanwhile_costs_the_files_and_not_the_table(
    more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files stands for the full disk: it comes once the searches have been measured."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def filling(*given: Any) -> Reading:
        found = measure(*given)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        return found

    monkeypatch.setattr("evoae_cli.bench.scale.measure", filling)
    out = tmp_path / "there"
    try:
        with pytest.raises(SystemExit) as ended:
            run(["scale-benchmark", *QUICK, "--workers", "1", "--out", str(out), "-q", *more])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert [line.split()[0] for line in told.out.splitlines()] == ["waiting", "search", "generational"]
    assert told.err == f"evoae: cannot write to {out}: File too large; make room or choose another --out\n"
    assert list(tmp_path.iterdir()) == []


def test_what_was_measured_before_ctrl_c_is_told_and_written(tmp_path: Path) -> None:
    slow = ("--simulate", "2", "--generations", "1", "--population", "4", "--mode", "both", "--workers", "4")
    command = Command(*EVOAE, "scale-benchmark", *slow, "--out", "there", cwd=tmp_path)
    try:
        command.line(r"^generational search with 4 workers$")
        command.signal(signal.SIGINT)
        code, output = command.end()
    finally:
        command.close()
    assert code == 130, command.lines
    assert [line.split()[0] for line in output.splitlines()] == ["waiting", "search", "generational"]
    assert len(json.loads((tmp_path / "there" / "scaling.json").read_text())["readings"]) == 1
    assert not any("Traceback" in line for line in command.lines)


def test_the_figure_says_what_was_not_as_in_a_search_and_all_of_it_fits() -> None:
    conditions = Conditions(modes=("async",), engine="ray", simulate_s=0.05, cv=0.25, fail_rate=0.07)
    told = conditions.unlike_a_search
    assert told == (
        "waiting 0.05 s in place of training, cv 0.25, how long is known before; "
        "evaluations killed with a chance of 7%; engine ray"
    )
    times = [(reading(resolve("denoise", {"mode": "async"})), 1.0)]
    bare, titled = (np.asarray(Image.open(BytesIO(scaling_png(times, title))).convert("L")) for title in ("", told))
    assert (bare != titled).any()
    # What does not fit would be cut at the edge.
    assert (titled[:, [0, -1]] == 255).all()
    real = Conditions(modes=("async",), engine="local", simulate_s=None, cv=0.0, fail_rate=0.0)
    assert real.unlike_a_search == ""


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("wait_s", [0.0, 0.002])
def test_each_executor_gets_all_tasks_through(chunk: int, wait_s: float) -> None:
    for name in available():
        found = throughput(name, n_workers=2, n_tasks=40, wait_s=wait_s, chunk=chunk)
        assert (found.executor, found.n_tasks, found.chunk) == (name, 40, chunk)
        # Two workers cannot be faster than their waiting allows.
        assert 0 < found.tasks_per_s < (float("inf") if not wait_s else 2 / wait_s)
