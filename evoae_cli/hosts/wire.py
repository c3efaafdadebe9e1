"""What hosts say to each other: every message with its fields, their sizes and units, and how it becomes bytes.

Bytes on the wire are `EVOA`, the version of this protocol as two bytes (big-endian), and the message as msgpack. The
version is looked at before anything else, so that hosts of different versions can tell each other so. Every field has a
limit; a message that breaks one, has a field more or is of no known kind is refused as a whole.
"""

import struct
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from evoae_cli.broker.task import MAX_PAYLOAD
from evoae_cli.outcome import Outcome

VERSION = 1
MAX_CHUNK = 1 << 20
"""Bytes of a file in one message."""
MAX_MESSAGE = MAX_CHUNK + (1 << 16)
"""Bytes of a message: a chunk, or as many tasks or results as fit, and what goes round it."""
MAX_TASKS = 1024
"""Loans, results or ids in one message, at most; fewer where `MAX_MESSAGE` says so."""
MAX_HELD = 20_000
"""Loans that one host may hold: two for each of ten thousand workers."""

_HEAD = struct.Struct(">4sH")
_MAGIC = b"EVOA"

Id = Annotated[int, Meta(ge=1, le=2**62)]
Count = Annotated[int, Meta(ge=0, le=10_000)]
Seconds = Annotated[float, Meta(ge=0.0, le=1e9)]
Line = Annotated[str, Meta(max_length=600)]
Name = Annotated[str, Meta(max_length=200)]
Log = Annotated[str, Meta(max_length=8000)]
Token = Annotated[bytes, Meta(min_length=16, max_length=16)]
Payload = Annotated[bytes, Meta(max_length=MAX_PAYLOAD)]
Fingerprint = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Offset = Annotated[int, Meta(ge=0, le=2**50)]
Chunk = Annotated[bytes, Meta(max_length=MAX_CHUNK)]


class _Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


# ---- from a borrower to a lender, and its answers ----


class Hello(_Message, frozen=True, tag="hello"):
    """A host would like to help. Answer: Welcome, or Refused."""

    name: Name
    """For people: the host's own."""
    evoae: Name
    """The version that it runs: another one may evaluate otherwise."""
    n_workers: Count
    hardware: Name = ""
    """Model of what its workers compute on; empty while they load."""
    listens_on: Port | None = None
    """Where its own broker can be reached, on the address that this comes from, if it has work of its own to lend."""
    own: Token | None = None
    """A random number of that broker, which refuses its own host as `own`: an address does not tell who is there."""


class Welcome(_Message, frozen=True, tag="welcome"):
    """From now on the host is known by `session`."""

    session: Token
    name: Name
    """For people: what is searched, and where."""
    silence_s: Annotated[float, Meta(gt=0.0, le=3600.0)]
    """After so long without a message of the session it ends, and what was lent is taken back."""
    own: Token | None = None
    """A random number of this broker, by which a host knows that two of its links lead here."""


class Poll(_Message, frozen=True, tag="poll"):
    """What a host has and wants; also its heartbeat. Answer: Loans, or Refused when the session has ended.

    Loans are given by this message alone, one after the other, so the lender knows what its last answer brought.
    """

    session: Token
    held: Annotated[list[Id], Meta(max_length=MAX_HELD)]
    """Loans that it has, also those whose results are under way."""
    running: Annotated[list[Id], Meta(max_length=MAX_HELD)]
    """Those of them that a worker has begun."""
    n_idle: Count
    """Tasks for which a worker waits ..."""
    n_ahead: Count
    """... and those that it would keep ready for when another is done."""
    n_workers: Count
    wait_s: Annotated[float, Meta(ge=0.0, le=60.0)]
    """How long the answer may wait for a task."""
    hardware: Name = ""
    endings: "Annotated[list[Ending], Meta(max_length=MAX_TASKS)]" = []
    """Loans that have ended, and are not among those held: they save a Report of their own."""


class Loan(_Message, frozen=True):
    """One task."""

    id: Id
    payload: Payload
    """Without paths of the lender: images go by their fingerprint."""
    name: Name
    timeout_s: Annotated[float, Meta(gt=0.0, le=1e9)] | None
    inputs: Annotated[list[Fingerprint], Meta(max_length=4)]
    """Files that it needs, by their SHA-256; Fetch brings them."""
    has_output: bool
    """Whether it may make a file, which is to be Put before its result."""


class Loans(_Message, frozen=True, tag="loans"):
    """Tasks for the host to run."""

    loans: Annotated[list[Loan], Meta(max_length=MAX_TASKS)]
    to_drop: Annotated[list[Id], Meta(max_length=MAX_HELD)]
    """Those that it holds and that nobody waits for any more."""
    is_over: bool
    """Whether no more will come: the search has ended."""


EndingKind = Literal["reported", "lost", "refused"]
"""`lost`: its worker was, which counts as an attempt. `refused`: the host cannot run it, which counts as none."""


class Ending(_Message, frozen=True):
    """How a loan ended."""

    loan: Id
    kind: EndingKind
    outcome: Outcome
    payload: Payload
    reason: Line
    worker: Name
    run_s: Seconds
    """By the host's own clock, from lease to report."""
    log: Log = ""


class Report(_Message, frozen=True, tag="report"):
    """Loans that have ended. Answer: Taken."""

    session: Token
    endings: Annotated[list[Ending], Meta(max_length=MAX_TASKS)]


