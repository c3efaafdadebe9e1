"""All that is asked of Ray itself, and nothing else: what it says and raises ends here."""

import contextlib
import logging
import math
import os
import socket
import warnings
from collections.abc import Callable, Collection
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
_KNOCK_S = 0.5
"""Shorter than the time after which the crew takes a silence of its own for a pause of this process."""
_NODE = "ray.io/node-id"
"""The label that Ray gives each node."""
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
    memory: int
    """Bytes."""

    def __str__(self) -> str:
        return _amounts(self.cpus, self.gpus, self.memory)


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
        self.needs = Needs(
            cpus=options.cpus_per_task or threads, gpus=options.gpus_per_task or 0.0, memory=options.memory_per_task
        )
        self._ray: Any = None
        self._remote: Any = None
        self._head = ("", 0)

    @property
    def is_own(self) -> bool:
        """Whether it is a Ray of evoae's own, on this machine, which never gets other nodes."""
        return self._address == LOCAL

    def connect(self) -> None:
        """Join the cluster, or start one here, and settle what a worker needs. Raises UsageError where none is."""
        check_answers(self._address)
        # It would tell its makers of each start.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                import ray

                # Ray means by `local` what is meant here: one of its own, though another may run on this machine.
                ray.init(
                    address=self._address,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    include_dashboard=False if self._address == LOCAL else None,
                    namespace="evoae",
                )
            except ImportError as error:
                raise UsageError(f"--engine ray: Ray cannot be loaded ({_why_not(error)}); install it again") from error
            except Exception as error:
                raise UsageError(f"--ray-address {self._address}: {_why_not(error)}") from error
        self._ray = ray
        _hush(ray)
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        self._head = (host.strip("[]"), int(port))
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

    def answers(self) -> bool:
        """Whether the cluster's head can be reached. While it cannot, every other question would wait for it."""
        try:
            socket.create_connection(self._head, _KNOCK_S).close()
        except OSError:
            return False
        return True

    def room(self, barred: Collection[str] = ()) -> int:
        """How many workers fit into the nodes that are there, each on one node, but for those that are `barred`."""
        n = 0
        for node in self._ray.nodes():
            if node["Alive"] and node["NodeID"] not in barred:
                has = node["Resources"]
                fits = [int((has.get("CPU", 0.0) + _SLACK) // self.needs.cpus)]
                if self.needs.memory:
                    fits.append(int(has.get("memory", 0.0) // self.needs.memory))
                if self.needs.gpus:
                    # A part of a GPU is a part of one GPU.
                    fits.append(int(has.get("GPU", 0.0)) * int(1 / self.needs.gpus + _SLACK))
                n += min(fits)
        return n

    def described(self) -> str:
        """What the cluster has, for people: `2 nodes with 8 CPUs, 1 GPU and 30.5 GiB of memory`."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cpus, gpus, memory = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU", "memory"))
        return f"{len(nodes)} node{'s' * (len(nodes) != 1)} with {_amounts(cpus, gpus, memory)}"

    def nodes(self) -> set[str]:
        """The nodes that are there, as Ray names them."""
        return {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def whereabouts(self, actor: Any) -> tuple[str, str]:
        """The node of an actor that cannot tell it, as Ray names it, and its host; empty where Ray does not know.

        There is no public way without Ray's dashboard, and what is private may change.
        """
        with contextlib.suppress(AttributeError, KeyError, TypeError):
            found = self._ray._private.state.actors(actor._actor_id.hex())["Address"]["NodeID"]
            for node in self._ray.nodes():
                if node["NodeID"] == found:
                    return found, node["NodeManagerHostname"]
        return "", ""

    def hire(self, orders: Orders, barred: Collection[str] = ()) -> Any:
        """An actor that waits for room, on a node that is not `barred`. Ray never restarts it: evoae does that."""
        elsewhere = {"label_selector": {_NODE: f"!in({','.join(sorted(barred))})"}} if barred else {}
        return self._remote.options(
            num_cpus=self.needs.cpus,
            num_gpus=self.needs.gpus,
            memory=self.needs.memory,
            max_restarts=0,
            max_task_retries=0,
            **elsewhere,
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
        """Put a file's content into Ray's store, for the nodes that lack it.

        Raises OSError where it cannot be read, EvoaeError where the store cannot take it.
        """
        import numpy as np

        # Mapped, so that it is in memory once, in the store.
        content = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
        try:
            return self._ray.put(content)
        except (self._ray.exceptions.ObjectStoreFullError, self._ray.exceptions.OutOfDiskError) as error:
            raise EvoaeError(
                f"Ray's object store has no room for the images ({content.nbytes / 1e9:.1f} GB), which its nodes lack; "
                "give Ray more of it (ray start --object-store-memory), or room for temporary files on this host"
            ) from error


def _amounts(cpus: float, gpus: float, memory: float) -> str:
    """For people: `2 CPUs, 1 GPU and 1 GiB of memory`, which is never more than there is."""
    parts = [
        f"{cpus:g} CPU{'s' * (cpus != 1)}",
        f"{gpus:g} GPU{'s' * (gpus > 1)}" if gpus else "",
        f"{math.floor(memory / 2**30 * 10) / 10:g} GiB of memory" if memory else "",
    ]
    *others, last = filter(None, parts)
    return f"{', '.join(others)} and {last}" if others else last


def _hush(ray: Any) -> None:
    """Keep Ray from printing, to standard output, what befalls its workers: evoae tells it in its own words.

    There is no public way; Ray's debugger sets the same variable.
    """
    worker: Any = getattr(getattr(ray, "_private", None), "worker", None)
    if hasattr(worker, "_worker_logs_enabled"):
        worker._worker_logs_enabled = False


def _why_not(error: Exception) -> str:
    """Why a cluster cannot be joined, in one line."""
    whole = f"{error}\n{error.__cause__ or ''}"
    if "AuthToken" in whole:
        return "it asks for a token; set RAY_AUTH_MODE=token, and have its token in ~/.ray/auth_token"
    # What does not fit, as other versions, stands in further lines, or in what it came from; in between are traces.
    lines = [" ".join(line.split()) for line in whole.splitlines()]
    told = [line for line in lines if line and not line.startswith(("File ", "^", "Traceback"))]
    return "; ".join(dict.fromkeys(told))[:_LONGEST] or type(error).__name__


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
