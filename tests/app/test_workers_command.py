"""`evoae workers` and `evoae stop`, against a search that another process runs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripted
from scripted import Script, course, created, opened

from evoae_cli.study.summary import history, summary

RUN = "from evoae_cli.app.main import run; run()"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def coordinators() -> Iterator[list["subprocess.Popen[str]"]]:
    """Those that a test has started; none outlives it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def evoae(*args: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    command = [sys.executable, "-c", RUN, *map(str, args)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


def started(folder: Path, coordinators: list["subprocess.Popen[str]"], **changes: Any) -> "subprocess.Popen[str]":
    """A search in a process of its own, once its workers train."""
    process = subprocess.Popen(
        [sys.executable, scripted.__file__, str(folder), json.dumps(changes)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder.parent,
    )
    coordinators.append(process)
    wait_for(folder, ["training", "training"])
    return process


def workers(folder: Path, *args: str) -> list[dict[str, Any]]:
    done = evoae("workers", folder, "--json", *args, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def wait_for(folder: Path, states: list[str]) -> list[dict[str, Any]]:
    give_up_at = time.monotonic() + 60
    while True:
        done = evoae("workers", folder, "--json", cwd=folder.parent)
        found = json.loads(done.stdout) if done.returncode == 0 else []
        if [worker["state"] for worker in found] == states:
            return list(found)
        assert time.monotonic() < give_up_at, f"{found} {done.stderr}"
        time.sleep(0.1)


def assert_one_line(done: "subprocess.CompletedProcess[str]", text: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("evoae: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr


def test_workers_come_and_go_and_the_search_stops_as_with_ctrl_c(
    script: Script, tmp_path: Path, coordinators: list["subprocess.Popen[str]"]
) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=1.0)
    search = started(folder, coordinators, generations=12)

    found = workers(folder)
    assert {worker["device"] for worker in found} == {"cpu"}
    assert all(worker["task"] in script.begun() for worker in found)
    assert {worker["pid"] for worker in found} == {note.worker for note in script.notes()}
    table = evoae("workers", folder, cwd=tmp_path).stdout.splitlines()
    assert table[0].split() == ["worker", "device", "process", "state", "done", "time", "task"]
    assert [line.split()[2] for line in table[1:]] == [str(worker["pid"]) for worker in found]

    assert_one_line(evoae("workers", folder, "--remove", "2", cwd=tmp_path), "of 2 workers one must stay")
    added = workers(folder, "--add", "1")
    assert [worker["name"] for worker in added] == ["worker-1", "worker-2", "worker-3"]
    assert [worker["pid"] for worker in added[:2]] == [worker["pid"] for worker in found]
    wait_for(folder, ["training"] * 3)
    shrunk = evoae("workers", folder, "--set", "1", cwd=tmp_path).stdout.splitlines()
    # Whoever trains at that moment: those between two trainings go first.
    [stays] = [line.split()[0] for line in shrunk[1:] if "draining" not in line]
    wait_for(folder, ["training"])
    listed = evoae("workers", folder, "--add", "1", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [stays, "worker-4"]
    wait_for(folder, ["training"] * 2)
    left = workers(folder, "--set", "1")
    assert [worker["name"] for worker in left if worker["state"] != "draining"] in ([stays], ["worker-4"])

    stop = evoae("stop", folder, cwd=tmp_path)
    assert (stop.returncode, stop.stdout) == (0, "")
    assert f"evoae resume {folder}" in stop.stderr
    _, said = search.communicate(timeout=60)
    assert search.returncode == 130
    assert "interrupted; all finished evaluations are stored" in said
    assert summary(folder)["state"] == "interrupted"
    assert sorted(script.begun()) == sorted(row[1] for row in history(folder))

    for command in (["stop", folder], ["workers", folder], ["workers", folder, "--add", "1"]):
        assert_one_line(evoae(*command, cwd=tmp_path), f"evoae resume {folder}")
    script.write()
    assert opened(folder).run().state == "done"
    assert len(script.begun()) == len(set(script.begun()))
    created(tmp_path / "undisturbed", generations=12).run()
    assert course(folder) == course(tmp_path / "undisturbed")


def test_stop_now_does_not_wait_for_what_runs(
    script: Script, tmp_path: Path, coordinators: list["subprocess.Popen[str]"]
) -> None:
    folder = tmp_path / "study"
    script.write(sleep_s=3600.0)
    search = started(folder, coordinators)
    pids = [worker["pid"] for worker in workers(folder)]
    assert evoae("stop", folder, "--now", cwd=tmp_path).returncode == 0
    search.communicate(timeout=60)
    assert search.returncode == 130
    assert summary(folder)["state"] == "interrupted"
    assert history(folder) == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--set", "0"], "to end the search use evoae stop"),
        (["--set", "2", "--add", "1"], "--set 2 and --add 1 contradict each other"),
        (["--remove", "0"], "'0' is no number of workers; give 1 to 1024"),
        (["--add", "many"], "'many' is no number of workers"),
        (["--add", "5000"], "'5000' is no number of workers"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line_before_any_study_is_looked_for(
    args: list[str], text: str, tmp_path: Path
) -> None:
    assert_one_line(evoae("workers", "none", *args, cwd=tmp_path), text)


@pytest.mark.parametrize("command", ["workers", "stop"])
def test_without_a_running_study_there_is_nobody_to_ask(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOAE_RUNS", str(tmp_path))
    assert_one_line(evoae(command, cwd=tmp_path), "runs now; start one: evoae search denoise")
