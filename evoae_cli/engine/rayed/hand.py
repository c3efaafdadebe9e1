"""One actor of a crew, and what is known of it."""

import math
from typing import Any

from evoae_cli.broker.task import Lease
from evoae_cli.engine.protocol import WorkerState, WorkerView
from evoae_cli.engine.rayed.inside import Arrival
from evoae_cli.hosts.freight import Parcel


class Hand:
    """One actor. All of it belongs to the loop; views read single values."""

    def __init__(self, name: str, actor: Any, now: float) -> None:
        self.name = name
        self.actor = actor
        self.state: WorkerState = "starting"
        self.arrival: Arrival | None = None
        """None while it waits for room."""
        self.node = ""
        """The node that it is on, as Ray names it; empty while that is not known."""
        self.host = ""
        """The same for people."""
        self.hardware = ""
        self.is_ready_by = math.inf
        """When it must have loaded."""
        self.lease: Lease | None = None
        self.parcel: Parcel | None = None
        self.is_fetching = False
        """Its node gets files that it lacked."""
        self.begun_at = now
        self.progress = 0.0
        self.asked_at = math.inf
        """When the pulse was asked for that has not come; infinite where none is on its way."""

    def view(self, device: str, now: float) -> WorkerView:
        """The worker as people see it."""
        # Each value is read once: the loop may change them meanwhile.
        lease, arrival = self.lease, self.arrival
        return WorkerView(
            name=self.name,
            device=device,
            hardware=self.hardware,
            pid=0 if arrival is None else arrival.pid,
            state=self.state,
            task="" if lease is None else lease.task.name,
            running_s=0.0 if lease is None else max(0.0, now - self.begun_at),
            progress=0.0 if lease is None else self.progress,
        )
