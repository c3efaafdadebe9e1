"""A killed study is resumed in earnest: coordinators and workers are real processes, and so are the signals."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evoae_cli.bench import resume
from evoae_cli.bench.resume_plan import RANDOM, Facts, Row, Verdict, judge, planned, read_facts
from evoae_cli.bench.resume_victim import IN_COORDINATOR, ORDERS, POINTS, WITHIN_FINALIST, Orders, alive, begun
from evoae_cli.errors import EvoaeError
from evoae_cli.study.store import Store

# Those which a search alone reaches need no training.
OF_THE_SEARCH = [point for point in IN_COORDINATOR if "best/" not in point]


def verdicts(figures: dict[str, Any]) -> list[Verdict]:
    return msgspec.convert(figures["kills"], list[Verdict])


def test_a_search_killed_anywhere_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    report = resume.measure({"hashed": OF_THE_SEARCH}, {"hashed": 2, "async hashed": 1}, 0, tmp_path)
    found = verdicts(report.figures)
    assert [one.point for one in found] == [*OF_THE_SEARCH, RANDOM, RANDOM, RANDOM]
    assert [one for one in found if not one.is_good] == []
    assert [one.kind for one in found].count("async hashed") == 1
    assert [one.is_frozen for one in found].count(True) == 1
    assert sum(one.n_stored for one in found) > 0
    assert report.figures["is_good"]
    assert list(tmp_path.iterdir()) == []


def test_a_study_killed_while_it_trains_or_writes_ends_with_the_same_weights(tmp_path: Path) -> None:
    points = [point for point in POINTS if point not in OF_THE_SEARCH]
    # One worker: less to load, four times over.
    report = resume.measure({"generational": points}, {}, 0, tmp_path, n_workers=1)
    found = verdicts(report.figures)
    assert {one.point: one.is_weights_equal for one in found} == dict.fromkeys(points, True)
    assert [one for one in found if not one.is_good] == []
    assert report.rows[-1][:2] == ("**4 kills**", "")
    assert next(one for one in found if one.point == WITHIN_FINALIST).phase.startswith("finalists")


def row(**changes: Any) -> Row:
    given = {"stage": "search", "generation": 0, "fitness": "0x1p+1", "worker": "worker-1", "run_s": 1.0}
    return Row(**({"finished_at": 5.0} | given | changes))


WHOLE = Facts(
    rows={"search a 0": row(), "search b 0": row(generation=1), "final a 0": row(stage="final", generation=-1)},
    history=[[0, "a", "ok", 2.0], [1, "b", "ok", 2.0]],
    generations=[{"generation": 0}, {"generation": 1}],
    n_generations=1,
    proposed=2,
    best="a",
    winner=["a", 0],
    weights="hash",
    left_over=[],
)
HALF = msgspec.structs.replace(WHOLE, rows={"search a 0": row()}, generations=[{"generation": 0}], winner=None)


def verdict(begun: tuple[str, ...] = ("search b 0", "final a 0"), **changes: Any) -> Verdict:
    ended = msgspec.structs.replace(WHOLE, **changes)
    return judge(RANDOM, "generational", WHOLE, HALF, ended, begun=begun, survivors=(), is_frozen=False)


def test_a_study_that_holds_what_the_undisturbed_one_does_is_good() -> None:
    # Who evaluated the rest, and when, may differ.
    later = WHOLE.rows | {"search b 0": row(generation=1, worker="worker-2", finished_at=9.0)}
    found = verdict(rows=later)
    assert found.is_good
    assert (found.phase, found.n_stored) == ("generation 1 of 1", 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"history": [[0, "a", "ok", 2.0]]},
        {"generations": [{"generation": 0}, {"generation": 2}]},
        {"best": "b"},
        {"winner": ["b", 0]},
        {"rows": WHOLE.rows | {"search b 0": row(fitness="0x1.0000000000001p+1")}},
        {"weights": "other"},
        {"weights": None},
        {"proposed": 1},
        {"rows": WHOLE.rows | {"search a 0": row(finished_at=9.0)}},
        {"left_over": ["best/.model.json.1-1.part"]},
        {"begun": ("search a 0", "search b 0", "final a 0")},
        {"begun": ("search b 0", "search b 0", "final a 0")},
    ],
)
def test_whatever_differs_or_was_done_again_is_seen(changes: dict[str, Any]) -> None:
    assert not verdict(**changes).is_good


def test_workers_that_live_on_are_seen() -> None:
    found = judge(RANDOM, "generational", WHOLE, HALF, WHOLE, begun=(), survivors=[7], is_frozen=True)
    assert (found.n_survivors, found.is_good) == (1, False)


def test_an_asynchronous_search_may_find_something_else_but_lose_nothing() -> None:
    other = msgspec.structs.replace(WHOLE, history=[[0, "c", "ok", 3.0]], best="c", weights="other")
    found = judge(RANDOM, "async", WHOLE, HALF, other, begun=(), survivors=(), is_frozen=False)
    assert found.is_good
    lost = msgspec.structs.replace(other, rows={})
    assert judge(RANDOM, "async", WHOLE, HALF, lost, begun=(), survivors=(), is_frozen=False).n_lost == 1
    unfinished = msgspec.structs.replace(other, winner=None)
    assert not judge(RANDOM, "async", WHOLE, HALF, unfinished, begun=(), survivors=(), is_frozen=False).is_good


def test_a_seed_fixes_the_kills_and_each_lies_within_the_study() -> None:
    def plan(seed: int) -> list[Any]:
        return planned({"generational": WHOLE}, {"generational": POINTS}, {"generational": 8}, seed)

    assert plan(3) == plan(3) != plan(4)
    assert [kill.point for kill in plan(3)] == [*POINTS, *[RANDOM] * 8]
    for seed in range(20):
        for kill in plan(seed):
            assert 0 <= kill.share < 1
            assert kill.point != "after tell" or 1 <= kill.nth <= 2


def test_what_an_ended_study_has_no_use_for_is_named(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    store.put_meta(settings={"generations": 1})
    store.close()
    left = ["best/.model.json.1-2.part", "weights/search-beaten-0.safetensors"]
    for name in [*left, "best/model.json"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    assert read_facts(tmp_path).left_over == left
    assert sorted(tmp_path.rglob("*")) == before


def test_a_point_that_is_never_reached_is_no_success(tmp_path: Path) -> None:
    # Hashes train no finalist.
    with pytest.raises(EvoaeError, match=f"did not come to its point: {WITHIN_FINALIST}, time "):
        resume.measure({"hashed": [WITHIN_FINALIST]}, {}, 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_counts_as_alive_while_it_is_frozen_and_no_longer_when_it_is_dead(tmp_path: Path) -> None:
    orders = Orders(folder="", notes=str(tmp_path), settings=None, is_hashed=True)
    environ = os.environ | {ORDERS: msgspec.json.encode(orders).decode()}
    program = "from evoae_cli.bench.resume_victim import start; start('cpu', 1); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], env=environ, **pipes) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        assert alive(tmp_path) == [worker.pid]
        worker.send_signal(signal.SIGSTOP)
        assert alive(tmp_path) == [worker.pid]
        worker.kill()
        worker.wait()
        assert (alive(tmp_path), begun(tmp_path)) == ([], [])
