"""What a study asks of whichever engine runs it: one value, from which each engine takes what it needs."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from evoae_cli.engine.protocol import Engine
from evoae_cli.hosts.depot import KeptFiles
from evoae_cli.hosts.freight import Freight
from evoae_cli.worker.starter import Timing, WorkerSpec


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The work, and the host that it is for."""

    runner: str
    """`module:function`, a `worker.runner.Start`: what the workers run."""
    n_workers: int | None
    """As many as the user has asked for; None: as many as there is room for."""
    specs: tuple[WorkerSpec, ...]
    """The workers that this host would have."""
    timing: Timing
    logs: Path
    """Folder for what workers print."""
    title: str
    """For people: what the work is, and where its results go."""
    freight: Freight
    """How a task's payload is made ready for another host."""
    make_files: Callable[[], KeptFiles]
    """Where a host keeps the files that tasks need; a function that can be named, so that any host can call it."""


MakeEngine = Callable[[Terms], Engine]
"""Makes an engine, not started. Whoever adds a kind of engine writes one such function."""
