"""What faults there will be, drawn from a seed, and what became of the tasks under them: pure."""

import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, islice, pairwise
from random import Random

import msgspec

from evoae_cli.bench.mortal import Deed, Journal, Wound, reply
from evoae_cli.outcome import Outcome

MAX_FAULTS = 2
"""Of one task: a third would end it."""
MAX_ATTEMPTS = 3

# Two killed for each frozen one, since each frozen one takes the heartbeat timeout; as many from outside as in a write.
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP)
_AGAIN = 0.2
"""Share of the tasks hit that are hit twice."""
_LAST_TRIGGER = 0.8
"""Share of the results after which the last fault is due, so that tasks are left for it to meet."""
_POISONS = (
    Wound(signal=signal.SIGKILL),
    Wound(signal=signal.SIGKILL),
    Wound(signal=signal.SIGKILL, cut=0.5),
    Wound(signal=signal.SIGSEGV),
    Wound(signal=signal.SIGABRT),
)


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """A fault from outside: it is due once `after` tasks have ended, and hits a worker that runs a task."""

    after: int
    signal: int
    again: int | None = None
    """The signal that hits the next worker that runs the same task."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks, and the faults they meet."""

    name: str
    deeds: tuple[Deed, ...]
    aims: tuple[Aim, ...] = ()


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that came: `task` is the one it was meant for, `at` is on the monotonic clock."""

    pid: int
    task: int
    at: float
    signal: int
    place: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A result as it came."""

    task: int
    at: float
    outcome: Outcome
    reason: str
    payload: bytes
    attempt: int


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one part from outside. Times are of the monotonic clock."""

    submitted_at: float
    ended: tuple[Ended, ...]
    strikes: tuple[Strike, ...]
    seats: dict[str, list[int]]
    """The process ids in each worker's place, in turn."""
    born: dict[int, float]
    """When each process was there."""
    n_dropped: int
    """Late and repeated results, dropped by the broker."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the tasks of one part, and what it cost."""

    name: str
    n_tasks: int
    n_lost: int
    """Tasks without a result."""
    n_twice: int
    """Results of tasks that had one."""
    n_wrong: int
    """Tasks that ended other than `ok`, or with other bytes than theirs; of poison, see below."""
    n_harmed: int
    """Tasks that took more attempts than faults met them or were meant for them; of poison, see below."""
    n_poison: int
    n_poison_ended: int
    """Of them, those that ended as `crashed` after exactly three workers, with the signal named."""
    reasons: list[str]
    """Of the poison."""
    faults: dict[str, int]
    n_too_early: int
    """Faults that met a worker which had been given its task, but had not begun it."""
    n_astray: int
    """Faults that met an idle worker, or another task than they were meant for: it had just ended."""
    n_attempts: int
    n_workers: int
    """Processes started."""
    n_dropped: int
    wall_s: float
    """From submission to the last result, all workers being ready before."""
    start_s: float
    """The slowest start of a worker."""
    lost_s: list[float]
    """Of each fault: until another worker was ready in the place of the one it hit."""
    again_s: list[float]
    """Of each fault that cost an attempt: until another worker began the task."""

    @property
    def is_good(self) -> bool:
        """Whether each task ended once, and as it should."""
        return self.n_lost == self.n_twice == self.n_wrong == 0 and self.n_poison == self.n_poison_ended


def without_faults(n_tasks: int, seed: int) -> Part:
    """Tasks of 5 to 50 ms, and nothing that disturbs them."""
    rng = Random(seed)
    deeds = (
        Deed(number=number, work_s=rng.uniform(0.005, 0.05), n_reply=rng.randrange(2000)) for number in range(n_tasks)
    )
    return Part(name="undisturbed", deeds=tuple(deeds))


def with_faults(n_tasks: int, n_faults: int, seed: int) -> Part:
    """The same tasks, with faults: half of them from outside, half by workers within the write of a result."""
    rng = Random(seed + 1)
    n_inner = n_faults // 2
    inner, outer = (_drawn_signals(n, rng) for n in (n_inner, n_faults - n_inner))
    deeds = list(without_faults(n_tasks, seed).deeds)
    hit = iter(rng.sample(range(n_tasks), n_inner))
    while inner:
        signals = [inner.pop() for _ in range(min(len(inner), _n_hits(rng)))]
        wounds = tuple(Wound(signal=number, cut=rng.random()) for number in signals)
        number = next(hit)
        deeds[number] = msgspec.structs.replace(deeds[number], wounds=wounds)
    aims = []
    while outer:
        first = outer.pop()
        again = outer.pop() if outer and _n_hits(rng) == MAX_FAULTS else None
        aims.append(Aim(after=rng.randrange(max(1, int(_LAST_TRIGGER * n_tasks))), signal=first, again=again))
    return Part(name="with faults", deeds=tuple(deeds), aims=tuple(sorted(aims, key=lambda aim: aim.after)))


