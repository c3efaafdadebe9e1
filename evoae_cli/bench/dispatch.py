"""From a worker's report to its next first training step, in a real search: how long a worker waits between trainings.

On the way lie the report, the ledger, the next lease, decoding, building the network, and the first batch. Within a
generation the next candidate waits in the queue. The first one of a new generation exists only after the last result
of the old one was committed to the store and told to evolution, and that is measured apart. A worker's first training
is left out: it maps the images.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

from evoae_cli.bench import stopwatch
from evoae_cli.bench.quantiles import quantile
from evoae_cli.bench.report import Report, formatted, options, this_machine
from evoae_cli.bench.stopwatch import Note
from evoae_cli.errors import EvoaeError
from evoae_cli.study.resolve import resolve
from evoae_cli.study.store import Store
from evoae_cli.study.study import Study, StudyEvent

Wait = Literal["queued", "new generation"]

_GOAL_MS = 20
# Short trainings: what lies between them does not depend on how long they are.
_SHORT = {"generations": 10_000, "epochs": 1, "train_images": 128, "val_images": 4, "test_images": 1}


def measure(n_evaluations: int, workers: Sequence[int], folder: Path) -> Report:
    """Search until `n_evaluations` are done, with each number of workers; studies lie below `folder` meanwhile.

    Raises EvoaeError if the search fails.
    """
    rows, figures = [], []
    for n_workers in workers:
        with tempfile.TemporaryDirectory(prefix="evoae-bench-", dir=folder) as inner:
            found = _search(n_evaluations, n_workers, Path(inner))
        for wait, seconds in found.items():
            median, late = (_ms(quantile(seconds, per_cent)) for per_cent in (50, 95))
            rows.append((str(n_workers), wait, str(len(seconds)), _said(median), _said(late)))
            figures.append({"workers": n_workers, "wait": wait, "n": len(seconds), "median_ms": median, "p95_ms": late})
    return Report(
        benchmark="dispatch",
        goal=f"a median under {_GOAL_MS} ms",
        columns=("workers", "next candidate", "readings", "median", "95th percentile"),
        rows=tuple(rows),
        figures={"waits": figures},
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _said(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.1f} ms"


def waits(notes: Sequence[Sequence[Note]], generations: Mapping[str, int]) -> dict[Wait, list[float]]:
    """Seconds from release to first step, by what released the candidate: its worker's return, or its generation.

    `notes` are each worker's, in order; `generations` has the generation of each genotype.
    """
    ends: dict[int, float] = {}
    for own in notes:
        for note, following in pairwise(own):
            if note.genotype in generations and following.returned is not None:
                generation = generations[note.genotype]
                ends[generation] = max(ends.get(generation, 0.0), following.returned)
    found: dict[Wait, list[float]] = {"queued": [], "new generation": []}
    for own in notes:
        for note in own[1:]:
            if note.stage != "search" or note.genotype not in generations or note.returned is None:
                continue
            earlier = [end for generation, end in ends.items() if generation < generations[note.genotype]]
            opened = max(earlier, default=0.0)
            wait: Wait = "queued" if note.returned > opened else "new generation"
            found[wait].append(note.first_step - max(note.returned, opened))
    return found


def _search(n_evaluations: int, n_workers: int, folder: Path) -> dict[Wait, list[float]]:
    config = resolve("denoise", _SHORT, {"device": "cpu", "workers": n_workers})
    notes = folder / "notes"
    notes.mkdir()
    os.environ[stopwatch.FOLDER] = str(notes)
    n_done = 0

    def count(event: StudyEvent) -> None:
        nonlocal n_done
        n_done += event.kind == "evaluated"
        if n_done == n_evaluations:
            study.request_stop()

    try:
        study = Study.create(config, folder / "study", warn=_refuse, runner=stopwatch.RUNNER)
        study.run(count)
    finally:
        del os.environ[stopwatch.FOLDER]
    store = Store.read(folder / "study")
    generations = {record.evaluation.genotype: record.generation for record in store.records("search")}
    store.close()
    return waits(stopwatch.read_notes(notes), generations)


def _refuse(warning: str) -> None:
    raise EvoaeError(f"the benchmark's images are not as expected: {warning}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    parser.add_argument("--evaluations", type=int, default=120)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, default=Path(), help="where studies lie meanwhile (default: here)")
    given = parser.parse_args(argv)
    machine = this_machine()
    print(formatted(measure(given.evaluations, given.workers, given.folder), machine, given))


if __name__ == "__main__":
    main()
