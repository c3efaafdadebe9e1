"""How much of the workers' time goes to evaluations, in both modes of the search: 64 workers whose evaluations sleep.

All is real but the evaluations: evolution, store and commits, ledger, messages, worker processes. A candidate sleeps
for a time that is log-normal with a coefficient of variation of 1, and the study knows beforehand how long, as it does
of real ones after a while. The start of the workers and the finalists' stage are left out.

In a search with generations workers must wait for the last candidate of each, so what can be reached is less than all:
each generation takes at least the sum of its evaluations by the number of workers, and at least its longest. The
asynchronous search waits for nothing but its very end, when no candidates are left to draw.
"""

import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import msgspec

from evoae_cli.bench.report import Report, formatted, options, this_machine
from evoae_cli.bench.scale import Mode
from evoae_cli.bench.scaled import Orders, Span
from evoae_cli.bench.timed_search import timed_search
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.study.resolve import resolve

_MODES: tuple[Mode, ...] = get_args(Mode)
_GOAL_ASYNC = 0.97
_GOAL_POINTS = 5
# Enough layer choices for the first generation, which has one candidate for each at most.
_SETTINGS: dict[str, Any] = {
    "kernels": (1, 2, 3, 4, 5, 6, 7, 9),
    "filters": tuple(range(1, 97)),
    "max_layers": 10,
    "finalists": 1,
    "final_seeds": 1,
    "device": "cpu",
}


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the workers' time went to evaluations, in one part of a search."""

    name: str
    n: int
    """Evaluations that ended in it."""
    busy_s: float
    """Time that they took, all workers together, as far as it lies in the part."""
    took_s: float
    evaluating: float
    """Share of all workers' time."""
    bound: float
    """The most that it could be."""


def measure(*, population: int, n_generations: int, n_workers: int, mean_s: float, seed: int, folder: Path) -> Report:
    """Search in both modes, for one generation or more. Studies lie below `folder` meanwhile.

    Raises EvoaeError if a search fails, or is too short for all workers to take part.
    """
    if n_generations < 1:
        raise UsageError("the first generation is not measured; ask for 1 or more after it")
    found: dict[Mode, list[Share]] = {}

    def orders(notes: str) -> Orders:
        return Orders(folder=notes, wait_s=mean_s, cv=1.0)

    for mode in _MODES:
        settings = {
            "mode": mode,
            "population": population,
            "generations": n_generations,
            "workers": n_workers,
            "seed": seed,
        }
        with tempfile.TemporaryDirectory(prefix="evoae-bench-", dir=folder) as inner:
            config = resolve("denoise", _SETTINGS, settings)
            spans, generation_of = timed_search(config, orders, Path(inner), _refuse)
        if len(spans) < n_workers or not _has_begun_early(spans):
            raise EvoaeError(f"{n_workers} workers had not all begun before the last candidate; ask for more")
        found[mode] = generational(spans, generation_of) if mode == "generational" else asynchronous(spans)
    rows = [
        (
            mode,
            share.name,
            f"{share.n:,}",
            f"{share.busy_s / share.n:.3f} s",
            f"{share.took_s:.2f} s",
            f"{share.evaluating:.1%}",
            f"{share.bound:.1%}",
            f"{100 * (share.bound - share.evaluating):.1f}",
        )
        for mode, shares in found.items()
        for share in shares
    ]
    return Report(
        benchmark="utilisation",
        goal=(
            f"async at least {_GOAL_ASYNC:.0%} before its end, generational within {_GOAL_POINTS} points of its bound"
        ),
        columns=("search", "part", "evaluations", "mean", "time", "evaluating", "bound", "points under the bound"),
        rows=tuple(rows),
        figures={mode: [msgspec.to_builtins(share) for share in shares] for mode, shares in found.items()},
    )


def _has_begun_early(spans: Sequence[Sequence[Span]]) -> bool:
    return max(own[0].begun for own in spans) < max(own[-1].begun for own in spans)


def generational(spans: Sequence[Sequence[Span]], generation_of: Mapping[str, int]) -> list[Share]:
    """Each generation after the first, in which workers start, and then all of them; `spans` are each worker's.

    A generation begins when the one before it has ended, and ends with its last evaluation. Its bound is what the
    larger of two times would give: its sum by the number of workers, and its longest evaluation.
    """
    groups: dict[int, list[Span]] = {}
    for own in spans:
        for span in own:
            groups.setdefault(generation_of[span.genotype], []).append(span)
    ends = {number: max(span.ended for span in groups[number]) for number in sorted(groups)}
    shares, least_s = [], 0.0
    for before, number in pairwise(ends):
        busy_s = sum(span.seconds for span in groups[number])
        bound_s = max(busy_s / len(spans), max(span.seconds for span in groups[number]))
        least_s += bound_s
        part = f"generation {number}"
        shares.append(
            _share(part, groups[number], ends[before], ends[number], busy_s / (len(spans) * bound_s), len(spans))
        )
    everything = [span for number in list(ends)[1:] for span in groups[number]]
    bound = sum(span.seconds for span in everything) / (len(spans) * least_s)
    first, *_, last = ends.values()
    return [*shares, _share("all of them", everything, first, last, bound, len(spans))]


def asynchronous(spans: Sequence[Sequence[Span]]) -> list[Share]:
    """From when every worker has begun, until the last candidate was begun, and until the last one has ended."""
    everything = [span for own in spans for span in own]
    begin = max(own[0].begun for own in spans)
    last_begun = max(span.begun for span in everything)
    last_ended = max(span.ended for span in everything)
    return [
        _share("until the last is begun", everything, begin, last_begun, 1.0, len(spans)),
        _share("until the last has ended", everything, begin, last_ended, 1.0, len(spans)),
    ]


def _share(name: str, spans: Sequence[Span], begin: float, end: float, bound: float, n_workers: int) -> Share:
    busy_s = sum(max(0.0, min(span.ended, end) - max(span.begun, begin)) for span in spans)
    return Share(
        name=name,
        n=sum(begin < span.ended <= end for span in spans),
        busy_s=busy_s,
        took_s=end - begin,
        evaluating=busy_s / (n_workers * (end - begin)),
        bound=bound,
    )


def _refuse(warning: str) -> None:
    raise EvoaeError(f"the benchmark's images are not as expected: {warning}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    parser.add_argument("--workers", type=int, default=64)
    # Twice as many are proposed, but of the first offspring, of one or two layers, half were evaluated before.
    parser.add_argument("--population", type=int, default=700, help="a generation evaluates about as many or more")
    parser.add_argument("--generations", type=int, default=3)
    parser.add_argument("--mean", type=float, default=0.5, help="seconds of an evaluation (default 0.5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(), help="where studies lie meanwhile (default: here)")
    given = parser.parse_args(argv)
    machine = this_machine()
    report = measure(
        population=given.population,
        n_generations=given.generations,
        n_workers=given.workers,
        mean_s=given.mean,
        seed=given.seed,
        folder=given.folder,
    )
    print(formatted(report, machine, given))


if __name__ == "__main__":
    main()
