"""A runner that sleeps in place of training, each genotype for its own time, and notes when it began and ended.

The time is log-normal with a coefficient of variation of 1, and the fitness is drawn apart from it; both are functions
of the genotype, the same everywhere, so the time can be foretold. Notes go to the folder that the environment names: a
file per worker, a line of JSON per candidate, on the monotonic clock, which is one for all processes of a host.
"""

import math
import os
import time
from pathlib import Path
from statistics import NormalDist

import msgspec

from evoae_cli.bench import hashed
from evoae_cli.evaluation.contract import Evaluation, EvaluationRequest, Request, derive_seed
from evoae_cli.outcome import Outcome
from evoae_cli.worker.process import Progress, Run

RUNNER = f"{__name__}:start"
FOLDER = "EVOAE_BENCH_NOTES"
MEAN_S = "EVOAE_BENCH_MEAN_S"
"""Environment variables: the folder, and the mean time in seconds."""

# Of a log-normal variable whose standard deviation equals its mean.
_SIGMA = math.sqrt(math.log(2.0))


class Span(msgspec.Struct, frozen=True):
    """A candidate that was evaluated, and when."""

    genotype: str
    begun: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.begun


def sleep_s(genotype: str, mean_s: float) -> float:
    """How long an evaluation of this genotype takes, where all take `mean_s` on average."""
    # In the middle of its step, so that it is neither 0 nor 1.
    share = (derive_seed("sleep", genotype) // 2**11 + 0.5) / 2**52
    return math.exp(NormalDist(math.log(mean_s) - _SIGMA**2 / 2, _SIGMA).inv_cdf(share))


def read_spans(folder: Path) -> list[list[Span]]:
    """What each worker evaluated, in order."""
    return [
        [msgspec.json.decode(line, type=Span) for line in path.read_bytes().splitlines()]
        for path in sorted(folder.glob("*.jsonl"))
    ]


def start(device: str, threads: int) -> tuple[str, Run]:
    """A worker's start: nothing to load."""
    mean_s = float(os.environ[MEAN_S])
    path = Path(os.environ[FOLDER], f"{os.getpid()}.jsonl")

    def run(payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
        request = msgspec.msgpack.decode(payload, type=Request)
        outcome, body, reason = hashed.run(payload, progress)
        if not isinstance(request, EvaluationRequest) or request.stage != "search":
            return outcome, body, reason
        begun = time.monotonic()
        time.sleep(sleep_s(request.genotype, mean_s))
        span = Span(request.genotype, begun, time.monotonic())
        with path.open("ab") as file:
            file.write(msgspec.json.encode(span) + b"\n")
        found = msgspec.structs.replace(msgspec.msgpack.decode(body, type=Evaluation), train_s=span.seconds)
        return outcome, msgspec.msgpack.encode(found), reason

    return f"nothing on {device}", run
