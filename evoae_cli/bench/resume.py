"""Whether a study that was killed anywhere ends as if it had not been: one search, killed at each point and resumed.

A small real search, trainings and all, is run once without interruption. Then, for each named point and for instants
drawn from a seed, its coordinator is ended there by SIGKILL, and resumed. Before some of the kills a worker is frozen
(SIGSTOP): it must not live on either. What was committed must neither be lost nor be evaluated again, and history,
fitness and weights must be the same to the last bit. The asynchronous search, whose history depends on the timing, must
lose nothing, train nothing twice, and end with its budget of proposals.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.bench import resume_victim
from evoae_cli.bench.report import Report, formatted, options, this_machine
from evoae_cli.bench.resume_plan import RANDOM, Facts, Kill, Kind, Verdict, judge, planned, read_facts
from evoae_cli.bench.resume_victim import POINTS, Orders
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import EvoaeError

# Coordinators are forked from a process that has loaded all they need and begun nothing: to load PyTorch once for each
# would take longer than the studies. Their workers start afresh, as always.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["__main__", "torch.multiprocessing", "matplotlib.figure", resume_victim.__name__])

_SETTINGS = SMALL | {"generations": 2, "population": 3, "kernels": (1, 3, 5), "max_layers": 3, "device": "cpu"}
# Hashes come in no time: only a longer search leaves room for instants within it.
_LONGER = {"generations": 8, "population": 4}
_LONGEST_RUN_S = 300.0
_LONGEST_DEATH_S = 5.0
"""The kernel tells a worker of its coordinator's death at once, but a busy machine may take its time to end it."""
_LOOK_S = 0.002
_SOONER = 0.7
"""Of the time that was too long, for another attempt."""
_FROZEN_S = 0.05
"""How long a worker is frozen before its coordinator is killed."""


class Undisturbed(msgspec.Struct, frozen=True, kw_only=True):
    """A study that ran to its end, and how long that took after its first evaluation had begun."""

    settings: dict[str, Any]
    facts: Facts
    wall_s: float


def measure(
    points: Mapping[Kind, Sequence[str]],
    n_random: Mapping[Kind, int],
    seed: int,
    folder: Path,
    *,
    n_workers: int = 2,
    n_at_once: int = 2,
) -> Report:
    """Run a study of each kind undisturbed, then kill and resume it again and again, `n_at_once` at a time.

    All studies lie below `folder` meanwhile. Raises EvoaeError if a study fails, or never comes to its point.
    """
    begun_at = time.monotonic()
    kinds = list(dict.fromkeys([*points, *n_random]))
    with (
        tempfile.TemporaryDirectory(prefix="evoae-bench-", dir=folder) as inner,
        ThreadPoolExecutor(n_at_once) as pool,
    ):
        place = Path(inner)
        whole = pool.map(lambda kind: _run_undisturbed(kind, _settings(kind, n_workers), place), kinds)
        undisturbed = dict(zip(kinds, whole, strict=True))
        kills = planned({kind: one.facts for kind, one in undisturbed.items()}, points, n_random, seed)
        places = [place / str(number) for number in range(len(kills))]
        verdicts = list(pool.map(_kill_and_resume, kills, [undisturbed[kill.kind] for kill in kills], places))
    return _report(verdicts, time.monotonic() - begun_at)


def _run_undisturbed(kind: Kind, settings: dict[str, Any], place: Path) -> Undisturbed:
    run = _Run(kind, place / kind, settings)
    run.wait_for_first()
    first_at = time.monotonic()
    run.wait()
    wall_s = time.monotonic() - first_at
    return Undisturbed(settings=settings, facts=read_facts(run.folder), wall_s=wall_s)


def _kill_and_resume(kill: Kill, undisturbed: Undisturbed, place: Path) -> Verdict:
    victim = _killed(kill, undisturbed, place)
    survivors = _survivors(victim.notes)
    at_kill = read_facts(victim.folder)
    resumed = _Run(kill.kind, place, None, folder=victim.folder)
    resumed.wait()
    return judge(
        kill.point,
        kill.kind,
        undisturbed.facts,
        at_kill,
        read_facts(victim.folder),
        begun=resume_victim.begun(resumed.notes),
        survivors=[*survivors, *_survivors(resumed.notes)],
        is_frozen=kill.is_freezing,
    )


def _killed(kill: Kill, undisturbed: Undisturbed, place: Path) -> "_Run":
    """A run that ended by SIGKILL, one of its workers being frozen if that is planned.

    A run that was through before its instant, or had no worker left to freeze, is made once more, and killed sooner.
    """
    settings = undisturbed.settings
    if kill.point != RANDOM:
        victim = _Run(kill.kind, place, settings, point=kill.point, nth=kill.nth)
        if not victim.wait(is_to_die=True):
            raise EvoaeError(f"the study did not come to its point: {kill.point}, time {kill.nth}")
        return victim
    attempt = 0
    while True:
        victim = _Run(kill.kind, place / f"attempt-{attempt}", settings)
        victim.wait_for_first()
        time.sleep(kill.share * undisturbed.wall_s * _SOONER**attempt)
        is_as_planned = not kill.is_freezing or _freeze_one(victim.notes)
        victim.process.kill()
        if victim.wait(is_to_die=True) and is_as_planned:
            return victim
        attempt += 1


