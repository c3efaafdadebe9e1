"""`evoae stop [STUDY]`: end a search that runs in another terminal, as Ctrl-C would there."""

from typing import Annotated

import typer

from evoae_cli.app.common import Debug, StudyName, command_line, running_study
from evoae_cli.app.console import say, stderr_console
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
    give(folder, Order(kind="kill" if now else "stop"))
    # With a study of a comparison the whole of it stops.
    whole = folder if part_of(folder) is None else folder.parent
    what = "is being ended" if now else "stops when the evaluations that run have ended"
    say(errors, f"{whole} {what}; go on with it: {command_line('evoae', 'resume', whole)}")
