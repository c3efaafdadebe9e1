"""What has to be known of a payload so that it can travel. Brokers do not know: for them it is opaque bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A payload on its way to another host."""

    payload: bytes
    """Without paths of this host."""
    inputs: Mapping[str, Path]
    """Files that it needs, by their SHA-256 in hex."""
    output: Path | None
    """Where the file goes that it may make."""


class Freight(Protocol):
    """Packs and unpacks payloads. Each method raises ValueError for bytes that are not what they should be."""

    def pack(self, payload: bytes) -> Parcel:
        """The owner's side: make a task's payload ready to go."""

    def unpack(self, payload: bytes, inputs: Mapping[str, Path], output: Path) -> bytes:
        """The borrower's side: make a task's payload one for workers of this host."""

    def pack_result(self, payload: bytes) -> tuple[bytes, bool]:
        """The borrower's side: make a result ready to go back, and say whether a file was made."""

    def unpack_result(self, payload: bytes, sent: Parcel) -> bytes:
        """The owner's side: make a result one of this host, if it is one of what was `sent`."""
