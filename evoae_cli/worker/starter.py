"""What all workers of one engine have in common when they start, and when they count as lost."""

import os
from multiprocessing.context import SpawnContext

import msgspec

from evoae_cli.worker.process import Setup
from evoae_cli.worker.spawn import Worker


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A place for one worker: where it computes, and with how many CPU threads."""

    device: str
    threads: int


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """When a worker counts as lost."""

    heartbeat_interval_s: float
    heartbeat_timeout_s: float
    start_timeout_s: float


class Starter:
    """Starts workers that run `runner`, `module:function`, and beat as `timing` says."""

    def __init__(self, context: SpawnContext, runner: str, timing: Timing) -> None:
        self.timing = timing
        self._context = context
        self._runner = runner

    def start(self, name: str, spec: WorkerSpec, log: int, now: float) -> Worker:
        """A worker that writes to the descriptor `log`. Raises OSError if the system has no room for it."""
        setup = Setup(
            coordinator=os.getpid(),
            runner=self._runner,
            device=spec.device,
            threads=spec.threads,
            heartbeat_interval_s=self.timing.heartbeat_interval_s,
        )
        return Worker(self._context, name, setup, log, start_by=now + self.timing.start_timeout_s)