def _settings(kind: Kind, n_workers: int) -> dict[str, Any]:
    longer = _LONGER if kind.endswith("hashed") else {}
    mode = "async" if kind.startswith("async") else "generational"
    return _SETTINGS | longer | {"mode": mode, "workers": n_workers}


def _freeze_one(notes: Path) -> bool:
    """Freeze a worker, if there is one."""
    for pid in resume_victim.alive(notes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            # A stop takes effect in its own time.
            time.sleep(_FROZEN_S)
            return True
    return False


def _survivors(notes: Path) -> list[int]:
    """The workers that outlive their coordinator. They are ended then: nothing is to be left of a benchmark."""
    give_up_at = time.monotonic() + _LONGEST_DEATH_S
    while (found := resume_victim.alive(notes)) and time.monotonic() < give_up_at:
        time.sleep(10 * _LOOK_S)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


class _Run:
    """A coordinator in a process of its own: of a new study below `place`, or of the one in `folder`."""

    def __init__(
        self,
        kind: Kind,
        place: Path,
        settings: dict[str, Any] | None,
        *,
        folder: Path | None = None,
        point: str | None = None,
        nth: int = 1,
    ) -> None:
        self.folder = folder or place / "study"
        self.notes = place / ("notes" if folder is None else "notes-resumed")
        self.notes.mkdir(parents=True)
        orders = Orders(
            folder=str(self.folder),
            notes=str(self.notes),
            settings=settings,
            is_hashed=kind.endswith("hashed"),
            point=point,
            nth=nth,
        )
        # A file, no pipe: whoever outlives the coordinator would hold the pipe open.
        self._printed = self.notes / "printed.txt"
        text = msgspec.json.encode(orders).decode()
        self.process = _CONTEXT.Process(target=resume_victim.follow, args=(text, str(self._printed)))
        self.process.start()

    def wait_for_first(self) -> None:
        """Until a worker has begun the first evaluation, or the process has ended."""
        while not resume_victim.begun(self.notes) and self.process.is_alive():
            time.sleep(_LOOK_S)

    def wait(self, *, is_to_die: bool = False) -> bool:
        """Until the process has ended; whether by SIGKILL. Raises EvoaeError if it failed, or died without need."""
        self.process.join(_LONGEST_RUN_S)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise EvoaeError(f"a study of a few seconds had not ended after {_LONGEST_RUN_S:.0f} s")
        is_killed = code == -signal.SIGKILL
        if code and not (is_killed and is_to_die):
            last = self._printed.read_text().splitlines()[-1:]
            raise EvoaeError(f"a study ended with exit code {code}: {last[0] if last else 'it printed nothing'}")
        return is_killed


def _report(verdicts: Sequence[Verdict], wall_s: float) -> Report:
    columns = ("killed", "study", "by then", "stored", "same history", "best", "fitness bits", "weights", "complete")
    counts = ("lost", "run again", "workers left", "files left")
    rows = [
        (
            f"{one.point}{', a worker frozen' if one.is_frozen else ''}",
            one.kind,
            one.phase,
            str(one.n_stored),
            *(_said(answer) for answer in _answers(one)),
            *(str(n) for n in _costs(one)),
        )
        for one in verdicts
    ]
    total = (
        f"**{len(verdicts)} kills**",
        "",
        f"{wall_s:.0f} s",
        str(sum(one.n_stored for one in verdicts)),
        *(
            f"{answers.count(True)} of {len(answers) - answers.count(None)}"
            for answers in zip(*map(_answers, verdicts), strict=True)
        ),
        *(str(sum(each)) for each in zip(*map(_costs, verdicts), strict=True)),
    )
    return Report(
        benchmark="resume",
        goal="all equal, nothing lost, nothing run again, nothing left",
        columns=(*columns, *counts),
        rows=(*rows, total),
        figures={
            "is_good": all(one.is_good for one in verdicts),
            "kills": msgspec.to_builtins(verdicts),
            "wall_s": wall_s,
        },
    )


def _answers(one: Verdict) -> tuple[bool | None, ...]:
    equal = (one.is_history_equal, one.is_best_equal, one.is_fitness_equal, one.is_weights_equal)
    return (*equal, one.is_complete)


def _costs(one: Verdict) -> tuple[int, ...]:
    return one.n_lost, one.n_again, one.n_survivors, len(one.left_over)


def _said(answer: bool | None) -> str:
    return "-" if answer is None else "yes" if answer else "**no**"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line. Exits with 1 if a study has not ended as it should."""
    parser = options(__doc__)
    parser.add_argument("--random", type=int, default=20, help="instants at which the search is killed (default 20)")
    parser.add_argument("--random-async", type=int, default=5, help="the same of the asynchronous one (default 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=2, help="studies that run side by side (default 2)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the studies lie meanwhile (default: here)")
    given = parser.parse_args(argv)
    machine = this_machine()
    n_random: dict[Kind, int] = {"generational": given.random, "async": given.random_async}
    report = measure({"generational": POINTS}, n_random, given.seed, given.folder, n_at_once=given.at_once)
    print(formatted(report, machine, given))
    if not report.figures["is_good"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
