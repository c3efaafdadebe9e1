"""Whether a study slows down, or its coordinator grows, as its history does: thousands of evaluations of nothing.

All is real but the evaluations: evolution, store and commits, ledger, messages, two worker processes. These answer at
once, with a fitness that comes from the genotype's hash. The search stops before any finalist. Most of the time goes
to the disk, whose commits others delay too; the coordinator's own CPU time shows by itself what a history costs.
"""

import statistics
import tempfile
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

from evoae_cli.bench.report import Report, formatted, options, this_machine
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.study.resolve import resolve
from evoae_cli.study.store import Store
from evoae_cli.study.study import Study, StudyEvent

_GOAL_BYTES = 1024
_RUNNER = "evoae_cli.bench.hashed:start"
# A large population keeps the share of cache hits and of generations' ends steady. Three layers at most, out of 61
# choices: modules reach that length within the first hundreds, so the last are no longer, and no dearer to write, than
# the first, and yet there are 230,000 of them. What is left to differ is the length of the history.
_SETTINGS = {
    "population": 100,
    "generations": 1_000_000,
    "kernels": (1, 3, 5, 7, 9, 11),
    "filters": (4, 8, 12, 16, 20, 24, 32, 40, 48, 64),
    "device": "cpu",
}


class _Log:
    """What is read after each evaluation, into memory that is taken before, so that it does not grow itself."""

    def __init__(self, n: int) -> None:
        self.times, self.cpu_s, self.memory, self.generations = (array("d", bytes(8 * n)) for _ in range(4))


def measure(n_evaluations: int, window: int, n_workers: int, folder: Path, max_layers: int = 3) -> Report:
    """Run `n_evaluations`, and compare the first `window` of them with the last. The study lies below `folder`.

    Raises UsageError where windows overlap or the system does not tell a process its memory.
    """
    if n_evaluations < 2 * window:
        raise UsageError(f"{n_evaluations} evaluations hold no two windows of {window}; ask for {2 * window} or more")
    with tempfile.TemporaryDirectory(prefix="evoae-bench-", dir=folder) as inner:
        log, n_stored = _run(n_evaluations, n_workers, max_layers, Path(inner, "study"))
    windows = {"first": slice(0, window), "last": slice(n_evaluations - window, n_evaluations)}
    rates = {name: (window - 1) / (log.times[part][-1] - log.times[part][0]) for name, part in windows.items()}
    cpu_s = {name: (log.cpu_s[part][-1] - log.cpu_s[part][0]) / (window - 1) for name, part in windows.items()}
    resident = {name: statistics.median(log.memory[part]) for name, part in windows.items()}
    grown = (resident["last"] - resident["first"]) / (n_evaluations - window)
    rounds = {name: round(log.generations[part][-1] - log.generations[part][0]) for name, part in windows.items()}
    rows = [
        (f"{name} {window:,}", f"{rates[name]:.0f}", f"{1000 * cpu_s[name]:.2f} ms", f"{resident[name] / 1e6:.1f} MB")
        for name in windows
    ]
    rows.append(
        (
            "last against first",
            f"{rates['last'] / rates['first']:.2f} times",
            f"{cpu_s['last'] / cpu_s['first']:.2f} times",
            f"{grown:+.0f} bytes each",
        )
    )
    return Report(
        benchmark="history",
        goal=f"the last as fast as the first, and under {_GOAL_BYTES:,} bytes each",
        columns=("evaluations", "per second", "coordinator's CPU time each", "coordinator's memory"),
        rows=tuple(rows),
        figures={
            "n_evaluations": n_evaluations,
            "n_stored": n_stored,
            "per_s": rates,
            "last_over_first": rates["last"] / rates["first"],
            "cpu_s_each": cpu_s,
            "memory_bytes": resident,
            "bytes_per_evaluation": grown,
            "generations": rounds,
            "every_window_per_s": [
                (window - 1) / (log.times[start + window - 1] - log.times[start])
                for start in range(0, n_evaluations - window + 1, window)
            ],
        },
    )


def _run(n_evaluations: int, n_workers: int, max_layers: int, folder: Path) -> tuple[_Log, int]:
    log = _Log(n_evaluations)
    n_done = 0

    def note(event: StudyEvent) -> None:
        nonlocal n_done
        # What still ran when the study was asked to stop comes after the last.
        if event.kind != "evaluated" or n_done == n_evaluations:
            return
        log.times[n_done] = time.monotonic()
        log.cpu_s[n_done] = time.process_time()
        log.memory[n_done] = _resident_bytes()
        log.generations[n_done] = study.snapshot().generation
        n_done += 1
        if n_done == n_evaluations:
            study.request_stop()

    config = resolve("denoise", _SETTINGS, {"workers": n_workers, "max_layers": max_layers})
    study = Study.create(config, folder, warn=_refuse, runner=_RUNNER)
    study.run(note)
    store = Store.read(folder)
    n_stored = len(store.history())
    store.close()
    return log, n_stored


def _resident_bytes() -> int:
    """This process's resident memory."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError as error:
        raise UsageError("a process's memory is read from /proc, which only Linux has") from error
    return 1024 * int(text.partition("VmRSS:")[2].split()[0])


def _refuse(warning: str) -> None:
    raise EvoaeError(f"the benchmark's images are not as expected: {warning}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    parser.add_argument("--evaluations", type=int, default=10_000)
    parser.add_argument("--window", type=int, default=1000, help="how many of the first and of the last are compared")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--max-layers", type=int, default=3, help="most layers of a module (default 3)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the study lies meanwhile (default: here)")
    given = parser.parse_args(argv)
    machine = this_machine()
    report = measure(given.evaluations, given.window, given.workers, given.folder, given.max_layers)
    print(formatted(report, machine, given))


if __name__ == "__main__":
    main()
