"""The engine on a real Ray: one cluster of a node, to which others are added and from which they are taken.

Skipped where Ray is not installed.
"""

import contextlib
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evoae_cli.bench.network_host import NOOP, BareFreight
from evoae_cli.bench.noop import Command
from evoae_cli.bench.small import SMALL
from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.engine.rayed import crew
from evoae_cli.engine.rayed import engine as ray_engine
from evoae_cli.engine.rayed import options as ray_options
from evoae_cli.engine.rayed.cluster import Cluster, Fate, _why_not, fate_of
from evoae_cli.engine.rayed.engine import RayEngine, on_ray
from evoae_cli.engine.rayed.inside import Arrival, Inside, Orders
from evoae_cli.engine.rayed.options import RayOptions
from evoae_cli.engine.rayed.roster import Roster
from evoae_cli.engine.terms import Terms
from evoae_cli.engine.wishes import Wishes
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.outcome import Outcome
from evoae_cli.study.resolve import resolve
from evoae_cli.study.store import Store
from evoae_cli.study.study import Study
from evoae_cli.version import __version__
from evoae_cli.worker.freight import kept_images
from evoae_cli.worker.starter import Timing, WorkerSpec

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'evoae[ray]'")

pytestmark = [
    # Ray's own: files and sockets that it leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster whose first node has no room for workers; nodes with room come and go."""
    from ray.cluster_utils import Cluster as Nodes

    found = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield found
    found.shutdown()


@pytest.fixture
def add_node(nodes: Any) -> Iterator[Callable[..., Any]]:
    """Adds a node to the cluster for the length of a test."""
    added = []

    def add(**resources: Any) -> Any:
        added.append(nodes.add_node(**resources))
        return added[-1]

    yield add
    for node in added:
        if node in nodes.worker_nodes:
            nodes.remove_node(node)


def terms_for(
    folder: Path, *, runner: str = NOOP, n_workers: int | None = None, silence_s: float = 10.0, start_s: float = 60.0
) -> Terms:
    return Terms(
        runner=runner,
        n_workers=n_workers,
        specs=(WorkerSpec(device="cpu", threads=1),),
        timing=Timing(heartbeat_interval_s=0.5, heartbeat_timeout_s=silence_s, start_timeout_s=start_s),
        logs=folder / "logs",
        title="a search",
        freight=BareFreight(),
        make_files=kept_images,
    )


def engine_for(nodes: Any, folder: Path, **terms: Any) -> RayEngine:
    made = on_ray(RayOptions(address=nodes.address))(terms_for(folder, **terms))
    assert isinstance(made, RayEngine)
    return made


def command(number: int, timeout_s: float | None = None, *, may_travel: bool = True, **does: Any) -> Task:
    payload = msgspec.json.encode(Command(**does))
    return Task(id=number, payload=payload, name=f"task {number}", timeout_s=timeout_s, may_travel=may_travel)


def collected(engine: RayEngine, n: int, timeout_s: float = 120.0) -> dict[int, TaskResult]:
    """The next `n` results, by task; each comes once."""
    found: dict[int, TaskResult] = {}
    give_up_at = time.monotonic() + timeout_s
    while len(found) < n:
        assert time.monotonic() < give_up_at, f"{len(found)} of {n} results have come"
        result = engine.next_result()
        if result is not None:
            assert result.task_id not in found
            found[result.task_id] = result
    return found


def until(is_so: Callable[[], Any], timeout_s: float = 120.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.02)


def training_pids(engine: RayEngine) -> list[int]:
    return [worker.pid for worker in engine.view().workers if worker.task and worker.pid]


def test_tasks_end_as_they_do_on_this_host(nodes: Any, add_node: Callable[..., Any], tmp_path: Path) -> None:
    add_node(num_cpus=2)
    with engine_for(nodes, tmp_path) as engine:
        engine.submit([command(number, reply=b"%d" % number) for number in range(30)])
        engine.submit(
            [
                command(30, error="a bug", error_type="RuntimeError"),
                command(31, outcome=Outcome.DIVERGED, reason="no number"),
                command(32, timeout_s=0.5, sleep_s=60.0),
                command(33, may_travel=False, reply=b"at home"),
            ]
        )
        found = collected(engine, 34)
        assert [found[number].payload for number in range(30)] == [b"%d" % number for number in range(30)]
        assert (found[30].outcome, found[30].reason) == (Outcome.CRASHED, "RuntimeError: a bug")
        assert (found[31].outcome, found[31].reason) == (Outcome.DIVERGED, "no number")
        assert (found[32].outcome, found[32].reason) == (Outcome.TIMEOUT, "ran longer than 0.5 s")
        assert (found[33].payload, found[33].worker) == (b"at home", "worker-1")
        assert {found[number].worker for number in range(30)} <= {"ray-1", "ray-2"}
        view = engine.view()
        assert (view.n_workers, view.n_queued, view.n_leased, view.n_done) == (2, 0, 0, 34)


def test_a_killed_worker_costs_an_attempt_and_the_third_ends_the_task(
    nodes: Any, add_node: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    add_node(num_cpus=1)
    with engine_for(nodes, tmp_path) as engine:
        engine.submit([command(1, only_first_time=str(tmp_path / "once"), signal=signal.SIGKILL), command(2)])
        found = collected(engine, 2)
        assert (found[1].outcome, found[1].attempt) == (Outcome.OK, 2)
        (loss,) = engine.take_losses()
        assert (loss.task, loss.attempt, loss.is_last) == ("task 1", 1, False)
        engine.submit([command(3, signal=signal.SIGKILL)])
        found = collected(engine, 1)
        assert (found[3].outcome, found[3].attempt) == (Outcome.CRASHED, 3)
        assert found[3].reason.startswith("3 workers were lost while they ran it; the last one: ")
        assert [loss.attempt for loss in engine.take_losses()] == [1, 2, 3]
        time.sleep(1.0)
    # Ray says nothing in between.
    assert capfd.readouterr().out == ""


def test_workers_come_and_go_with_the_nodes(nodes: Any, add_node: Callable[..., Any], tmp_path: Path) -> None:
    with engine_for(nodes, tmp_path) as engine:
        until(lambda: engine.take_news())
        first = add_node(num_cpus=1)
        engine.submit([command(number, sleep_s=0.3) for number in range(30)])
        until(lambda: len(training_pids(engine)) == 1)
        add_node(num_cpus=2)
        until(lambda: len(training_pids(engine)) == 3)
        assert engine.view().n_workers == 3
        nodes.remove_node(first)
        until(lambda: engine.view().n_workers == 2)
        found = collected(engine, 30)
        assert all(result.outcome is Outcome.OK for result in found.values())
        assert engine.view().n_workers == 2


def test_the_number_of_workers_can_be_asked_for(nodes: Any, add_node: Callable[..., Any], tmp_path: Path) -> None:
    """More than there is room for wait; those too many end when they have finished what they run."""
    add_node(num_cpus=2)
    with engine_for(nodes, tmp_path, n_workers=3) as engine:
        engine.submit([command(number, sleep_s=0.2) for number in range(20)])
        until(lambda: len(training_pids(engine)) == 2)
        assert sorted(worker.state for worker in engine.view().workers) == ["starting", "training", "training"]
        assert (engine.view().n_workers, engine.view().n_hands) == (3, 2)
        # What may not leave this host takes no hand from what is sent to the cluster.
        engine.submit([command(20, may_travel=False)])
        assert engine.view().n_hands == 3
        until(lambda: engine.view().n_hands == 2)
        engine.resize(1)
        until(lambda: len(engine.view().workers) == 1)
        assert len(collected(engine, 21)) == 21
        assert engine.take_losses() == []


def test_a_runner_that_cannot_be_loaded_ends_the_engine_with_the_reason(
    nodes: Any, add_node: Callable[..., Any], tmp_path: Path
) -> None:
    add_node(num_cpus=1)
    with engine_for(nodes, tmp_path, runner="evoae_cli.bench.noop:start_broken") as engine:
        engine.submit([command(1)])
        with pytest.raises(EvoaeError, match=r"no worker can start on Ray; attempt 3: .*there is no device cpu"):
            collected(engine, 1)


def test_a_worker_that_freezes_is_ended_and_another_runs_its_task(
    nodes: Any, add_node: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "_SILENCE_S", 3.0)
    add_node(num_cpus=1)
    with engine_for(nodes, tmp_path, silence_s=3.0) as engine:
        engine.submit([command(1, only_first_time=str(tmp_path / "once"), signal=signal.SIGSTOP)])
        found = collected(engine, 1)
        assert (found[1].outcome, found[1].attempt) == (Outcome.OK, 2)
        (loss,) = engine.take_losses()
        assert re.fullmatch(r"no (heartbeat|sign of life) for 3 s", loss.reason)
        until(lambda: not Path(f"/proc/{loss.pid}").exists())


def test_a_worker_that_never_loads_is_given_up(nodes: Any, add_node: Callable[..., Any], tmp_path: Path) -> None:
    """And not one that waits for room, however long that takes."""
    with engine_for(nodes, tmp_path, runner="evoae_cli.bench.noop:start_stuck", start_s=1.0) as engine:
        engine.submit([command(1)])
        until(lambda: engine.take_news())
        time.sleep(2.5)
        assert engine.next_result(is_waiting=False) is None
        assert engine.view().n_queued == 1
        add_node(num_cpus=1)
        with pytest.raises(EvoaeError, match=r"no worker can start on Ray; attempt 3: .* has not loaded in 1 s$"):
            collected(engine, 1)


def test_a_node_that_cannot_run_a_task_gets_none_for_a_while(
    nodes: Any, add_node: Callable[..., Any], tmp_path: Path
) -> None:
    """As one whose disk is full: it would take all tasks, one after the other. Its worker goes to another node."""
    add_node(num_cpus=1)
    with engine_for(nodes, tmp_path, n_workers=1) as engine:
        # The first worker, which tasks go to first, is on the first node.
        until(lambda: [worker.state for worker in engine.view().workers] == ["idle"])
        engine.resize(2)
        good = add_node(num_cpus=2).node_id
        until(lambda: [worker.state for worker in engine.view().workers] == ["idle", "idle"])
        full = {"error": "the disk is full", "error_type": "EvoaeError"}
        engine.submit([command(1, only_first_time=str(tmp_path / "once"), **full)])
        found = collected(engine, 1)
        # Nobody is blamed for it.
        assert (found[1].outcome, found[1].attempt) == (Outcome.OK, 1)
        (line,) = (line for line in engine.take_news() if "cannot run tasks" in line)
        assert re.fullmatch(r"\S+ cannot run tasks and gets none for 10 min: .*the disk is full", line)
        # Though there is room on the first node.
        until(lambda: [worker.state for worker in engine.view().workers] == ["idle", "idle"])
        assert {hand.node for hand in engine._crew._roster.hands.values()} == {good}
        # Where no other node is left that is the end of it.
        engine.submit([command(2, **full)])
        assert collected(engine, 1)[2].is_host_failure


def test_a_node_without_evoae_gets_no_workers(nodes: Any, add_node: Callable[..., Any], tmp_path: Path) -> None:
    """Where none can be made, none can say where it is."""
    # Python reads it at its start.
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['evoae_cli'] = None")
    add_node(num_cpus=1, env_vars={"PYTHONPATH": str(tmp_path)})
    add_node(num_cpus=1)
    with engine_for(nodes, tmp_path) as engine:
        lines: list[str] = []
        until(lambda: lines.extend(engine.take_news()) or any("cannot run tasks" in line for line in lines))
        assert re.fullmatch(
            r"\S+ cannot run tasks and gets none for 10 min: ModuleNotFoundError: .*evoae_cli.*", lines[-1]
        )
        engine.submit([command(1, reply=b"elsewhere")])
        assert collected(engine, 1)[1].payload == b"elsewhere"
        until(lambda: engine.view().n_workers == 1)


class Pretended(Cluster):
    """Stands in for a Ray cluster: its actors are objects of this process, and time is what the test makes of it."""

    def __init__(self, address: str = "auto") -> None:
        super().__init__(RayOptions(address=address, gpus_per_task=0), threads=1)
        self.now = 0.0
        self.alive = {"good"}
        self.n_room = 1
        self.hire_s = 0.0
        """How long it takes to be told of an actor; the next knock at the head then fails."""
        self.fails_to_answer = False

    def clock(self) -> float:
        return self.now + time.monotonic()

    def connect(self) -> None:
        pass

    def answers(self) -> bool:
        failed, self.fails_to_answer = self.fails_to_answer, False
        return not failed

    def room(self, barred: Any = ()) -> int:
        return self.n_room

    def nodes(self) -> set[str]:
        return self.alive

    def described(self) -> str:
        return "1 node with 2 CPUs"

    def whereabouts(self, actor: Any) -> tuple[str, str]:
        return "", ""

    def hire(self, orders: Orders, barred: Any = ()) -> Any:
        self.now += self.hire_s
        self.fails_to_answer = self.hire_s > 0.0
        return Here(orders)

    def dismiss(self, actor: Any) -> None:
        pass

    def call(self, method: Any, *args: Any, then: Callable[[Any], None], group: str | None = None) -> None:
        then(method(*args))


class Here(Inside):
    def arrive(self) -> Arrival:
        return Arrival(node="good", host="here", pid=1, evoae=__version__)


def roster_of(cluster: Pretended, folder: Path, told: list[str], n_workers: int | None = None) -> Roster:
    terms = terms_for(folder, n_workers=n_workers)
    return Roster(
        terms, cluster, on_hired=lambda _: None, on_change=lambda: None, tell=told.append, clock=cluster.clock
    )


def test_workers_that_never_start_beside_one_that_does_are_told_of_once_and_tried_for_ever(tmp_path: Path) -> None:
    told: list[str] = []
    cluster = Pretended()
    roster = roster_of(cluster, tmp_path, told, n_workers=2)
    roster.adjust()
    first = next(iter(roster.hands.values()))
    roster.begin(first, "a CPU")
    for _ in range(1100):
        # Longer than any pause between two attempts.
        cluster.now += 100.0
        roster.adjust()
        (other,) = (hand for hand in roster.hands.values() if hand is not first)
        roster.bury(other, "evoae is missing")
    assert told == ["3 workers in a row could not start on Ray; others are tried: evoae is missing"]
    assert list(roster.hands.values()) == [first]


def test_the_workers_of_a_lost_node_are_the_first_to_go(tmp_path: Path) -> None:
    cluster = Pretended()
    cluster.n_room = 3
    roster = roster_of(cluster, tmp_path, [])
    roster.adjust()
    lost, idle, starting = roster.hands.values()
    for hand, node in ((lost, "lost"), (idle, "good")):
        hand.node = node
        roster.begin(hand, "a CPU")
    cluster.n_room = 2
    roster.adjust()
    assert list(roster.hands.values()) == [idle, starting]
    cluster.n_room = 1
    roster.adjust()
    assert list(roster.hands.values()) == [idle]


def test_a_need_that_can_never_be_met_ends_the_search(tmp_path: Path) -> None:
    """On a Ray of evoae's own no node will come; elsewhere one may."""
    told: list[str] = []
    waiting, own = Pretended(), Pretended("local")
    waiting.n_room = own.n_room = 0
    line = "Ray has no room for a worker, which needs 1 CPU and 1 GiB of memory: it has 1 node with 2 CPUs; "
    roster_of(waiting, tmp_path, told).adjust()
    assert told == [f"{line}waiting for nodes"]
    remedy = "make room, ask for less, or give the --ray-address of a larger cluster"
    with RayEngine(terms_for(tmp_path), own) as engine, pytest.raises(UsageError, match=f"^{line}{remedy}$"):
        collected(engine, 1)


def test_one_knock_that_fails_after_a_time_without_any_does_not_end_the_search(tmp_path: Path) -> None:
    cluster = Pretended()
    cluster.hire_s = 2 * crew.UNREACHABLE_S
    with RayEngine(terms_for(tmp_path), cluster, clock=cluster.clock) as engine:
        until(lambda: cluster.now and not cluster.fails_to_answer)
        engine.submit([command(1, reply=b"done")])
        assert collected(engine, 1)[1].payload == b"done"


@pytest.mark.parametrize("version", ["1.13.0", "2.48.0", "2.49.0", "2.100.1", "3.0.0.dev0"])
def test_a_ray_that_is_too_old_is_told_in_one_line(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_options, "version", lambda name: version)
    if version in ("1.13.0", "2.48.0"):
        line = f"--engine ray needs Ray 2.49 or newer, and {version} is installed; get a newer one"
        with pytest.raises(UsageError, match=f"^{re.escape(line)}"):
            ray_options.ray_options(Wishes())
    else:
        ray_options.ray_options(Wishes())


def test_a_ray_that_cannot_be_loaded_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # As where a library of its is missing.
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"^--engine ray: Ray cannot be loaded \([^\n]+\); install it again$"):
        Cluster(RayOptions(), threads=1).connect()


def test_a_worker_that_ray_ends_to_save_its_node_s_memory_has_run_out_of_it(
    nodes: Any, add_node: Callable[..., Any], tmp_path: Path
) -> None:
    total, free = (memory()[name] for name in ("MemTotal", "MemAvailable"))
    # A third of what is free: other tests may take some of it meanwhile.
    threshold = 1.0 - free * 2 / 3 / total
    limits = {"RAY_memory_usage_threshold": f"{threshold:.3f}", "RAY_memory_monitor_refresh_ms": "100"}
    add_node(num_cpus=1, env_vars=limits)
    with engine_for(nodes, tmp_path) as engine:
        until(lambda: [worker.state for worker in engine.view().workers] == ["idle"])
        engine.submit([command(1, n_leak=free // 2, sleep_s=1.0), command(2)])
        found = collected(engine, 2)
        assert (found[1].outcome, found[1].attempt) == (Outcome.OOM, 1)
        assert re.match(r"Ray: .*memory", found[1].reason)
        assert found[2].outcome is Outcome.OK


def memory() -> dict[str, int]:
    """The machine's, in bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {name.rstrip(":"): int(number) * 1024 for name, number, *_ in lines}


def test_nothing_is_late_in_a_time_in_which_this_process_was_stopped(
    nodes: Any, add_node: Callable[..., Any], tmp_path: Path
) -> None:
    """The clock of the engine leaps, as it does for a process that Ctrl-Z has stopped, whatever it was about."""
    leap_s = 0.0
    add_node(num_cpus=1)
    cluster = Cluster(RayOptions(address=nodes.address), threads=1)
    with RayEngine(terms_for(tmp_path), cluster, clock=lambda: time.monotonic() + leap_s) as engine:
        engine.submit([command(1, timeout_s=60.0, sleep_s=4.0)])
        until(lambda: training_pids(engine))
        # Now its loop waits.
        time.sleep(0.3)
        leap_s = 1000.0
        found = collected(engine, 1)
        assert (found[1].outcome, found[1].attempt) == (Outcome.OK, 1)
        assert engine.take_losses() == []
        assert engine.view().paused_s >= 1000.0


def test_a_cluster_whose_head_is_gone_is_left_with_a_line_before_ray_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster as Nodes

    monkeypatch.setattr(crew, "UNREACHABLE_S", 2.0)
    doomed = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        with engine_for(doomed, tmp_path) as engine:
            engine.submit([command(1), command(2, sleep_s=60.0)])
            collected(engine, 1)
            doomed.head_node.kill_gcs_server()
            with pytest.raises(EvoaeError, match=r"^the head of the Ray cluster has been out of reach for 2 s; when"):
                collected(engine, 1)
        assert not ray.is_initialized()
    finally:
        doomed.shutdown()


def test_a_head_that_is_cut_off_is_missed_too(
    nodes: Any, add_node: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not refuse: whoever knocks waits for an answer."""
    monkeypatch.setattr(crew, "UNREACHABLE_S", 3.0)
    add_node(num_cpus=1)
    with contextlib.ExitStack() as stack, engine_for(nodes, tmp_path) as engine:
        engine.submit([command(1), command(2, sleep_s=60.0)])
        collected(engine, 1)
        silent = stack.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(8):
            # Its queue is full then, and further callers hear nothing.
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(silent.getsockname())
        engine._crew._cluster._head = silent.getsockname()
        with pytest.raises(EvoaeError, match=r"^the head of the Ray cluster has been out of reach for 3 s; when"):
            collected(engine, 1, 30.0)


def test_without_a_node_on_this_machine_that_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_options, "_PROCESSES", tmp_path)
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        there.listen()
        address = f"127.0.0.1:{there.getsockname()[1]}"
        line = (
            f"no node of a Ray cluster runs on this machine; join it first, with: ray start --address={address} --num"
        )
        with pytest.raises(UsageError, match=line):
            ray_options.check_answers(address)
    with pytest.raises(UsageError, match="no node of a Ray cluster runs on this machine; give HOST:6379"):
        ray_options.check_answers("auto")
    ray_options.check_answers("local")


def test_what_was_withdrawn_gives_no_result(nodes: Any, add_node: Callable[..., Any], tmp_path: Path) -> None:
    add_node(num_cpus=1)
    with engine_for(nodes, tmp_path) as engine:
        engine.submit([command(number, sleep_s=0.5) for number in range(5)])
        until(lambda: len(training_pids(engine)) == 1)
        assert engine.withdraw() == 4
        assert list(collected(engine, 1)) == [0]


def test_a_cluster_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    made = on_ray(RayOptions(address="127.0.0.1:9"))(terms_for(tmp_path))
    assert isinstance(made, RayEngine)
    with made, pytest.raises(UsageError, match=r"^--ray-address 127\.0\.0\.1:9: [^\n]+$"):
        collected(made, 1)


def test_needs_are_counted_node_by_node(nodes: Any, add_node: Callable[..., Any]) -> None:
    """Two nodes with one and a half of what a worker needs have room for two workers, not three."""
    add_node(num_cpus=3, num_gpus=1)
    add_node(num_cpus=3, memory=5 * 2**29)
    for options, n, words in (
        (RayOptions(address=nodes.address, cpus_per_task=2, gpus_per_task=0), 2, "2 CPUs"),
        # Its memory is that of 2.
        (RayOptions(address=nodes.address, cpus_per_task=1, gpus_per_task=0), 5, "1 CPU"),
        (RayOptions(address=nodes.address), 1, "1 CPU, 1 GPU"),
        (RayOptions(address=nodes.address, gpus_per_task=0.5), 2, "1 CPU, 0.5 GPU"),
        # Not three of 0.3 and the rest of another: a part of a GPU is of one.
        (RayOptions(address=nodes.address, cpus_per_task=0.1, gpus_per_task=0.6), 1, "0.1 CPUs, 0.6 GPU"),
        (RayOptions(address=nodes.address, cpus_per_task=0.1, gpus_per_task=0.3), 3, "0.1 CPUs, 0.3 GPU"),
    ):
        cluster = Cluster(options, threads=1)
        cluster.connect()
        try:
            until(lambda cluster=cluster: cluster.described().startswith("3 nodes with 6 CPUs, 1 GPU and "))
            assert (cluster.room(), str(cluster.needs)) == (n, f"{words} and 1 GiB of memory")
            cluster.needs = msgspec.structs.replace(cluster.needs, memory=0)
            assert str(cluster.needs) == " and ".join(words.rsplit(", ", 1))
        finally:
            cluster.leave()


def test_a_node_without_room_for_files_says_so_and_is_not_the_task_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inside of an actor, without Ray round it."""
    orders = Orders(runner=NOOP, device="cpu", threads=1, environ={}, freight=BareFreight(), make_files=kept_images)
    inside = Inside(orders)
    inside.load()
    payload = command(1, reply=b"done").payload
    assert inside.run(7, payload, []).payload == b"done"
    lacking = inside.run(7, payload, ["ab" * 32])
    assert (lacking.lacks, lacking.is_host_failure) == (("ab" * 32,), True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    reply = inside.run(8, payload, [])
    assert (reply.outcome, reply.is_host_failure) == (Outcome.CRASHED, True)
    assert "No such file or directory" in reply.reason
    assert inside.pulse() == (0, 0.0)


def test_a_cluster_that_fails_is_no_fault_of_evoae_s(nodes: Any) -> None:
    cluster = Cluster(RayOptions(address=nodes.address), threads=1)
    cluster.connect()
    try:
        for error in (ray.exceptions.RaySystemError("the head is gone"), ConnectionError("the head is gone")):
            assert re.fullmatch(
                r"the Ray cluster cannot be used any more \(.*the head is gone.*\); when it is well again, resume",
                str(cluster.explained(error)),
            )
            assert isinstance(cluster.explained(error), EvoaeError)
        fault = ValueError("a bug")
        assert cluster.explained(fault) is fault
    finally:
        cluster.leave()


def test_why_a_cluster_cannot_be_joined_becomes_one_line() -> None:
    """Texts as Ray 2.60 makes them."""
    asks = ConnectionError("Failed to connect to Ray cluster at 192.0.2.2:6379")
    asks.__cause__ = RuntimeError(
        "Failed to connect to GCS. Last connection error: Traceback\n  InvalidAuthToken: missing"
    )
    assert _why_not(asks).startswith("it asks for a token; set RAY_AUTH_MODE=token")
    old = RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.11.7")
    assert _why_not(old) == "Version mismatch: The cluster was started with:; Ray: 2.50.0; Python: 3.11.7"
    assert _why_not(RuntimeError()) == "RuntimeError"


def test_what_ray_says_of_an_actor_s_end_becomes_one_line() -> None:
    """Texts as Ray 2.60 makes them."""
    from ray.exceptions import OutOfMemoryError

    short = OutOfMemoryError(
        "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2) was 7.14GB "
        "used / 23.54GB limit (0.303160)\nOOM kill reason: Memory usage exceeded threshold\n7082 5.80 ray::Inside"
    )
    assert fate_of(short) == Fate(
        "1 worker(s) were killed due to the node running low on memory", is_out_of_memory=True
    )
    dead = RuntimeError(
        "The actor died unexpectedly before finishing this task.\n\tclass_name: Inside\n\tactor_id: 25ca\n\tpid: 7\n"
        "\tnamespace: evoae\n\tip: 192.0.2.2\nThe actor is dead because its worker process has died.\nMore of it"
    )
    assert fate_of(dead) == Fate("The actor is dead because its worker process has died.")
    raised = RuntimeError(
        "The actor died because of an error raised in its creation task, ray::Inside.__init__() (pid=7)\n"
        "    hardware = start()\n    ^^^^^^^\nValueError: there is no device cpu"
    )
    assert fate_of(raised) == Fate("ValueError: there is no device cpu")
    assert fate_of(RuntimeError()) == Fate("RuntimeError")


SEARCH = SMALL | {"generations": 3, "population": 4, "kernels": (1, 3, 5), "filters": (4, 8), "max_layers": 3}


def rows(folder: Path) -> list[Any]:
    store = Store.read(folder)
    try:
        return store.history()
    finally:
        store.close()


def test_a_search_through_deaths_of_workers_and_nodes_has_the_history_of_this_host(
    nodes: Any, add_node: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real trainings, whose images go through Ray's store and whose weights come back."""
    config = resolve("denoise", {**SEARCH, "device": "cpu"})
    alone = Study.create(config, tmp_path / "alone", warn=print).run()
    caches = [tmp_path / "first", tmp_path / "second"]
    first, _ = (add_node(num_cpus=1, env_vars={"EVOAE_CACHE": str(cache)}) for cache in caches)
    make_engine = on_ray(RayOptions(address=nodes.address))
    study = Study.create(config, tmp_path / "on-ray", warn=print, make_engine=make_engine)
    n_told, killed = 0, 0

    def harm(event: Any) -> None:
        nonlocal n_told, killed
        if event.kind != "evaluated":
            return
        n_told += 1
        # In the midst of something: there is nothing at the end of a generation.
        if n_told >= 3 and not killed and (pids := training_pids(study._engine)):
            killed = pids[0]
            os.kill(killed, signal.SIGKILL)
        if n_told == 6:
            nodes.remove_node(first)
        if n_told == 9:
            add_node(num_cpus=1)

    result = study.run(harm)
    assert killed
    assert n_told > 9
    assert result.state == alone.state == "done"
    assert rows(tmp_path / "on-ray") == rows(tmp_path / "alone")
    assert result.summary["best"]["test"] == alone.summary["best"]["test"]
    assert (tmp_path / "on-ray" / "best" / "model.safetensors").read_bytes() == (
        tmp_path / "alone" / "best" / "model.safetensors"
    ).read_bytes()
    assert result.summary["lost_workers"]
    # Neither had the images.
    assert [len(list(cache.iterdir())) for cache in caches] == [1, 1]
