"""What commands that reach other hosts share: their options, and how a host is opened from them."""

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evoae_cli.app.common import command_line
from evoae_cli.app.running import Show
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.genome.spaces import SPACES
from evoae_cli.hosts.address import LOOPBACK, Address, parse_address
from evoae_cli.hosts.caller import UnreachableError
from evoae_cli.hosts.key import ENVIRONMENT, key_for
from evoae_cli.study.config import StudyConfig

if TYPE_CHECKING:
    from evoae_cli.hosts import wire
    from evoae_cli.hosts.host import Host

NAMESERVER_PORT = 7070
_PATIENCE_S = 5.0
_SOON_GONE_S = 15.0
"""Without a word for so long, a search that was to be helped further has ended meanwhile."""

Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="[HOST:]PORT",
        help="Let other hosts help with `evoae join`; without HOST, others on this machine.",
        show_default=False,
    ),
]
LinkTo = Annotated[
    list[str] | None,
    typer.Option(
        "--link",
        metavar="HOST:PORT",
        help="Help the search that listens there whenever this one has nothing to do; repeatable.",
        show_default=False,
    ),
]
NameserverAt = Annotated[
    str | None,
    typer.Option(
        "--nameserver",
        metavar="HOST:PORT",
        help="Find other hosts, and be found, through the `evoae nameserver` there.",
        show_default=False,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help=f"The key that hosts share, from `evoae key FILE` (or {ENVIRONMENT}); not needed on one machine.",
        show_default=False,
    ),
]


class Hosting:
    """A host that was opened for a command, with what is needed to open it once more."""

    def __init__(self, host: "Host", key: bytes, nameserver: Address | None, key_file: Path | None) -> None:
        self.host = host
        self.key = key
        self.nameserver = nameserver
        self.key_file = key_file

    def say_how_to_join(self, show: Show) -> None:
        """The line to copy on other hosts."""
        if (address := self.host.address) is None:
            return
        place = self.nameserver or called(address)
        words = ["evoae", "join", *(("--nameserver", str(place)) if self.nameserver else (str(place),))]
        if self.key_file is not None:
            words += ["--key-file", str(self.key_file)]
        show.say(f"other hosts help with: {command_line(*words)}")


def called(address: Address) -> Address:
    """What others call the address where this host listens."""
    return Address(socket.gethostname(), address.port) if address.is_any else address


def host_name() -> str:
    """What this host is called for others."""
    return socket.gethostname()[:200] or "a host"


def opened(listen: str | None, link: list[str] | None, nameserver: str | None, key_file: Path | None) -> Hosting | None:
    """The host that these options ask for, listening where it is to; None where they ask for none.

    Raises UsageError for what cannot be.
    """
    if listen is None and not link and nameserver is None:
        if key_file is not None:
            raise UsageError(f"--key-file {key_file} is for other hosts; add --listen PORT, --link or --nameserver")
        return None
    names = None if nameserver is None else parse_address("--nameserver", nameserver)
    links = [parse_address("--link", text) for text in link or ()]
    served = _served(listen, names)
    key = key_for(key_file, [*links, *filter(None, (names, served))])
    if names is not None:
        # One that is not there yet may come later.
        with contextlib.suppress(UnreachableError):
            check_nameserver(names, key)
    from evoae_cli.hosts.host import Host

    host = Host(key=key, name=host_name(), listen=served, links=links, nameserver=names)
    return Hosting(host, key, names, key_file)


def _served(listen: str | None, nameserver: Address | None) -> Address | None:
    """Where to listen: as asked, or with a nameserver on any free port, so that there is something to be found."""
    if nameserver is None:
        return None if listen is None else parse_address("--listen", listen, default_host=LOOPBACK, least_port=0)
    from evoae_cli.hosts.host import own_address

    own = own_address(nameserver)
    if listen is None:
        return Address(own, 0)
    served = parse_address("--listen", listen, default_host=own, least_port=0)
    if served.is_loopback and not nameserver.is_loopback:
        raise UsageError(
            f"--listen {listen} can be reached from this machine alone, and others will be told of it by {nameserver}; "
            f"give the port alone: --listen {served.port}"
        )
    return served


def asked(address: Address, key: bytes) -> "wire.About | wire.Brokers":
    """What a search or a nameserver says of itself. Raises EvoaeError where neither answers."""
    from evoae_cli.hosts import wire
    from evoae_cli.hosts.line import Line

    with contextlib.closing(Line(address, key, _PATIENCE_S)) as line:
        found = line.ask_any(wire.Ask(), (wire.About, wire.Brokers))
    assert isinstance(found, wire.About | wire.Brokers)
    return found


def is_nameserver(address: Address, key: bytes) -> bool:
    """Whether a nameserver listens there, and no search, which may be loading. Raises EvoaeError where nobody does."""
    from evoae_cli.hosts import wire
    from evoae_cli.hosts.line import RefusedError

    try:
        return isinstance(asked(address, key), wire.Brokers)
    except RefusedError as error:
        if error.kind != "full":
            raise
        return False


def check_nameserver(address: Address, key: bytes) -> None:
    """Raise UsageError where a search listens in its place, or it has another key; UnreachableError where nobody is."""
    if not is_nameserver(address, key):
        raise UsageError(f"--nameserver {address} is a search, and no nameserver; help it with: evoae join {address}")


def run_hosted(hosting: Hosting | None, config: StudyConfig, show: Show, run: Callable[[], int]) -> int:
    """Run a study among other hosts; when it is done, help those of them whose searches are not. The exit code."""
    if hosting is None:
        return run()
    hosting.say_how_to_join(show)
    try:
        code = run()
        others = hosting.host.unfinished
    finally:
        hosting.host.stop()
    if code == 0 and others:
        from evoae_cli.app.helping import help_others

        show.say(f"going on for {', '.join(map(str, others))}; Ctrl-C leaves")
        try:
            spaces = () if config.space in SPACES else (config.space,)
            help_others(others, None, hosting.key, config, show, spaces=spaces, gone_after_s=_SOON_GONE_S)
        except EvoaeError as error:
            # This host's own search is done, whatever became of others.
            show.say(str(error))
    return code
