"""The values that cross the broker's border. A payload is opaque bytes: nothing of genomes or torch is known here."""

import math

import msgspec

from evoae_cli.outcome import Outcome

MAX_PAYLOAD = 60_000
"""Bytes. Messages stay below a pipe's buffer (64 KiB), so no write to a live reader waits; weights travel by file."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work: bytes for the runner, and what people and the queue want to know of it."""

    id: int
    payload: bytes
    name: str = ""
    """For people: what this is, for example the genotype's text."""
    timeout_s: float | None = None
    """Seconds that one attempt may run, from its lease; above 0. None: as long as it takes."""
    may_travel: bool = False
    """Whether another host may run it."""
    lender: str = ""
    """Whom it was borrowed from; empty for this host's own."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right of one worker to run one task until `expires_at`, renewed by heartbeats.

    A loan is a lease that a peer holds: it ends with the link.
    """

    id: int
    task: Task
    worker: str
    """Its name, or that of the peer that it is lent to."""
    attempt: int
    """1 for the first worker that runs it, 2 after one was lost, and so on."""
    expires_at: float
    """On the broker's monotonic clock, in seconds."""
    ends_at: float = math.inf
    """When the task's time is up, on the same clock; heartbeats do not move it."""


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended: exactly one for each task that was submitted and not withdrawn."""

    task_id: int
    outcome: Outcome
    payload: bytes = b""
    """What the runner returned; empty when the task crashed."""
    reason: str = ""
    """One line for people, where the outcome is not `ok`."""
    lender: str = ""
    """Whose task it was; empty for this host's own."""
    is_worker_loss: bool = False
    """It ended since a worker was lost, and not by a report."""
    is_host_failure: bool = False
    """The host could not run it: disk full, file missing, no permission. It says nothing of the task, which may be
    tried again."""
    worker: str = ""
    """Name of the last worker that ran it."""
    attempt: int = 1
    run_s: float = 0.0
    """From lease to report."""
    log: str = ""
    """The last lines that the last worker printed while it ran it, where that worker was lost or the time was up."""


class Lost(msgspec.Struct, frozen=True):
    """A lease that was taken from its worker, and the task's result if that was its last attempt."""

    lease: Lease
    reason: str
    result: TaskResult | None
    has_begun: bool = True
    """Whether its worker had begun it; otherwise it costs no attempt."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks are in each state, and what went wrong so far."""

    n_queued: int
    """This host's own."""
    n_leased: int
    """Those that its workers run, own and borrowed."""
    n_own_leased: int = 0
    """This host's own among them."""
    n_borrowed: int = 0
    """Those borrowed that wait for a worker here."""
    n_lent: int = 0
    """Own tasks that peers have."""
    n_done: int
    n_helped: int = 0
    """Borrowed tasks that ended here."""
    n_withdrawn: int
    n_reclaimed: int = 0
    """Loans that were taken from their peers, without blame for the task."""
    n_lost_leases: int
    """Leases that were taken from their workers, also because the time was up."""
    n_late: int
    """Reports of a lost lease."""
    n_duplicate: int
    """Reports of a lease that had reported already."""
    n_unknown: int
    """Reports of a lease that was never given."""
