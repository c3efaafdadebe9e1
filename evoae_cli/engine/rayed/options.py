"""What a user says of Ray. Free of all that takes time to load."""

import contextlib
import socket
from pathlib import Path

import msgspec

from evoae_cli.errors import UsageError

_PATIENCE_S = 10.0
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


def check_answers(address: str) -> None:
    """Raise UsageError where nobody listens at `HOST:PORT`, or no node of Ray runs here: Ray would try for a minute."""
    if address == LOCAL:
        return
    host, colon, port = address.rpartition(":")
    if colon and port.isascii() and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
        except (OSError, OverflowError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                f"--ray-address {address}: nobody answers there ({why.lower()}); see that Ray runs there, or leave it "
                "out"
            ) from error
        remedy = f"join it first, with: ray start --address={address} --num-cpus=0"
    else:
        remedy = "give HOST:6379 of the cluster's head, or leave it out"
    if _PROCESSES.is_dir() and not _runs_a_node():
        raise UsageError(f"--ray-address {address}: no node of a Ray cluster runs on this machine; {remedy}")


def _runs_a_node() -> bool:
    for process in _PROCESSES.glob("[0-9]*/comm"):
        # It may have ended.
        with contextlib.suppress(OSError):
            if process.read_text().strip() == "raylet":
                return True
    return False