def with_poison(n_tasks: int, seed: int) -> Part:
    """Tasks among which some, evenly strewn, kill every worker that touches them."""
    deeds = list(without_faults(n_tasks, seed).deeds)
    for index, wound in enumerate(_POISONS):
        number = index * n_tasks // len(_POISONS)
        deeds[number] = msgspec.structs.replace(deeds[number], wounds=(wound,), is_poison=True)
    return Part(name="with poison", deeds=tuple(deeds))


def judge(part: Part, course: Course, journals: Mapping[int, Journal]) -> Verdict:
    """Compare what came with what should have come."""
    deeds = {deed.number: deed for deed in part.deeds}
    first = {one.task: one for one in reversed(course.ended)}
    poison = [deed for deed in part.deeds if deed.is_poison]
    strikes = [*course.strikes, *_own_strikes(journals.values())]
    met = {pid: journal.open_task for pid, journal in journals.items()}
    missed = [one for one in strikes if met[one.pid] != one.task]
    too_early = [one for one in missed if all(entry.task != one.task for entry in journals[one.pid].entries)]
    victims = Counter(met[one.pid] for one in strikes)
    # A worker frozen too early costs an attempt all the same: from outside it looks like any other.
    touched = victims + Counter(one.task for one in too_early)
    return Verdict(
        name=part.name,
        n_tasks=len(deeds),
        n_lost=len(deeds.keys() - first.keys()),
        n_twice=len(course.ended) - len(first),
        n_wrong=sum(not _is_right(deeds[task], one) for task, one in first.items() if not deeds[task].is_poison),
        n_harmed=sum(one.attempt > 1 + touched[task] for task, one in first.items() if not deeds[task].is_poison),
        n_poison=len(poison),
        n_poison_ended=sum(
            deed.number in first and _has_ended_by(deed.wounds[0], first[deed.number], victims[deed.number])
            for deed in poison
        ),
        reasons=[first[deed.number].reason for deed in poison if deed.number in first],
        faults=dict(sorted(Counter(f"{signal.Signals(one.signal).name} {one.place}" for one in strikes).items())),
        n_too_early=len(too_early),
        n_astray=len(missed) - len(too_early),
        n_attempts=sum(one.attempt for one in first.values()),
        n_workers=len(journals),
        n_dropped=course.n_dropped,
        wall_s=max((one.at for one in course.ended), default=course.submitted_at) - course.submitted_at,
        start_s=max(journal.ready_at - course.born[pid] for pid, journal in journals.items() if pid in course.born),
        lost_s=_until_replaced(strikes, course.seats, journals),
        again_s=_until_begun_again(strikes, journals),
    )


def _drawn_signals(n: int, rng: Random) -> list[int]:
    signals = [int(number) for number in islice(cycle(_SIGNALS), n)]
    rng.shuffle(signals)
    return signals


def _n_hits(rng: Random) -> int:
    return MAX_FAULTS if rng.random() < _AGAIN else 1


def _is_right(deed: Deed, one: Ended) -> bool:
    return one.outcome is Outcome.OK and one.payload == reply(deed.number, deed.n_reply)


def _has_ended_by(wound: Wound, one: Ended, n_victims: int) -> bool:
    return (
        one.outcome is Outcome.CRASHED
        and one.attempt == n_victims == MAX_ATTEMPTS
        and signal.Signals(wound.signal).name in one.reason
    )


def _own_strikes(journals: Iterable[Journal]) -> list[Strike]:
    return [
        Strike(
            pid=journal.pid,
            task=entry.task,
            at=entry.at,
            signal=entry.wound.signal,
            place="in its work" if entry.wound.cut is None else "in the write of its result",
        )
        for journal in journals
        for entry in journal.entries
        if entry.wound is not None
    ]


def _until_replaced(
    strikes: Sequence[Strike], seats: Mapping[str, Sequence[int]], journals: Mapping[int, Journal]
) -> list[float]:
    following = {pid: after for pids in seats.values() for pid, after in pairwise(pids)}
    return [
        journals[following[one.pid]].ready_at - one.at
        for one in strikes
        if one.pid in following and following[one.pid] in journals
    ]


def _until_begun_again(strikes: Sequence[Strike], journals: Mapping[int, Journal]) -> list[float]:
    begun: dict[int, list[float]] = {}
    for journal in journals.values():
        for entry in journal.entries:
            if entry.what == "begin":
                begun.setdefault(entry.task, []).append(entry.at)
    found = []
    for one in strikes:
        later = [at for at in begun.get(one.task, ()) if at > one.at]
        if later:
            found.append(min(later) - one.at)
    return found
