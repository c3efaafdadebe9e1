"""A runner for workers: real evaluations, with a note of when each entered its first training step, and of the wait.

Notes go to the folder that the environment names: a file per worker, a line of JSON per evaluation. Times are of the
monotonic clock, which is one for all processes of a host.
"""

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.evaluation.contract import EvaluationRequest, Request
from evoae_cli.outcome import Outcome
from evoae_cli.worker import evaluation
from evoae_cli.worker.runner import Progress, Run

RUNNER = f"{__name__}:start"
FOLDER = "EVOAE_BENCH_NOTES"
"""The environment variable."""


class Note(msgspec.Struct, frozen=True):
    """When a worker ended one task and was at work on the next."""

    stage: str
    genotype: str
    returned: float | None
    """When the worker's task before this one returned, so that its report could be sent; None for its first."""
    first_step: float
    """When the first batch, noise included, entered the network."""


def read_notes(folder: Path) -> list[list[Note]]:
    """The notes of each worker, in order."""
    return [
        [msgspec.json.decode(line, type=Note) for line in path.read_bytes().splitlines()]
        for path in sorted(folder.glob("*.jsonl"))
    ]


def start(device: str, threads: int) -> tuple[str, Run]:
    """Start as a worker of a study does."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    hardware, evaluate = evaluation.start(device, threads)
    path = Path(os.environ[FOLDER], f"{os.getpid()}.jsonl")
    returned: float | None = None

    def run(payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
        nonlocal returned

        def note(*_: Any) -> None:
            # The clock first: all the rest is after the moment that is measured.
            first_step = time.monotonic()
            hook.remove()
            request = msgspec.msgpack.decode(payload, type=Request)
            assert isinstance(request, EvaluationRequest)
            with path.open("ab") as file:
                file.write(msgspec.json.encode(Note(request.stage, request.genotype, returned, first_step)) + b"\n")

        hook = register_module_forward_pre_hook(note)
        try:
            return evaluate(payload, progress)
        finally:
            hook.remove()
            returned = time.monotonic()

    return hardware, run
