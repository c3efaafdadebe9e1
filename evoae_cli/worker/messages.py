"""What the coordinator and a worker say to each other."""

import struct

import msgspec

from evoae_cli.outcome import Outcome

MAX_REASON = 500
"""Characters of a reason: it is one line for people."""


EXIT_DEVICE_FAILED = 75
"""Exit code of a worker whose device is of no more use to this process; sysexits.h has it for "try again"."""


class Work(msgspec.Struct, frozen=True, array_like=True):
    """To a worker: run this."""

    lease_id: int
    payload: bytes


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """From a worker, once: the runner is loaded."""

    hardware: str
    """Model of what it computes on, for example `AMD EPYC`."""


class Report(msgspec.Struct, frozen=True, array_like=True, tag="report"):
    """From a worker: how a task ended."""

    lease_id: int
    outcome: Outcome
    payload: bytes
    reason: str
    is_host_failure: bool = False
    is_last: bool = False
    """The worker ends after it, because its memory does not fall back."""


HEARTBEAT = struct.Struct("<qd")
"""Lease id (0: none) and the share done. Shorter than PIPE_BUF, so a heartbeat is written whole or not at all."""
HEARTBEATS_BYTES = 4096 // HEARTBEAT.size * HEARTBEAT.size
"""How much to read at once: whole heartbeats."""

encode = msgspec.msgpack.Encoder().encode
decode_work = msgspec.msgpack.Decoder(Work).decode
decode_from_worker = msgspec.msgpack.Decoder(Ready | Report).decode
