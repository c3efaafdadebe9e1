"""What a user says of Ray. Free of all that takes time to load, until the engine is made."""

import contextlib
import re
import socket
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evoae_cli.engine.wishes import Choice, Wishes
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.hardware import n_cores

if TYPE_CHECKING:
    from evoae_cli.engine.protocol import Engine
    from evoae_cli.engine.terms import Terms

_OLDEST = (2, 49)
"""The first Ray in which an actor can be kept off a node by its label."""
_PATIENCE_S = 10.0
_LEAST, _MOST_CPUS = 0.0001, 1024
"""What Ray can set aside."""
_FOUND_BY_RAY = "auto"
"""In place of an address: that of the cluster which this machine is a node of."""
LOCAL = "local"
"""In place of an address: a Ray of one's own, on this machine, for as long as the search runs."""
MEMORY = 2**30
"""Bytes set aside for a worker, which holds 300 to 700 MB. Without them Ray may fill a node of many cores with more
workers than its memory bears, and end good ones.
"""
_PROCESSES = Path("/proc")


class RayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where Ray is, and what it is to set aside for each worker."""

    address: str = LOCAL
    cpus_per_task: float | None = None
    """None: as many as the threads of an evaluation."""
    gpus_per_task: float | None = None
    """None: one where the cluster has any, else none."""
    memory_per_task: int = MEMORY
    """Bytes."""


def choose_ray(wishes: Wishes) -> Choice:
    """A Ray cluster. Raises UsageError where Ray is not installed, nobody is at the address, or it cannot be so."""
    options = ray_options(wishes)

    def make(terms: "Terms") -> "Engine":
        from evoae_cli.engine.rayed.engine import on_ray

        return on_ray(options)(terms)

    return Choice(make_engine=make, where="on Ray", is_here=False)


def ray_options(wishes: Wishes) -> RayOptions:
    """What is asked of Ray. Raises UsageError for what cannot be."""
    address, cpus, gpus = wishes.ray_address, wishes.cpus_per_task, wishes.gpus_per_task
    _check_installed()
    if address is not None and "://" in address:
        raise UsageError(
            f"--ray-address {address} is Ray's client, which cannot be used; run evoae on a node of the cluster, "
            "and give HOST:6379 of its head"
        )
    if cpus is not None and not _LEAST <= cpus <= _MOST_CPUS:
        raise UsageError(
            f"--cpus-per-task {cpus:g} cannot be; Ray counts from {_LEAST:g}: use more than 0, to {_MOST_CPUS}"
        )
    if gpus is not None and gpus != 0 and not _LEAST <= gpus <= 1:
        raise UsageError(f"--gpus-per-task {gpus:g}: an evaluation uses one GPU or a part of it; use 0 to 1")
    device = wishes.device()
    if device not in (None, "auto", "cpu"):
        raise UsageError(
            f"--device {device} is a GPU of this host; with --engine ray give --device auto, and --gpus-per-task 1"
        )
    if device == "cpu":
        if gpus:
            raise UsageError(f"--gpus-per-task {gpus:g} contradicts --device cpu; leave one of them out")
        gpus = 0.0
    if wishes.n_workers is not None and wishes.is_waiting:
        # Ray starts no more of them than it sees cores for.
        cpus = min(1.0, n_cores() / wishes.n_workers)
    elif wishes.n_workers is not None and wishes.n_workers > n_cores():
        raise UsageError(
            f"--workers {wishes.n_workers} are more than Ray has cores for here; use at most {n_cores()}, or --simulate"
        )
    if address is not None:
        check_answers(address)
    memory = 0 if wishes.is_waiting else MEMORY
    return RayOptions(address=address or LOCAL, cpus_per_task=cpus, gpus_per_task=gpus, memory_per_task=memory)


def _check_installed() -> None:
    """Raise UsageError where Ray is missing, or too old."""
    if find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray, which is not installed; get it with: pip install 'evoae[ray]'")
    # One that was not installed as a package has no version, and may be usable all the same.
    with contextlib.suppress(PackageNotFoundError):
        found = version("ray")
        numbers = re.match(r"(\d+)\.(\d+)", found)
        if numbers and tuple(map(int, numbers.groups())) < _OLDEST:
            needed = ".".join(map(str, _OLDEST))
            raise UsageError(
                f"--engine ray needs Ray {needed} or newer, and {found} is installed; get a newer one, on all nodes of "
                "the cluster, with: pip install --upgrade 'evoae[ray]'"
            )


def check_answers(address: str) -> None:
    """Raise UsageError where nobody listens at `HOST:PORT`, or no node of Ray runs here: Ray would try for a minute."""
    if address == LOCAL:
        return
    remedy = "give HOST:6379 of the cluster's head, or leave it out"
    if address != _FOUND_BY_RAY:
        host, colon, port = address.rpartition(":")
        if not (colon and port.isascii() and port.isdigit()):
            raise UsageError(f"--ray-address {address} is no address; {remedy}")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
        except (OSError, OverflowError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                f"--ray-address {address}: nobody answers there ({why.lower()}); see that Ray runs there, or leave it "
                "out"
            ) from error
        remedy = f"join it first, with: ray start --address={address} --num-cpus=0"
    if _PROCESSES.is_dir() and not _runs_a_node():
        raise UsageError(f"--ray-address {address}: no node of a Ray cluster runs on this machine; {remedy}")


def _runs_a_node() -> bool:
    for process in _PROCESSES.glob("[0-9]*/comm"):
        # It may have ended.
        with contextlib.suppress(OSError):
            if process.read_text().strip() == "raylet":
                return True
    return False
