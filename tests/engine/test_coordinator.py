"""What becomes of workers and callers when the coordinator is a process of its own: scripts, signals, sudden death."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import evoae_cli

ROOT = Path(evoae_cli.__file__).parent.parent

PREAMBLE = """
import os, signal, sys
import msgspec
from evoae_cli.bench.noop import Command
from evoae_cli.broker.task import Task
from evoae_cli.engine.local import LocalEngine, WorkerSpec

def task(number, **command):
    return Task(id=number, payload=msgspec.json.encode(Command(**command)))

def say(*words):
    print(*words, flush=True)

engine = LocalEngine([WorkerSpec(device="cpu", threads=1)] * 2, "evoae_cli.bench.noop:start")
"""

A_WHOLE_RUN = (
    PREAMBLE
    + """
say("main module runs")
with engine:
    engine.submit([task(number) for number in range(20)])
    say(sum(engine.next_result().outcome == "ok" for _ in range(20)))
"""
)


def start(code: str, folder: Path) -> "subprocess.Popen[str]":
    script = folder / "script.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    return tmp_path / "scripts"


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def watch(pid: int) -> int:
    """A descriptor that becomes readable when the process ends."""
    return os.pidfd_open(pid)


def have_ended(watched: list[int], within_s: float) -> bool:
    ended = all(select.select([fd], [], [], within_s)[0] for fd in watched)
    for fd in watched:
        os.close(fd)
    return ended


def answer(bell: Path) -> None:
    """Let the task go on that waits for its named pipe to be read."""
    fd = os.open(bell, os.O_RDONLY | os.O_NONBLOCK)
    assert select.select([fd], [], [], 30)[0], f"nobody waits at {bell.name}"
    os.close(fd)


needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches processes by pidfd")


def test_a_script_without_a_main_guard_runs_once_and_prints_nothing_else(folder: Path) -> None:
    process = start(A_WHOLE_RUN, folder)
    out, errors = process.communicate(timeout=60)
    assert (out.splitlines(), errors, process.returncode) == (["main module runs", "20"], "", 0)


def runs_from_standard_input(folder: Path, *arguments: str) -> bool:
    done = subprocess.run(
        [sys.executable, *arguments],
        input=A_WHOLE_RUN,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    return (done.stdout.splitlines(), done.stderr, done.returncode) == (["main module runs", "20"], "", 0)


def test_a_script_from_standard_input_in_a_folder_of_treacherous_names(tmp_path: Path) -> None:
    for name in ("selectors", "socket", "pickle", "tempfile"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('imported {name} of the current folder')")
    assert runs_from_standard_input(tmp_path, "-c", "import sys; sys.path.remove(''); exec(sys.stdin.read())")


def test_python_reading_its_program_from_standard_input(tmp_path: Path) -> None:
    assert runs_from_standard_input(tmp_path, "-")


def test_a_caller_that_forgets_to_stop_ends_all_the_same(folder: Path) -> None:
    process = start(PREAMBLE + "engine.start(); engine.submit([task(1)]); say(engine.next_result().outcome)", folder)
    out, errors = process.communicate(timeout=60)
    assert (out, errors, process.returncode) == ("ok\n", "", 0)


@needs_pidfd
@pytest.mark.skipif(sys.platform != "linux", reason="a frozen process sees no broken pipe")
def test_no_worker_outlives_a_killed_coordinator_not_even_a_frozen_one(folder: Path) -> None:
    code = """
engine.start()
engine.submit([task(1), task(2), task(3, sleep_s=3600.0), task(4, signal=int(signal.SIGSTOP))])
for _ in range(2):
    engine.next_result()
while any(worker.state != "training" for worker in engine.view().workers):
    pass
say(*(worker.pid for worker in engine.view().workers))
signal.pause()
"""
    process = start(PREAMBLE + code, folder)
    workers = [watch(int(pid)) for pid in line(process).split()]
    assert len(workers) == 2
    process.kill()
    assert have_ended(workers, within_s=30)
    _, errors = process.communicate(timeout=60)
    assert errors == ""


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="looks into /dev/shm")
def test_twenty_killed_workers_leave_nothing_in_shared_memory_and_the_coordinator_prints_nothing(folder: Path) -> None:
    """Ten are killed in the midst of a task, which another worker runs again, and ten right after their report."""
    code = f"""
