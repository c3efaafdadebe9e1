"""An open task and where it stands: what the ledger keeps of it."""

import math

from evoae_cli.broker.states import State
from evoae_cli.broker.task import Lease, Task


class Entry:
    """An open task. `lease` and the times hold while it is leased or lent."""

    __slots__ = ("attempt", "ends_at", "expires_at", "granted_at", "has_begun", "lease", "state", "stays_home", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.state = State.QUEUED
        self.attempt = 1
        self.lease: Lease | None = None
        self.granted_at = 0.0
        self.expires_at = 0.0
        self.ends_at = math.inf
        self.has_begun = False
        """Of a loan: whether the peer has said that a worker runs it."""
        self.stays_home = not task.may_travel
        """Whether it is lent to nobody, or to nobody any more."""

    @property
    def held(self) -> Lease:
        """The lease of a task that has one."""
        assert self.lease is not None, "a leased task has a lease"
        return self.lease

    def deadline(self) -> float:
        """When its lease ends if nothing is heard."""
        return min(self.expires_at, self.ends_at)
