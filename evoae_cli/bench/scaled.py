"""A runner that times what it does: real evaluations or waiting in their place, some of them cut short by a kill.

Finalists are not trained: what is measured is over before.

Each worker notes what it began and ended; a killed one leaves a beginning and its end. Notes go to the folder that the
environment names: a file per worker, a line of JSON per entry, on the monotonic clock, which is one for all processes
of a host.
"""

import math
import os
import signal
import threading
import time
from pathlib import Path
from statistics import NormalDist

import msgspec

from evoae_cli.bench import hashed
from evoae_cli.evaluation.contract import EvaluationRequest, Request, derive_seed
from evoae_cli.outcome import Outcome
from evoae_cli.worker import evaluation
from evoae_cli.worker.runner import Progress, Run

RUNNER = f"{__name__}:start"
ORDERS = "EVOAE_BENCH_ORDERS"
"""The environment variable: `Orders` as JSON."""
_MOST_KILLS = 2
"""Of one candidate: a third would end it as one that kills workers."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the workers are to do."""

    folder: str
    """For notes, and for marks of what was killed."""
    seed: int = 0
    wait_s: float | None = None
    """Mean time to wait in place of training; None: train."""
    cv: float = 0.0
    """Coefficient of variation of that time, which is log-normal."""
    fail_rate: float = 0.0
    """Chance of each evaluation that its worker is killed before it has ended."""


class Span(msgspec.Struct, frozen=True):
    """One evaluation of the search in one worker."""

    genotype: str
    begun: float
    ended: float
    is_killed: bool = False

    @property
    def seconds(self) -> float:
        """How long the worker was busy with it."""
        return self.ended - self.begun


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    what: str
    """`begin`, `end` or `kill`."""
    at: float
    genotype: str


def wait_s(genotype: str, orders: Orders) -> float:
    """How long the evaluation of a genotype waits: the same everywhere, so that it can be foretold."""
    assert orders.wait_s is not None
    sigma = math.sqrt(math.log(1 + orders.cv**2))
    if not sigma:
        return orders.wait_s
    normal = NormalDist(math.log(orders.wait_s) - sigma**2 / 2, sigma)
    return math.exp(normal.inv_cdf(_share(orders.seed, "wait", genotype)))


def kill_share(genotype: str, attempt: int, orders: Orders) -> float | None:
    """The share of an evaluation after which its worker is killed in its attempt number `attempt`; None: it is not."""
    if attempt >= _MOST_KILLS or _share(orders.seed, "kill", genotype, attempt) >= orders.fail_rate:
        return None
    return _share(orders.seed, "kill at", genotype, attempt)


def read_spans(folder: Path) -> list[list[Span]]:
    """What each worker was busy with, in order, of those that evaluated anything; what it was ended in the midst of by
    others is left out.
    """
    decode = msgspec.json.Decoder(_Entry).decode
    files = (path.read_bytes().splitlines() for path in sorted(folder.glob("*.jsonl")))
    return [own for lines in files if (own := _spans([decode(line) for line in lines]))]


def start(device: str, threads: int) -> tuple[str, Run]:
    """A worker's start: where it waits, nothing to load."""
    orders = msgspec.json.decode(os.environ[ORDERS], type=Orders)
    name, run = (f"waiting on {device}", hashed.run) if orders.wait_s is not None else evaluation.start(device, threads)
    return name, _Worker(orders, run).run


def _share(*parts: object) -> float:
    """A number between 0 and 1 that belongs to `parts`: in the middle of its step, so that it is neither."""
    return (derive_seed("scaling", *parts) // 2**11 + 0.5) / 2**52


def _spans(entries: list[_Entry]) -> list[Span]:
    return [
        Span(genotype=begin.genotype, begun=begin.at, ended=end.at, is_killed=end.what == "kill")
        for begin, end in zip(entries[::2], entries[1::2], strict=False)
    ]


class _Worker:
    def __init__(self, orders: Orders, run: Run) -> None:
        self._orders = orders
        self._run = run
        # Not buffered: what was noted stays when the process is killed.
        path = Path(orders.folder, f"{os.getpid()}.jsonl")
        self._notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def run(self, payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
        request = msgspec.msgpack.decode(payload, type=Request)
        if not isinstance(request, EvaluationRequest):
            return self._run(payload, progress)
        if request.stage != "search":
            return hashed.run(payload, progress)
        genotype, orders = request.genotype, self._orders
        self._note("begin", genotype)
        share = kill_share(genotype, self._n_kills(genotype), orders)
        if orders.wait_s is not None:
            whole_s = wait_s(genotype, orders)
            time.sleep(whole_s if share is None else share * whole_s)
            if share is not None:
                self._kill(genotype)
            found = self._run(payload, progress)
        else:
            found = self._run(payload, progress if share is None else self._deadly(progress, share, genotype))
            if share is not None:
                self._kill(genotype)
        self._note("end", genotype)
        return found

    def _deadly(self, progress: Progress, share: float, genotype: str) -> Progress:
        def told(done: float) -> None:
            if done >= share:
                self._kill(genotype)
            progress(done)

        return told

    def _n_kills(self, genotype: str) -> int:
        return sum(self._mark(genotype, number).exists() for number in range(_MOST_KILLS))

    def _mark(self, genotype: str, number: int) -> Path:
        return Path(self._orders.folder, f"{derive_seed(genotype):x}-{number}.killed")

    def _kill(self, genotype: str) -> None:
        self._mark(genotype, self._n_kills(genotype)).touch()
        self._note("kill", genotype)
        os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait()

    def _note(self, what: str, genotype: str) -> None:
        os.write(self._notes, msgspec.json.encode(_Entry(what, time.monotonic(), genotype)) + b"\n")