engine.start()
engine.submit([task(number, only_first_time="{folder}/%d" % number, signal=9) for number in range(10)])
engine.submit([task(number, after_report="whole") for number in range(10, 20)])
ended = set()
while len(ended) < 20:
    if (result := engine.next_result()) is not None:
        ended.add((result.task_id, str(result.outcome)))
say(ended == {{(number, "ok") for number in range(20)}}, engine.view().n_lost_leases >= 10)
sys.stdin.readline()
engine.stop()
"""
    before = set(os.listdir("/dev/shm"))
    process = start(PREAMBLE + code, folder)
    assert line(process) == "True True"
    # What others on this host have there for a moment is gone after a while.
    give_up_at = time.monotonic() + 10
    while (new := set(os.listdir("/dev/shm")) - before) and time.monotonic() < give_up_at:
        time.sleep(0.1)
    assert new == set()
    _, errors = process.communicate("\n", timeout=60)
    assert (errors, process.returncode) == ("", 0)


@needs_pidfd
def test_signals_to_the_process_group_reach_the_coordinator_alone_also_while_workers_load(folder: Path) -> None:
    code = """
heard = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: heard.append(number))
engine.start()
while not all(worker.pid for worker in engine.view().workers):
    pass
say("loading")
sys.stdin.readline()
before = [worker.pid for worker in engine.view().workers]
while any(worker.state == "starting" for worker in engine.view().workers):
    pass
say("ready")
sys.stdin.readline()
engine.submit([task(number) for number in range(10)])
for _ in range(10):
    engine.next_result()
say(sorted(set(heard)) == sorted({signal.SIGINT, signal.SIGTERM, signal.SIGHUP}))
say(before == [worker.pid for worker in engine.view().workers], engine.view().n_lost_leases)
engine.submit([task(10, after_report="whole"), task(11)])
say(engine.next_result().outcome, engine.next_result().outcome)
while before == [worker.pid for worker in engine.view().workers]:
    pass
engine.stop()
"""
    process = start(PREAMBLE + code, folder)
    assert process.stdin is not None
    for state in ("loading", "ready"):
        assert line(process) == state
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.killpg(process.pid, number)
        process.stdin.write("\n")
        process.stdin.flush()
    assert line(process) == "True"
    assert line(process) == "True 0"
    assert line(process) == "ok ok", "a worker can still be replaced"
    _, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == ("", 0)


@pytest.mark.parametrize("is_whole_group", [True, False], ids=["whole group", "coordinator alone"])
def test_a_pause_longer_than_the_timeout_costs_no_lease(folder: Path, is_whole_group: bool) -> None:
    bells = [folder / "bell-1", folder / "bell-2"]
    for bell in bells:
        os.mkfifo(bell)
    code = f"""
cpu = WorkerSpec(device="cpu", threads=1)
engine = LocalEngine([cpu] * 2, "evoae_cli.bench.noop:start", heartbeat_interval_s=0.1, heartbeat_timeout_s=1.0)
engine.start()
engine.submit([task(number, tell=bell) for number, bell in enumerate({[str(bell) for bell in bells]!r})])
engine.submit([task(number) for number in range(2, 22)])
while any(worker.state != "training" for worker in engine.view().workers):
    pass
say("training")
ended = [engine.next_result() for _ in range(22)]
say(sorted(result.task_id for result in ended) == list(range(22)), *{{result.attempt for result in ended}})
say(engine.view().n_lost_leases, engine.view().n_late_results)
engine.stop()
"""
    process = start(PREAMBLE + code, folder)
    try:
        assert line(process) == "training"
        signal_it = os.killpg if is_whole_group else os.kill
        for awake_s in (0.0, 0.23, 0.47):
            time.sleep(awake_s)
            signal_it(process.pid, signal.SIGSTOP)
            # Past the timeout: what is tested is what this time does to leases.
            time.sleep(1.5)
            signal_it(process.pid, signal.SIGCONT)
        time.sleep(0.3)
        for bell in bells:
            answer(bell)
        assert line(process) == "True 1"
        assert line(process) == "0 0"
        _, errors = process.communicate(timeout=60)
        assert (errors, process.returncode) == ("", 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
