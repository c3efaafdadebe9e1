"""How a search scales with its workers (the paper's Figure 7): candidates per second, and where the rest of it goes.

All is real but, if asked for, the trainings, in whose place workers wait. A generational search proposes the same
candidates whatever the number of workers, so all of them do the same work.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import geometric_mean
from typing import Literal

import msgspec

from evoae_cli.bench.quantiles import quantile
from evoae_cli.bench.scaled import Orders, Span
from evoae_cli.bench.timed_search import timed_search
from evoae_cli.engine.local import local_engine
from evoae_cli.engine.terms import MakeEngine
from evoae_cli.errors import EvoaeError
from evoae_cli.study.config import StudyConfig

Mode = Literal["generational", "async"]


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, without which no figures can be compared."""

    modes: tuple[Mode, ...]
    engine: str
    simulate_s: float | None
    """Mean of the times to wait in place of each training; None for real ones."""
    cv: float
    """Coefficient of variation of these times."""
    fail_rate: float
    """As `Orders.fail_rate`."""

    @property
    def unlike_a_search(self) -> str:
        """What is otherwise than in a search as people run it, for people; empty where nothing is."""
        waiting = (
            ""
            if self.simulate_s is None
            # So the search sends what is longest first without a mistake, where a real one has to learn it.
            else f"waiting {self.simulate_s:g} s in place of training, cv {self.cv:g}, how long is known before"
        )
        killed = f"evaluations killed with a chance of {100 * self.fail_rate:g}%" if self.fail_rate else ""
        engine = f"engine {self.engine}" if self.engine != "local" else ""
        return "; ".join(part for part in (waiting, killed, engine) if part)


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A generation, or as long a part of a search without them, of which the last may be shorter."""

    n: int
    """Candidates that were evaluated in it."""
    took_s: float

    @property
    def rate(self) -> float:
        """Candidates per second."""
        return self.n / self.took_s


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one search with one number of workers came to."""

    mode: Mode
    workers: int
    stretches: tuple[Stretch, ...]
    rate: float
    """Candidates per second: the geometric mean over the generations; without them all candidates by all the time."""
    busy: float
    """Share of the workers' time that went to evaluations, those cut short among them."""
    gap_median_s: float | None
    """From a worker's end of one candidate to its beginning of the next of the same generation; None: never. In a
    search without generations the next is proposed only then: all of them count, and so does what that takes.

    One that is tried again does not count: it may have waited for less time than the worker.
    """
    gap_p95_s: float | None
    n_killed: int
    recovery_median_s: float | None
    """From the death of a worker to the beginning of the candidate it held in another one; None where none died."""
    recovery_p95_s: float | None


def measure(
    config: StudyConfig,
    orders: Callable[[str], Orders],
    folder: Path,
    warn: Callable[[str], None],
    make_engine: MakeEngine = local_engine,
) -> Reading:
    """Search with the workers of `config`, and stop when the candidates are evaluated.

    `orders` makes what the workers are to do from a folder for their notes. The study lies below `folder` meanwhile.
    Raises EvoaeError where the search fails, or is too short for all workers to take part.
    """
    assert config.workers is not None
    with tempfile.TemporaryDirectory(prefix="evoae-scale-", dir=folder) as inner:
        spans, generation_of = timed_search(config, orders, Path(inner), warn, make_engine)
    if len(spans) < config.workers:
        raise EvoaeError(f"only {len(spans)} of {config.workers} workers took part; ask for a larger --population")
    return reading(config.mode, config.workers, spans, generation_of)


def reading(mode: Mode, n_workers: int, spans: Sequence[Sequence[Span]], generation_of: Mapping[str, int]) -> Reading:
    """What spans, each worker's in order, come to. The first generation, in which workers start, does not count.

    Nor does the end of a search without a barrier, when no candidate is left to begin: the longer the search, the less
    it weighs.
    """
    everything = [span for own in spans for span in own if span.genotype in generation_of]
    last = max(span.ended if mode == "generational" else span.begun for span in everything)
    begin, *ends = _ends(everything, generation_of, last)
    stretches = [
        Stretch(n=sum(start < span.ended <= end and not span.is_killed for span in everything), took_s=end - start)
        for start, end in pairwise([begin, *ends])
    ]
    attempts = _attempts(everything)
    repeated = {again for own in attempts for again in own[1:]}
    waited_in = generation_of if mode == "generational" else {}
    gaps = [gap for own in spans for gap in _gaps(own, begin, waited_in, repeated)]
    recoveries = [after.begun - before.ended for own in attempts for before, after in pairwise(own) if before.is_killed]
    busy_s = sum(max(0.0, min(span.ended, ends[-1]) - max(span.begun, begin)) for span in everything)
    return Reading(
        mode=mode,
        workers=n_workers,
        stretches=tuple(stretches),
        rate=_rate(mode, stretches),
        busy=busy_s / (n_workers * (ends[-1] - begin)),
        gap_median_s=quantile(gaps, 50),
        gap_p95_s=quantile(gaps, 95),
        n_killed=sum(span.is_killed for span in everything),
        recovery_median_s=quantile(recoveries, 50),
        recovery_p95_s=quantile(recoveries, 95),
    )


def _ends(spans: Sequence[Span], generation_of: Mapping[str, int], last: float) -> list[float]:
    """When each generation had ended, of those that did until `last`.

    Without a barrier that is when as many candidates had ended as belong to these generations.
    """
    ended = sorted(span.ended for span in spans if not span.is_killed and span.ended <= last)
    sizes: dict[int, int] = defaultdict(int)
    for span in spans:
        sizes[generation_of[span.genotype]] += not span.is_killed
    n, ends = 0, set[float]()
    for number in sorted(sizes):
        n += sizes[number]
        ends.add(ended[min(n, len(ended)) - 1])
    if len(ends) < 2:
        raise EvoaeError("the search had a single generation, in which workers start; ask for more --generations")
    return sorted(ends)


def _rate(mode: Mode, stretches: Sequence[Stretch]) -> float:
    """Candidates per second.

    Without generations it is chance when a stretch ends, and the sooner it does the higher is its rate: a mean of them
    would be up to a tenth too high with stretches of 6 (simulated; times with a coefficient of variation of 1).
    """
    if mode == "generational":
        return geometric_mean(stretch.rate for stretch in stretches)
    return sum(stretch.n for stretch in stretches) / sum(stretch.took_s for stretch in stretches)


def _attempts(spans: Sequence[Span]) -> list[list[Span]]:
    """The evaluations of each candidate, in order: more than one where its worker was killed."""
    of_genotype: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.begun):
        of_genotype[span.genotype].append(span)
    return list(of_genotype.values())


def _gaps(
    own: Sequence[Span], begin: float, generation_of: Mapping[str, int], repeated: Collection[Span]
) -> list[float]:
    """A worker's pauses before candidates that waited: with `generation_of` within a generation, never `repeated`."""
    return [
        after.begun - before.ended
        for before, after in pairwise(own)
        if before.ended >= begin
        and generation_of.get(before.genotype) == generation_of.get(after.genotype)
        and after not in repeated
    ]
