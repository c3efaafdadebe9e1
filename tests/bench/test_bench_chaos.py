import signal
from collections import Counter
from typing import Any

import pytest

from evoae_cli.bench.chaos import measure
from evoae_cli.bench.chaos_plan import (
    MAX_FAULTS,
    Course,
    Ended,
    Part,
    Strike,
    Verdict,
    judge,
    with_faults,
    with_poison,
    without_faults,
)
from evoae_cli.bench.mortal import Deed, Entry, Journal, Wound, reply
from evoae_cli.errors import EvoaeError
from evoae_cli.outcome import Outcome

N_TASKS, N_FAULTS = 100, 20


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    """What a short run of the whole benchmark found."""
    return measure(N_TASKS, N_FAULTS, 4, 0, timeout_s=1.0, interval_s=0.1).figures


def test_no_task_is_lost_doubled_or_wrong_under_any_fault(figures: dict[str, Any]) -> None:
    assert figures["is_good"]
    for part in figures["parts"].values():
        assert (part["n_lost"], part["n_twice"], part["n_wrong"]) == (0, 0, 0)
    undisturbed, disturbed = (figures["parts"][name] for name in ("undisturbed", "with faults"))
    assert undisturbed["n_attempts"] == undisturbed["n_tasks"] == disturbed["n_tasks"] == N_TASKS
    assert undisturbed["faults"] == {}


def test_faults_of_every_kind_came_and_cost_workers(figures: dict[str, Any]) -> None:
    found = figures["parts"]["with faults"]
    assert set(found["faults"]) == {
        "SIGKILL from outside",
        "SIGKILL in the write of its result",
        "SIGSTOP from outside",
        "SIGSTOP in the write of its result",
    }
    # One from outside may still be due when the last task has ended.
    assert N_FAULTS // 2 < sum(found["faults"].values()) <= N_FAULTS
    assert found["n_workers"] >= 4 + sum(found["faults"].values())
    assert N_TASKS < found["n_attempts"] <= N_TASKS + N_FAULTS
    assert len(found["lost_s"]) == sum(found["faults"].values())
    assert all(0 < lost < 60 for lost in found["lost_s"])


def test_a_poison_task_costs_three_workers_and_harms_no_other(figures: dict[str, Any]) -> None:
    found = figures["parts"]["with poison"]
    assert found["n_poison_ended"] == found["n_poison"] == len(found["reasons"]) == 5
    named = [reason.rpartition(" ")[2] for reason in found["reasons"]]
    assert named == ["SIGKILL", "SIGKILL", "SIGKILL", "SIGSEGV", "SIGABRT"]
    assert found["n_harmed"] == 0
    assert found["n_attempts"] == found["n_tasks"] + 2 * found["n_poison"]


def test_twenty_killed_workers_leave_nothing_behind_and_print_nothing(figures: dict[str, Any]) -> None:
    n_killed = sum(
        n for part in figures["parts"].values() for kind, n in part["faults"].items() if kind.startswith("SIGKILL")
    )
    assert n_killed >= 20
    assert figures["left"] == {"shared_memory": [], "cache": [], "temp": [], "stray_lines": []}


