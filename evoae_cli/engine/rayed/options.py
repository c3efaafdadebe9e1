"""What a user says of Ray. Free of all that takes time to load."""

import msgspec

LOCAL = "local"
"""In place of an address: a Ray of one's own, on this machine, for as long as the search runs."""


class RayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where Ray is, and what it is to set aside for each worker."""

    address: str = LOCAL
    cpus_per_task: float | None = None
    """None: as many as the threads of an evaluation."""
    gpus_per_task: float | None = None
    """None: one where the cluster has any, else none."""
