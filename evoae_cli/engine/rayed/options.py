"""What a user says of Ray. Free of all that takes time to load."""

import socket

import msgspec

from evoae_cli.errors import UsageError

_PATIENCE_S = 10.0
LOCAL = "local"
"""In place of an address: a Ray of one's own, on this machine, for as long as the search runs."""


class RayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where Ray is, and what it is to set aside for each worker."""

    address: str = LOCAL
    cpus_per_task: float | None = None
    """None: as many as the threads of an evaluation."""
    gpus_per_task: float | None = None
    """None: one where the cluster has any, else none."""


def check_answers(address: str) -> None:
    """Raise UsageError where nobody listens at `HOST:PORT`: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        # Ray knows where `auto` is.
        return
    try:
        socket.create_connection((host, int(port)), _PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"--ray-address {address}: nobody answers there ({why.lower()}); see that Ray runs there, or leave it out"
        ) from error
