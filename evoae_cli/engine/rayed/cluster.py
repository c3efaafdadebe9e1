"""All that is asked of Ray itself, and nothing else: what it says and raises ends here."""

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.engine.rayed.inside import Inside, Orders
from evoae_cli.engine.rayed.options import LOCAL, RayOptions, check_answers
from evoae_cli.errors import EvoaeError, UsageError

_MEMORY_SIGNS = ("OUT_OF_MEMORY", "low on memory", "memory pressure", "OutOfMemory")

_ABOUT_ACTORS = ("class_name:", "actor_id:", "namespace:", "name:", "pid:", "ip:")
_SLACK = 1e-9
"""For sums of fractions."""
_LONGEST = 300
"""Characters of a reason: Ray adds advice."""
PULSE = "pulse"
"""The group of calls that are answered while a task runs."""

Then = Callable[[Any], None]
"""Gets what a call has returned, or the exception with which it ended. Called from a thread of Ray's."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What Ray is to set aside for one worker."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU{'s' * (self.cpus != 1)}" + (f" and {self.gpus:g} GPU" if self.gpus else "")


class Fate(msgspec.Struct, frozen=True):
    """How an actor, or a call of it, came to its end."""

    reason: str
    is_out_of_memory: bool = False
    """Ray has killed it, since its node ran short of memory."""


class Cluster:
    """A Ray, from `connect` to `leave`."""

    def __init__(self, options: RayOptions, threads: int) -> None:
        self._address = options.address
        self._options = options
        self.needs = Needs(cpus=options.cpus_per_task or threads, gpus=options.gpus_per_task or 0.0)
        self._ray: Any = None
        self._remote: Any = None

    def connect(self) -> None:
        """Join the cluster, or start one here, and settle what a worker needs. Raises UsageError where none is."""
        check_answers(self._address)
        # It would tell its makers of each start.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray

            try:
                # Ray means by `local` what is meant here: one of its own, though another may run on this machine.
                ray.init(
                    address=self._address,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    include_dashboard=False if self._address == LOCAL else None,
                    namespace="evoae",
                )
            except Exception as error:
                # What does not fit, as other versions, stands in further lines.
                why = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
                raise UsageError(f"--ray-address {self._address}: {why}") from error
        self._ray = ray
        _hush(ray)
        if self._options.gpus_per_task is None and ray.cluster_resources().get("GPU"):
            self.needs = msgspec.structs.replace(self.needs, gpus=1.0)
        # A thread beside the one that works.
        self._remote = ray.remote(concurrency_groups={PULSE: 1})(Inside)

    def explained(self, error: Exception) -> Exception:
        """`error`, or where it is Ray that has failed a line that says so."""
        if self._ray is None or not isinstance(error, self._ray.exceptions.RayError | ConnectionError):
            return error
        why = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        return EvoaeError(f"the Ray cluster cannot be used any more ({why}); when it is well again, resume")

    def leave(self) -> None:
        """Leave the cluster; one that was started here ends. Idempotent."""
        if self._ray is not None:
            self._ray.shutdown()

    def room(self) -> int:
        """How many workers fit into the nodes that are there, each on one node."""
        n = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                fits = [int((has.get("CPU", 0.0) + _SLACK) // self.needs.cpus)]
                if self.needs.gpus:
                    # A part of a GPU is a part of one GPU.
                    fits.append(int(has.get("GPU", 0.0)) * int(1 / self.needs.gpus + _SLACK))
                n += min(fits)
        return n

    def described(self) -> str:
        """What the cluster has, for people: `2 nodes with 8 CPUs and 1 GPU`."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        n_cpus, n_gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
        return (
            f"{len(nodes)} node{'s' * (len(nodes) != 1)} with {n_cpus:g} CPU{'s' * (n_cpus != 1)}"
            f"{f' and {n_gpus:g} GPU' if n_gpus else ''}{'s' * (n_gpus > 1)}"
        )

    def hire(self, orders: Orders) -> Any:
        """An actor that waits for room, and then loads its runner. It is never restarted by Ray: evoae does that."""
        return self._remote.options(
            num_cpus=self.needs.cpus,
            num_gpus=self.needs.gpus,
            max_restarts=0,
            max_task_retries=0,
        ).remote(orders)

    def dismiss(self, actor: Any) -> None:
        """End an actor at once, whatever it runs."""
        self._ray.kill(actor, no_restart=True)

    def call(self, method: Any, *args: Any, then: Then, group: str | None = None) -> None:
        """Call a method of an actor, and tell what comes of it."""
        reference = (method.options(concurrency_group=group) if group else method).remote(*args)
        future = reference.future()
        # The reference keeps the call alive.
        future.add_done_callback(lambda done, kept=reference: then(done.exception() or done.result()))

    def keep(self, path: Path) -> Any:
        """Put a file's content into Ray's store, for the nodes that need it. Raises OSError where it cannot be read."""
        import numpy as np

        return self._ray.put(np.fromfile(path, dtype=np.uint8))


def _hush(ray: Any) -> None:
    """Keep Ray from printing, to standard output, what befalls its workers: evoae tells it in its own words.

    There is no public way; Ray's debugger sets the same variable.
    """
    worker: Any = getattr(getattr(ray, "_private", None), "worker", None)
    if hasattr(worker, "_worker_logs_enabled"):
        worker._worker_logs_enabled = False


def fate_of(error: BaseException) -> Fate:
    """What the exception of a call says of the actor."""
    text = str(error).strip()
    if any(sign in text or sign in type(error).__name__ for sign in _MEMORY_SIGNS):
        return Fate(text.partition("\n")[0].partition(". ")[0][:_LONGEST], is_out_of_memory=True)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    if "ray::" in text:
        # What has been raised there, at the end of its trace.
        return Fate(lines[-1][:_LONGEST])
    told = [line for line in lines if not line.startswith(_ABOUT_ACTORS)]
    # Ray's first line says only that the actor has died; the next one why.
    reason = told[1] if len(told) > 1 and told[0].startswith("The actor died") else told[0]
    return Fate(reason[:_LONGEST])
