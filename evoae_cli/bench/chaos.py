"""Whether anything is lost when workers are killed and frozen: thousands of short tasks, hundreds of faults.

Three parts, one after the other, in a process of its own whose screen is watched: tasks without faults, the same tasks
with faults of which no task meets more than two, and tasks among which some kill every worker that touches them. A
worker is killed (SIGKILL) or frozen (SIGSTOP) from outside while it runs a task, or does it to itself when a part of
its report is written. Tasks sleep for 5 to 50 ms, and answer with bytes that depend on nothing but their number.

A frozen worker is noticed by its missing heartbeats, so each costs the heartbeat timeout; the default here is one
second, a tenth of a study's, so that the benchmark takes minutes.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import msgspec

from evoae_cli.bench.chaos_plan import Verdict, with_faults, with_poison, without_faults
from evoae_cli.bench.chaos_run import Orders
from evoae_cli.bench.report import Report, formatted, options, this_machine
from evoae_cli.errors import EvoaeError

_SHARED_MEMORY = Path("/dev/shm")
_SETTLE_S = 5.0
"""How long something new in /dev/shm is waited for to go: other programs use it too."""
_MIN_WITH_POISON = 50
_MAX_S_PER_TASK = 1.0
_MAX_S_PER_FAULT = 10.0


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What was still there after all had ended."""

    shared_memory: list[str]
    cache: list[str]
    temp: list[str]
    stray_lines: list[str]
    """Of standard error."""