def test_a_run_that_fails_is_no_reading() -> None:
    with pytest.raises(EvoaeError, match=r"the tasks could not be run: .*0 workers can run nothing"):
        measure(2, 1, 0, 0, timeout_s=1.0, interval_s=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_fixes_the_faults_and_no_task_meets_more_than_two(seed: int) -> None:
    part = with_faults(200, 61, seed)
    assert part == with_faults(200, 61, seed) != with_faults(200, 61, seed + 1)
    inner = [wound.signal for deed in part.deeds for wound in deed.wounds]
    outer = [number for aim in part.aims for number in (aim.signal, aim.again) if number is not None]
    assert (len(inner), len(outer)) == (30, 31)
    for drawn in (inner, outer):
        assert Counter(drawn) == {signal.SIGKILL: 2 * len(drawn) // 3 + (len(drawn) % 3 > 0), signal.SIGSTOP: 10}
    assert {len(deed.wounds) for deed in part.deeds} == {0, 1, MAX_FAULTS}
    assert [aim.after for aim in part.aims] == sorted(aim.after for aim in part.aims)
    plain = without_faults(200, seed).deeds
    assert [(deed.work_s, deed.n_reply) for deed in part.deeds] == [(deed.work_s, deed.n_reply) for deed in plain]


def ended(task: int, **changes: Any) -> Ended:
    given = {"at": 10.0, "outcome": Outcome.OK, "reason": "", "payload": reply(task, 8), "attempt": 1}
    return Ended(task=task, **(given | changes))


def verdict(part: Part, *results: Ended, strikes: tuple[Strike, ...] = (), **entries: list[Entry]) -> Verdict:
    """Of workers named by their process ids, as `pid_7`, all in one place."""
    journals = {
        int(name[4:]): Journal(pid=int(name[4:]), entries=(Entry("ready", 1.0), *noted))
        for name, noted in entries.items()
    } or {1: Journal(pid=1, entries=(Entry("ready", 1.0),))}
    course = Course(
        submitted_at=2.0,
        ended=results,
        strikes=strikes,
        seats={"worker-1": list(journals)},
        born=dict.fromkeys(journals, 0.5),
        n_dropped=0,
    )
    return judge(part, course, journals)


TWO = Part(name="two", deeds=tuple(Deed(number=number, work_s=0.1, n_reply=8) for number in range(2)))


def test_tasks_that_ended_once_with_their_own_reply_are_good() -> None:
    found = verdict(TWO, ended(1), ended(0, attempt=2))
    assert found.is_good
    assert (found.n_attempts, found.n_harmed, found.wall_s, found.start_s) == (3, 1, 8.0, 0.5)


@pytest.mark.parametrize(
    ("results", "counts"),
    [
        ([ended(0)], (1, 0, 0)),
        ([ended(0), ended(1), ended(1)], (0, 1, 0)),
        ([ended(0), ended(1, payload=reply(0, 8))], (0, 0, 1)),
        ([ended(0), ended(1, outcome=Outcome.CRASHED)], (0, 0, 1)),
    ],
)
def test_what_is_lost_doubled_or_wrong_is_counted(results: list[Ended], counts: tuple[int, int, int]) -> None:
    found = verdict(TWO, *results)
    assert (found.n_lost, found.n_twice, found.n_wrong) == counts
    assert not found.is_good


def test_faults_that_came_too_early_or_too_late_are_counted_as_such() -> None:
    def strike(pid: int) -> Strike:
        return Strike(pid=pid, task=0, at=3.0, signal=signal.SIGKILL, place="from outside")

    found = verdict(
        TWO,
        ended(0, attempt=2),
        ended(1, attempt=2),
        strikes=(strike(1), strike(2), strike(3), strike(5)),
        pid_1=[Entry("begin", 2.5, 0)],
        pid_2=[Entry("begin", 2.5, 0), Entry("end", 2.75, 0)],
        pid_3=[Entry("begin", 2.25, 0), Entry("end", 2.5, 0), Entry("begin", 2.75, 1)],
        pid_4=[Entry("begin", 3.5, 0), Entry("end", 4.0, 0)],
        pid_5=[],
    )
    assert (found.n_too_early, found.n_astray, found.n_harmed) == (1, 2, 0)
    assert found.faults == {"SIGKILL from outside": 4}
    assert found.again_s == [0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("changes", "n_ended"),
    [
        ({}, 1),
        ({"attempt": 2}, 0),
        ({"reason": "exit code 1"}, 0),
        ({"outcome": Outcome.OK}, 0),
    ],
)
def test_poison_must_end_as_crashed_after_three_workers_with_the_signal_named(
    changes: dict[str, Any], n_ended: int
) -> None:
    wound = Wound(signal=signal.SIGSEGV)
    part = Part(name="poison", deeds=(Deed(number=0, work_s=0.1, n_reply=8, wounds=(wound,), is_poison=True),))
    died = [Entry("begin", 2.5, 0), Entry("wound", 2.75, 0, wound)]
    result = ended(0, **({"outcome": Outcome.CRASHED, "reason": "killed by SIGSEGV", "attempt": 3} | changes))
    found = verdict(part, result, pid_1=died, pid_2=died, pid_3=died)
    assert (found.n_poison, found.n_poison_ended, found.is_good) == (1, n_ended, n_ended == 1)


def test_poison_that_cost_a_fourth_worker_has_not_ended_as_it_must() -> None:
    wound = Wound(signal=signal.SIGKILL)
    part = Part(name="poison", deeds=(Deed(number=0, work_s=0.1, n_reply=8, wounds=(wound,), is_poison=True),))
    died = [Entry("begin", 2.5, 0), Entry("wound", 2.75, 0, wound)]
    result = ended(0, outcome=Outcome.CRASHED, reason="killed by SIGKILL", attempt=3)
    found = verdict(part, result, pid_1=died, pid_2=died, pid_3=died, pid_4=died)
    assert (found.n_poison_ended, found.is_good) == (0, False)


def test_poison_lies_evenly_among_tasks_that_are_none() -> None:
    part = with_poison(50, 0)
    assert [deed.number for deed in part.deeds if deed.is_poison] == [0, 10, 20, 30, 40]
