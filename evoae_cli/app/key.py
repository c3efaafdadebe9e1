"""`evoae key FILE`: the key that hosts share."""

from pathlib import Path
from typing import Annotated

import typer

from evoae_cli.app.common import Debug
from evoae_cli.app.console import say, stderr_console
from evoae_cli.hosts.key import make_key


def key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; must not exist.")],
    debug: Debug = False,
) -> None:
    """Make a key for hosts that are to help each other. Copy it to each of them, where only you may read it."""
    make_key(file)
    say(stderr_console(), "copy it to the other hosts over a channel that you trust, as: scp -p FILE HOST:", "dim")
    typer.echo(str(file))
