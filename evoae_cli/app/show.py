"""`evoae show [STUDY]`: what a study has found, as a table, as JSON, or live from another terminal."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from evoae_cli.app.common import Debug, Json, StudyName, chosen_study
from evoae_cli.app.comparing import say_baseline
from evoae_cli.app.console import can_redraw, result_width, say, stderr_console
from evoae_cli.baseline.plan import named_baseline, read_plan
from evoae_cli.baseline.running import running_in
from evoae_cli.errors import UsageError
from evoae_cli.study.locate import LIVE
from evoae_cli.study.snapshot import OVER

_LOOK_EVERY_S = 1.0
"""A running study publishes a snapshot about once a second."""


def show(
    study: StudyName = None,
    as_json: Json = False,
    history: Annotated[
        bool, typer.Option("--history", metavar="", help="Add every evaluation, in a fixed order.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", metavar="", help="Draw the live screen until the study ends.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Show a study: its best architecture, scores, finalists and counts."""
    errors = stderr_console()
    if (compared := named_baseline(study)) is not None:
        if history:
            one = read_plan(compared).parts[0].name
            raise UsageError(f"{compared} is a comparison of studies; name one of them, as {compared / one}")
        if watch:
            watch_comparison(compared, errors, time.sleep)
        say_baseline(compared, is_json=as_json)
        return
    folder = chosen_study(study, errors)
    if watch:
        watch_study(folder, errors, time.sleep)
    from evoae_cli.app.tables import history_lines, study_lines
    from evoae_cli.study import summary as stored

    found = stored.summary(folder)
    rows = stored.history(folder) if history else None
    if as_json:
        sys.stdout.write(json.dumps(found if rows is None else {**found, "history": rows}) + "\n")
        return
    width = result_width()
    lines = study_lines(found, folder, width) + (["", *history_lines(rows, width)] if rows else [])
    sys.stdout.write("\n".join(lines) + "\n")


def watch_comparison(folder: Path, console: Console, sleep: Callable[[float], None]) -> None:
    """Draw the screen of each study that another process runs of a comparison, until nothing of it runs any more."""
    from evoae_cli.study.summary import read_snapshot

    while (there := running_in(folder)) is not None:
        # Its first snapshot comes a moment after its lock, and its lock goes a moment after its last.
        if there == folder or not (there / LIVE).exists() or read_snapshot(there).state in OVER:
            sleep(_LOOK_EVERY_S)
            continue
        say(console, f"running study: {there}", "dim")
        watch_study(there, console, sleep)


def watch_study(folder: Path, console: Console, sleep: Callable[[float], None]) -> None:
    """Draw the screen of a study that another process runs, until it ends; plain lines where nothing can be redrawn."""
    from evoae_cli.app.live import live_screen
    from evoae_cli.app.screen import counts_text, leading_text, render
    from evoae_cli.study.summary import read_snapshot

    if can_redraw(console):
        with live_screen(console, lambda width, height: render(read_snapshot(folder), width, height)):
            while read_snapshot(folder).state not in OVER:
                sleep(_LOOK_EVERY_S)
        return
    n_seen = -1
    while True:
        snapshot = read_snapshot(folder)
        if snapshot.n_done != n_seen:
            n_seen = snapshot.n_done
            place = f"{snapshot.n_done} of {snapshot.n_expected}"
            became = counts_text(snapshot.counts, is_training=snapshot.is_training)
            say(console, f"{place}: {leading_text(snapshot)}, {became}")
        if snapshot.state in OVER:
            return
        sleep(_LOOK_EVERY_S)
