"""`evoae stop [STUDY]`: end a search that runs in another terminal, as Ctrl-C would there."""

from typing import Annotated

import typer

from evoae_cli.app.common import Debug, StudyName, command_line, running_study
from evoae_cli.app.console import say, stderr_console
from evoae_cli.study.lock import lock_holder
from evoae_cli.study.orders import Order, give


def stop(
    study: StudyName = None,
    now: Annotated[
        bool, typer.Option("--now", metavar="", help="Do not wait for the evaluations that run, as a second Ctrl-C.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Stop a running search or comparison: it finishes what it trains, and can be resumed."""
    from evoae_cli.baseline.spent import part_of

    errors = stderr_console()
    folder = running_study(study, errors)
    # With a study of a comparison the whole of it stops, unless the study was resumed alone.
    runs = lock_holder(folder) is not None and lock_holder(folder.parent) is not None
    whole = folder.parent if runs and part_of(folder) is not None else folder
    give(whole, Order(kind="kill" if now else "stop"))
    what = "is being ended" if now else "stops when what runs has ended"
    say(errors, f"{whole} {what}; go on with it: {command_line('evoae', 'resume', whole)}")
