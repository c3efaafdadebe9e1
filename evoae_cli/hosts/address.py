"""Where a host listens: `HOST:PORT` as people write it."""

import ipaddress
import re
from typing import NamedTuple

from evoae_cli.errors import UsageError

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
"""All addresses of a host, for listening."""
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")


class Address(NamedTuple):
    """A host's name or number, and a port; as a tuple it is what sockets take."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_any(self) -> bool:
        """Whether it stands for all addresses of this host: one can listen there, and nobody can connect to it."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def seen_through(nameserver: Address, host: str, port: int) -> Address:
    """Where a broker that is listed at `host` can be reached from here.

    One on the nameserver's own host is listed under a number that leads nowhere from elsewhere.
    """
    address = Address(host, port)
    return Address(nameserver.host, port) if address.is_loopback else address


def parse_address(option: str, text: str, *, default_host: str | None = None, least_port: int = 1) -> Address:
    """What `text` names: `HOST:PORT`, a name or an IPv4 number, or with `default_host` a port alone.

    Raises UsageError, which names the option, for anything else.
    """
    host, colon, port = text.strip().rpartition(":")
    if ":" in host:
        raise UsageError(f"{option} {text!r} is an IPv6 address, which cannot be used; give a name or an IPv4 address")
    if not colon and default_host is not None:
        host = default_host
    if not _HOST.fullmatch(host):
        wanted = "HOST:PORT, as 192.168.1.5:7077" + (", or a port alone" if default_host is not None else "")
        raise UsageError(f"{option} {text!r} is no address; write {wanted}")
    if not port.isascii() or not port.isdigit() or not least_port <= int(port) <= 65535:
        raise UsageError(f"{option} {text!r} has no port that can be; use {least_port} to 65535, as in {host}:7077")
    return Address(host, int(port))
