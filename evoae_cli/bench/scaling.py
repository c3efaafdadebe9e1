"""Candidates per minute with two workers against one, one thread each, in real trainings of the same candidates.

The workers are warm: each has trained something before the clock starts. It runs from the first submission to the last
result, so the end counts too, when one worker has nothing left to do.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from evoae_cli.bench.executors import wait_until_idle
from evoae_cli.bench.report import Report, formatted, options, this_machine
from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.draws import generator
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.errors import EvoaeError
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.variation import distinct_genotypes, offspring
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.requests import Requests
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import prepare, search_space
from evoae_cli.study.study import RUNNER

_GOAL = 1.8
_WARM_UP = "1x1conv2d:8"


@dataclass(frozen=True)
class Batch:
    """One list of candidates, evaluated from the first to the last."""

    wall_s: float
    run_s: float
    """Sum of the times from lease to report."""


def measure(n_candidates: int, n_rounds: int, **settings: object) -> Report:
    """Evaluate the same candidates with one worker and with two, by turns, `n_rounds` times; the fastest count.

    `settings` override those of the preset quick. Raises EvoaeError if an evaluation fails.
    """
    config = resolve("denoise", settings, {"device": "cpu"})
    candidates = generation(search_space(config, 3), n_candidates, config.seed)
    rounds = [{n: _batch(config, candidates, n) for n in (1, 2)} for _ in range(n_rounds)]
    best = {n: min((batches[n] for batches in rounds), key=lambda batch: batch.wall_s) for n in (1, 2)}
    times = best[1].wall_s / best[2].wall_s
    rows = [
        (
            str(n),
            f"{60 * len(candidates) / batch.wall_s:.1f}",
            f"{best[1].wall_s / batch.wall_s:.2f}",
            f"{batch.run_s / len(candidates):.2f} s",
            f"{batch.run_s / (n * batch.wall_s):.1%}",
        )
        for n, batch in best.items()
    ]
    return Report(
        benchmark="scaling",
        goal=f"two workers at least {_GOAL} times as many candidates per minute as one",
        columns=("workers", "candidates per minute", "times one worker", "mean evaluation", "of the time evaluating"),
        rows=tuple(rows),
        figures={
            "n_candidates": len(candidates),
            "times": times,
            "wall_s": {n: [batches[n].wall_s for batches in rounds] for n in (1, 2)},
            "run_s": {n: [batches[n].run_s for batches in rounds] for n in (1, 2)},
        },
    )


def generation(space: SearchSpace, n: int, seed: int) -> list[Genotype]:
    """`n` different genotypes as evolution proposes them: minimal ones, and their offspring."""
    rng = generator(seed)
    found = dict.fromkeys(distinct_genotypes(n // 2, space, rng))
    while len(found) < min(n, space.size):
        found |= dict.fromkeys(offspring(list(found), space, rng))
    return list(found)[:n]


def _batch(config: StudyConfig, candidates: Sequence[Genotype], n_workers: int) -> Batch:
    setup = prepare(config, _refuse)
    specs = [WorkerSpec(device="cpu", threads=config.threads)] * n_workers
    with tempfile.TemporaryDirectory(prefix="evoae-bench-") as folder, LocalEngine(specs, RUNNER) as engine:
        requests = setup.requests(Path(folder))
        wait_until_idle(engine)
        # Each idle worker takes one of them at once.
        _evaluate(engine, requests, [_WARM_UP] * n_workers, first_id=1)
        begun = time.perf_counter()
        results = _evaluate(engine, requests, [one.text for one in candidates], first_id=1 + n_workers)
        return Batch(time.perf_counter() - begun, sum(result.run_s for result in results))


def _evaluate(engine: LocalEngine, requests: Requests, genotypes: Sequence[str], first_id: int) -> list[TaskResult]:
    engine.submit(
        [
            # Weights are kept above an endless fitness, that is never.
            Task(id=number, payload=msgspec.msgpack.encode(requests.search(text, float("inf"))), name=text)
            for number, text in enumerate(genotypes, first_id)
        ]
    )
    results = []
    for _ in genotypes:
        result = engine.next_result()
        if result is None:
            raise EvoaeError("a worker was lost, so nothing was measured; run it again")
        if result.outcome == "crashed":
            raise EvoaeError(f"an evaluation crashed: {result.reason}")
        results.append(result)
    return results


def _refuse(warning: str) -> None:
    raise EvoaeError(f"the benchmark's images are not as expected: {warning}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=1, help="how often; the fastest of each count (default 1)")
    given = parser.parse_args(argv)
    machine = this_machine()
    print(formatted(measure(given.candidates, given.rounds), machine, given))


if __name__ == "__main__":
    main()
