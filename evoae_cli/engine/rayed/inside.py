"""The inside of a Ray actor: say where it is, load the runner once, then run task after task with the files each needs.

It is a plain class: Ray makes an actor of it, and calls `pulse` in a thread beside the one that works.
"""

import os
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.errors import EvoaeError
from evoae_cli.hosts.depot import KeptFiles
from evoae_cli.hosts.freight import Freight
from evoae_cli.hosts.wire import MAX_CHUNK
from evoae_cli.outcome import Outcome
from evoae_cli.version import __version__
from evoae_cli.worker.attempt import attempt
from evoae_cli.worker.memory import watch
from evoae_cli.worker.runner import Run, loaded


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What an actor is told at its birth."""

    runner: str
    device: str
    """As PyTorch names it there: Ray shows each actor only the GPUs that it has, so `cuda:0` is its own."""
    threads: int
    environ: Mapping[str, str]
    """Variables for the runner, as it would inherit them here."""
    freight: Freight
    make_files: Callable[[], KeptFiles]


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """Ray has found room for it."""

    node: str
    """As Ray names it."""
    host: str
    pid: int
    evoae: str
    """Version."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended."""

    outcome: Outcome
    payload: bytes
    reason: str
    is_host_failure: bool
    made: bytes | None
    """The file that it has made."""
    is_last: bool
    """The actor is to be replaced, because its memory does not fall back."""
    lacks: tuple[str, ...] = ()
    """Fingerprints of files that are not on this node: the task was not begun."""


class Inside:
    """One worker, from Ray's start of the actor to its end. `load` comes before the first `run`."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._freight = orders.freight
        self._files = orders.make_files()
        self._memory = watch(orders.device)
        self._run: Run | None = None
        # Lease id and share done, replaced as one value: the two threads never see half a change.
        self._now = (0, 0.0)

    def arrive(self) -> Arrival:
        """Say where this is."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        return Arrival(node=node, host=socket.gethostname(), pid=os.getpid(), evoae=__version__)

    def load(self) -> str:
        """Load the runner, and say what hardware it computes on."""
        os.environ.update(self._orders.environ)
        hardware, self._run = loaded(self._orders.runner, self._orders.device, self._orders.threads)
        return hardware

    def pulse(self) -> tuple[int, float]:
        """A sign of life: the lease that runs (0: none), and the share of it that is done."""
        return self._now

    def fetch(self, files: Mapping[str, Any]) -> str:
        """Keep files on this node, whose content is in Ray's store; why that cannot be, or nothing."""
        import ray

        try:
            for fingerprint, reference in files.items():
                # Another actor may have been faster.
                if self._files.find(fingerprint) is None:
                    content = memoryview(ray.get(reference))
                    self._files.fetch(fingerprint, partial(_part, content))
        except (EvoaeError, OSError) as error:
            return f"{socket.gethostname()}: {error}"
        return ""

    def run(self, lease_id: int, payload: bytes, files: Sequence[str]) -> Reply:
        """Run one task. `files` are the fingerprints of the files that it needs."""
        if lacks := tuple(fingerprint for fingerprint in files if self._files.find(fingerprint) is None):
            return _refused(f"the files {', '.join(lacks)} are not here", lacks)
        self._now = (lease_id, 0.0)
        try:
            with tempfile.TemporaryDirectory(prefix="evoae-made-") as folder:
                reply = self._reply(lease_id, payload, files, Path(folder, "made"))
        except OSError as error:
            # No room for it: another node may have some.
            reply = _refused(error)
        self._now = (0, 0.0)
        return reply

    def _reply(self, lease_id: int, payload: bytes, files: Sequence[str], output: Path) -> Reply:
        try:
            inputs = {name: path for name in files if (path := self._files.find(name)) is not None}
            unpacked = self._freight.unpack(payload, inputs, output)
        except (EvoaeError, OSError, ValueError) as error:
            return _refused(error)
        assert self._run is not None
        ended = attempt(self._run, unpacked, lambda share: self._note(lease_id, share))
        found, has_made = self._freight.pack_result(ended.payload) if ended.payload else (b"", False)
        return Reply(
            outcome=ended.outcome,
            payload=found,
            reason=ended.reason,
            is_host_failure=ended.is_host_failure,
            made=output.read_bytes() if has_made else None,
            is_last=bool(self._memory.after_task()),
        )

    def _note(self, lease_id: int, share: float) -> None:
        self._now = (lease_id, share)


def _refused(why: object, lacks: tuple[str, ...] = ()) -> Reply:
    """This node cannot run it."""
    return Reply(
        outcome=Outcome.CRASHED,
        payload=b"",
        reason=f"{socket.gethostname()}: {why}",
        is_host_failure=True,
        made=None,
        is_last=False,
        lacks=lacks,
    )


def _part(content: memoryview, offset: int) -> tuple[bytes, int]:
    return bytes(content[offset : offset + MAX_CHUNK]), len(content)