class Fetch(_Message, frozen=True, tag="fetch"):
    """A part of a file that a loan needs. Answer: Part, or Refused."""

    session: Token
    fingerprint: Fingerprint
    offset: Offset


class Part(_Message, frozen=True, tag="part"):
    """At most `MAX_CHUNK` bytes of a file."""

    data: Chunk
    size: Offset
    """Of the whole file, in bytes."""


class Put(_Message, frozen=True, tag="put"):
    """A part of the file that a loan has made, in order. Answer: Taken, or Refused."""

    session: Token
    loan: Id
    offset: Offset
    data: Chunk
    is_last: bool


class Leave(_Message, frozen=True, tag="leave"):
    """The host helps no more; what it still holds goes back. Answer: Taken."""

    session: Token


class Taken(_Message, frozen=True, tag="taken"):
    """Done as asked."""


# ---- to and from a nameserver ----


class Register(_Message, frozen=True, tag="register"):
    """A broker can be reached at `host`, `port`. Answer: Registered, or Refused."""

    name: Name
    host: Name
    """Empty: the address that this comes from."""
    port: Port


class Registered(_Message, frozen=True, tag="registered"):
    """It is listed for as long as it beats."""

    id: Token
    window_s: Annotated[float, Meta(gt=0.0, le=3600.0)]
    """A broker that is silent for so long is dropped."""


class Standing(_Message, frozen=True):
    """What a broker says of itself, for people and for those who look for work."""

    n_queued: Offset = 0
    n_workers: Count = 0
    n_busy: Count = 0
    n_lent: Count = 0
    n_borrowed: Count = 0
    n_links: Count = 0
    is_over: bool = False


class Beat(_Message, frozen=True, tag="beat"):
    """It lives. Answer: Taken, or Refused with `unknown`: then it registers again."""

    id: Token
    standing: Standing


class Unregister(_Message, frozen=True, tag="unregister"):
    """It is gone. Answer: Taken."""

    id: Token


class Find(_Message, frozen=True, tag="find"):
    """Which brokers are there? Answer: Brokers."""


class Listed(_Message, frozen=True):
    """One broker."""

    name: Name
    host: Name
    port: Port
    standing: Standing
    silent_s: Seconds
    """Since it was last heard of, by the nameserver's clock."""


class Brokers(_Message, frozen=True, tag="brokers"):
    """All that are registered."""

    brokers: Annotated[list[Listed], Meta(max_length=MAX_TASKS)]


# ---- for people ----


class Ask(_Message, frozen=True, tag="ask"):
    """What is going on there? Answer: About, of a broker; Brokers, of a nameserver."""


class Guest(_Message, frozen=True):
    """A host that helps."""

    name: Name
    hardware: Name
    n_workers: Count
    n_held: Annotated[int, Meta(ge=0, le=MAX_HELD)]
    silent_s: Seconds


class Helped(_Message, frozen=True):
    """A broker that this host helps."""

    name: Name
    """Empty until it has answered."""
    address: Name
    n_held: Count
    trouble: Line
    """Why the link is down; empty while it is up."""


class About(_Message, frozen=True, tag="about"):
    """A broker, who helps it, and whom its host helps."""

    name: Name
    standing: Standing
    guests: Annotated[list[Guest], Meta(max_length=MAX_TASKS)]
    helped: Annotated[list[Helped], Meta(max_length=MAX_TASKS)] = []


# ---- what can go wrong ----


class Refused(_Message, frozen=True, tag="refused"):
    """Not done, and why."""

    kind: Literal["version", "malformed", "unknown", "gone", "wrong", "full", "own"]
    """`unknown`: no such session or broker any more. `gone`: no such loan. `wrong`: not from this peer, or not now.
    `own`: a host has called itself."""
    reason: Line


Request = Hello | Poll | Report | Fetch | Put | Leave | Register | Beat | Unregister | Find | Ask
Answer = Welcome | Loans | Taken | Part | Registered | Brokers | About | Refused

_encode = msgspec.msgpack.Encoder().encode
_decode_request = msgspec.msgpack.Decoder(Request).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


class WireError(Exception):
    """Bytes that are no message, or a message of another version; the text is one line for people."""

    def __init__(self, kind: Literal["version", "malformed"], text: str) -> None:
        super().__init__(text)
        self.kind = kind


def packed(message: Request | Answer) -> bytes:
    """A message as it travels. Raises ValueError for one that is too long."""
    body = _encode(message)
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(body)} bytes; at most {MAX_MESSAGE}")
    return _HEAD.pack(_MAGIC, VERSION) + body


def request_in(data: bytes) -> Request:
    """The request that has come. Raises WireError for what is none."""
    body = _body(data)
    try:
        found: Request = _decode_request(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError("malformed", f"no request: {error}"[:600]) from error
    return found


def answer_in(data: bytes) -> Answer:
    """The answer that has come. Raises WireError for what is none."""
    body = _body(data)
    try:
        found: Answer = _decode_answer(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError("malformed", f"no answer: {error}"[:600]) from error
    return found


def _body(data: bytes) -> bytes:
    if len(data) < _HEAD.size or len(data) > _HEAD.size + MAX_MESSAGE:
        raise WireError("malformed", f"a message of {len(data)} bytes")
    magic, version = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise WireError("malformed", "not a message of evoae")
    if version != VERSION:
        raise WireError("version", f"it speaks version {version} of the protocol between hosts, this one {VERSION}")
    return data[_HEAD.size :]
