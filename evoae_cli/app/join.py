"""`evoae join HOST:PORT`: help a search on another host with this one's workers."""

from typing import Annotated

import typer

from evoae_cli.app.common import Debug, Quiet, read_as
from evoae_cli.app.console import stderr_console
from evoae_cli.app.hosting import KeyFile, NameserverAt, check_nameserver, is_nameserver
from evoae_cli.app.running import Show
from evoae_cli.errors import UsageError
from evoae_cli.hosts.address import Address, parse_address
from evoae_cli.hosts.key import key_for
from evoae_cli.study.resolve import resolve


def join(
    address: Annotated[
        str | None, typer.Argument(metavar="HOST:PORT", help="Where a search listens; or give --nameserver.")
    ] = None,
    nameserver: NameserverAt = None,
    key_file: KeyFile = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            parser=read_as(int, "--workers"),
            metavar="N",
            help="How many workers help (one per GPU, or per core).",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="TEXT", help="auto, cpu, cuda, cuda:1, or a list.")
    ] = "auto",
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="MODULE:ATTRIBUTE",
            help="A search space of your own that may be loaded here; repeatable.",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Help a search on another host: this host's workers train its candidates.

    `evoae search ... --listen PORT` prints the line to copy. Ctrl-C leaves: what runs is finished and returned.
    """
    if (address is None) == (nameserver is None):
        raise UsageError("say whom to help: evoae join HOST:PORT, or evoae join --nameserver HOST:PORT")
    place = None if address is None else parse_address("HOST:PORT", address)
    names = None if nameserver is None else parse_address("--nameserver", nameserver)
    config = resolve("denoise", {"device": device, **({} if workers is None else {"workers": workers})})
    key = key_for(key_file, [one for one in (place, names) if one is not None])
    if place is not None:
        check_search(place, key)
    elif names is not None:
        check_nameserver(names, key)
    from evoae_cli.app.helping import help_others

    links = [] if place is None else [place]
    show = Show(stderr_console(), quiet, is_json=False)
    raise typer.Exit(help_others(links, names, key, config, show, spaces=tuple(space or ())))


def check_search(address: Address, key: bytes) -> None:
    """Raise EvoaeError where no search listens, or one with another key: before PyTorch is loaded."""
    if is_nameserver(address, key):
        raise UsageError(f"{address} is a nameserver; to help what is listed there: --nameserver {address}")