def measure(n_tasks: int, n_faults: int, n_workers: int, seed: int, *, timeout_s: float, interval_s: float) -> Report:
    """Run all parts, and compare what came with what should have come.

    Raises EvoaeError if the process that runs them fails or never ends.
    """
    parts = (
        without_faults(n_tasks, seed),
        with_faults(n_tasks, n_faults, seed),
        with_poison(max(_MIN_WITH_POISON, n_tasks // 10), seed),
    )
    with tempfile.TemporaryDirectory(prefix="evoae-bench-") as folder:
        orders = Orders(
            parts=parts,
            workers=n_workers,
            heartbeat_interval_s=interval_s,
            heartbeat_timeout_s=timeout_s,
            seed=seed,
            folder=folder,
        )
        verdicts, left = _run(orders, Path(folder), 120 + _MAX_S_PER_TASK * n_tasks + _MAX_S_PER_FAULT * n_faults)
    undisturbed, disturbed, poisoned = verdicts
    slowest_start_s = max(verdict.start_s for verdict in verdicts)
    bound_s = timeout_s + slowest_start_s
    return Report(
        benchmark="chaos",
        goal=f"0 lost, 0 twice, 0 wrong; a fault costs under {bound_s:.2f} s; nothing is left behind",
        columns=("", *(verdict.name for verdict in verdicts)),
        rows=(*_rows(verdicts, bound_s), *_rows_left(left, len(verdicts))),
        figures={
            "is_good": all(verdict.is_good for verdict in verdicts),
            "parts": {verdict.name: msgspec.to_builtins(verdict) for verdict in verdicts},
            "times_undisturbed": disturbed.wall_s / undisturbed.wall_s,
            "lost_s_each": (disturbed.wall_s - undisturbed.wall_s) / max(1, n_faults),
            "bound_s": bound_s,
            "heartbeat_timeout_s": timeout_s,
            "heartbeat_interval_s": interval_s,
            "poison_reasons": poisoned.reasons,
            "left": msgspec.to_builtins(left),
        },
    )


def _run(orders: Orders, folder: Path, limit_s: float) -> tuple[list[Verdict], Left]:
    temp, cache = folder / "temp", folder / "cache"
    temp.mkdir()
    cache.mkdir()
    before = _names(_SHARED_MEMORY)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "evoae_cli.bench.chaos_run"],
            input=msgspec.json.encode(orders),
            capture_output=True,
            env=os.environ | {"TMPDIR": str(temp), "EVOAE_CACHE": str(cache)},
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EvoaeError(f"the tasks had not ended after {limit_s:.0f} s") from error
    lines = done.stderr.decode(errors="replace").splitlines()
    if done.returncode:
        raise EvoaeError(f"the tasks could not be run: {lines[-1] if lines else f'exit code {done.returncode}'}")
    left = Left(
        shared_memory=sorted(_settled(lambda: _names(_SHARED_MEMORY) - before)),
        cache=sorted(_names(cache)),
        temp=sorted(_names(temp)),
        stray_lines=lines,
    )
    return msgspec.json.decode(done.stdout, type=list[Verdict]), left


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.is_dir() else set()


def _settled(look: Callable[[], set[str]]) -> set[str]:
    give_up_at = time.monotonic() + _SETTLE_S
    while (found := look()) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return found


def _rows(verdicts: Sequence[Verdict], bound_s: float) -> list[tuple[str, ...]]:
    def row(name: str, value: Callable[[Verdict], str]) -> tuple[str, ...]:
        return (name, *map(value, verdicts))

    return [
        row("tasks", lambda one: f"{one.n_tasks:,}"),
        row("lost", lambda one: str(one.n_lost)),
        row("counted twice", lambda one: str(one.n_twice)),
        row("wrong results", lambda one: str(one.n_wrong)),
        row(
            "poison tasks ended after three workers, signal named",
            lambda one: f"{one.n_poison_ended} of {one.n_poison}" if one.n_poison else "-",
        ),
        *(
            row(f"faults: {kind}", lambda one, kind=kind: str(one.faults.get(kind, 0)))  # type: ignore[misc]
            for kind in sorted({kind for verdict in verdicts for kind in verdict.faults})
        ),
        row("of these before the worker had begun", lambda one: str(one.n_too_early)),
        row("of these when the task had just ended", lambda one: str(one.n_astray)),
        row("tasks with more attempts than their faults cost", lambda one: str(one.n_harmed)),
        row("attempts", lambda one: f"{one.n_attempts:,}"),
        row("workers started", lambda one: str(one.n_workers)),
        row("late results dropped", lambda one: str(one.n_dropped)),
        row("time", lambda one: f"{one.wall_s:.1f} s"),
        # Tasks with poison are others, and fewer.
        row("times undisturbed", lambda one: "-" if one.n_poison else f"{one.wall_s / verdicts[0].wall_s:.2f}"),
        row("slowest start of a worker", lambda one: f"{one.start_s:.2f} s"),
        row("until a lost worker is replaced: mean, longest", lambda one: _mean_and_longest(one.lost_s)),
        row("of these over timeout and start", lambda one: str(sum(lost > bound_s for lost in one.lost_s))),
        row("until its task runs again: mean, longest", lambda one: _mean_and_longest(one.again_s)),
    ]


def _mean_and_longest(seconds: Sequence[float]) -> str:
    return f"{fmean(seconds):.2f} s, {max(seconds):.2f} s" if seconds else "-"


def _rows_left(left: Left, n_parts: int) -> list[tuple[str, ...]]:
    found = {
        "left in /dev/shm": left.shared_memory,
        "left in the cache": left.cache,
        "left in the folder for temporary files": left.temp,
        "stray lines on standard error": left.stray_lines,
    }
    # Looked at once, after the last part.
    return [(name, *["-"] * (n_parts - 1), str(len(names))) for name, names in found.items()]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line. Exits with 1 if a task did not end once and as it should."""
    parser = options(__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--heartbeat-timeout", type=float, default=1.0, help="seconds (default 1)")
    parser.add_argument("--heartbeat-interval", type=float, default=0.1, help="seconds (default 0.1)")
    given = parser.parse_args(argv)
    machine = this_machine()
    report = measure(
        given.tasks,
        given.faults,
        given.workers,
        given.seed,
        timeout_s=given.heartbeat_timeout,
        interval_s=given.heartbeat_interval,
    )
    print(formatted(report, machine, given))
    if not report.figures["is_good"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
