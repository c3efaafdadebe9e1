"""The values that cross the broker's border. A payload is opaque bytes: nothing of genomes or torch is known here."""

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


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right of one worker to run one task until `expires_at`, renewed by heartbeats."""

    id: int
    task: Task
    worker: str
    attempt: int
    """1 for the first worker that runs it, 2 after one was lost, and so on."""
    expires_at: float
    """On the broker's monotonic clock, in seconds."""


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended: exactly one for each task that was submitted and not withdrawn."""

    task_id: int
    outcome: Outcome
    payload: bytes = b""
    """What the runner returned; empty when the task crashed."""
    reason: str = ""
    """One line for people, where the outcome is not `ok`."""
    is_host_failure: bool = False
    """The host could not run it: disk full, file missing, no permission. It says nothing of the task, which may be
    tried again."""
    worker: str = ""
    """Name of the last worker that ran it."""
    attempt: int = 1
    run_s: float = 0.0
    """From lease to report."""
