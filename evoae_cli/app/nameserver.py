"""`evoae nameserver`: the list of searches that hosts can help."""

import threading
from typing import Annotated

import typer

from evoae_cli.app.common import Debug, Quiet, command_line
from evoae_cli.app.console import stderr_console
from evoae_cli.app.hosting import NAMESERVER_PORT, KeyFile, called
from evoae_cli.app.running import Show
from evoae_cli.app.signals import exit_code, interruptible
from evoae_cli.hosts.address import LOOPBACK, parse_address
from evoae_cli.hosts.key import key_for


def nameserver(
    listen: Annotated[
        str,
        typer.Option("--listen", metavar="[HOST:]PORT", help="Where to listen; without HOST, for this machine only."),
    ] = str(NAMESERVER_PORT),
    key_file: KeyFile = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Keep the list of searches, so that hosts find them. It may be restarted at any time; Ctrl-C ends it."""
    address = parse_address("--listen", listen, default_host=LOOPBACK, least_port=0)
    key = key_for(key_file, [address])
    from evoae_cli.hosts.nameserver import WINDOW_S, Nameserver
    from evoae_cli.hosts.serving import Serving

    show = Show(stderr_console(), quiet, is_json=False)
    names = Nameserver(show.say)
    is_over = threading.Event()
    with interruptible(is_over.set, is_over.set) as interruption:
        serving = Serving(address, key, names.answer, names.sweep, sweep_s=WINDOW_S / 10)
        words = ["evoae", "search", "denoise", "--nameserver", str(called(serving.address))]
        words += [] if key_file is None else ["--key-file", str(key_file)]
        show.say(f"nameserver at {serving.address}; searches are listed with: {command_line(*words)}")
        is_over.wait()
        serving.stop()
    raise typer.Exit(exit_code(interruption.signum) if interruption.signum is not None else 0)
