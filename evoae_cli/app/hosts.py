"""`evoae hosts [HOST:PORT]`: which searches there are, and who helps them."""

import json
import sys
from typing import Annotated

import msgspec
import typer

from evoae_cli.app.common import Debug, Json
from evoae_cli.app.console import result_width
from evoae_cli.app.hosting import NAMESERVER_PORT, KeyFile, asked
from evoae_cli.app.tables import columns
from evoae_cli.errors import EvoaeError
from evoae_cli.hosts import wire
from evoae_cli.hosts.address import LOOPBACK, Address, parse_address, seen_through
from evoae_cli.hosts.key import key_for


def hosts(
    address: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="A nameserver, or a search that listens.")
    ] = f"{LOOPBACK}:{NAMESERVER_PORT}",
    key_file: KeyFile = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show searches that listen: their queues, workers, the hosts that help, and whom they help."""
    place = parse_address("HOST:PORT", address)
    key = key_for(key_file, [place])
    found = asked(place, key)
    searches: list[tuple[Address, wire.About | str]] = []
    if isinstance(found, wire.Brokers):
        for broker in found.brokers:
            there = seen_through(place, broker.host, broker.port)
            try:
                about = asked(there, key)
            except EvoaeError as error:
                searches.append((there, f"{broker.name}: {error}"))
                continue
            if isinstance(about, wire.About):
                searches.append((there, about))
    else:
        searches.append((place, found))
    text = json.dumps({"searches": _plain(searches)}) if as_json else "\n".join(hosts_lines(searches, result_width()))
    sys.stdout.write(text + "\n")


def hosts_lines(searches: list[tuple[Address, wire.About | str]], width: int | None) -> list[str]:
    """One line for each search, for each host that helps it, and for each search that its own host helps."""
    rows = [["host", "address", "workers", "queue", "running", "lent", "borrowed", "silent"]]
    troubles = []
    for address, about in searches:
        if isinstance(about, str):
            troubles.append(about)
            continue
        standing = about.standing
        numbers = (standing.n_workers, standing.n_queued, standing.n_busy, standing.n_lent, standing.n_borrowed)
        rows.append([about.name, str(address), *map(str, numbers), "-"])
        for guest in about.guests:
            rows.append(
                [f"  {guest.name}", guest.hardware or "-", str(guest.n_workers), "-", "-", "-", str(guest.n_held)]
            )
            rows[-1].append(f"{guest.silent_s:.1f} s")
        for link in about.helped:
            # Of whom it helps it knows no more.
            rows.append([f"  helps {link.name or '?'}", link.address, *["-"] * 4, str(link.n_held), "-"])
            troubles += [link.trouble] if link.trouble else []
    if len(rows) == 1 and not troubles:
        return ["no search is registered there; start one: evoae search denoise --nameserver HOST:PORT"]
    return [*(columns(rows, tuple(range(2, 8)), width) if len(rows) > 1 else []), *troubles]


def _plain(searches: list[tuple[Address, wire.About | str]]) -> list[dict[str, object]]:
    plain: list[dict[str, object]] = []
    for address, about in searches:
        if isinstance(about, str):
            plain.append({"address": str(address), "trouble": about})
        else:
            plain.append(
                {
                    "address": str(address),
                    "name": about.name,
                    **msgspec.structs.asdict(about.standing),
                    "helpers": [msgspec.structs.asdict(guest) for guest in about.guests],
                    "helps": [msgspec.structs.asdict(link) for link in about.helped],
                }
            )
    return plain
