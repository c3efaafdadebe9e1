"""`evoae report [STUDY...]`: a study as one page, or several beside each other."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from evoae_cli.app.common import Debug, Json, Open, Quiet, study_names
from evoae_cli.app.console import say, stderr_console
from evoae_cli.app.running import Show
from evoae_cli.app.wording import size


def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY",
            help="Names or folders of studies, or of comparisons by random-baseline; the newest if not given.",
            autocompletion=study_names,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="File to write, ending in .html (STUDY/report.html)."),
    ] = None,
    is_opened: Open = False,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite FILE if it exists.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a study as one page: pictures, results, figures, settings, all in one HTML file that needs nothing else.

    Several studies stand beside each other: `evoae report A B --out compare.html`.
    """
    from evoae_cli.page.write import found_studies, target_for, write_page

    show = Show(stderr_console(), quiet, as_json)
    folders, is_newest = found_studies(studies or [])
    if is_newest:
        say(show.console, f"newest study: {folders[0]}", "dim")
    target = target_for(folders, out, is_forced=force)
    written = write_page(folders, target)
    about = "1 study" if len(written.studies) == 1 else f"{len(written.studies)} studies"
    show.say(f"page of {about}, {size(written.n_bytes)}")
    if as_json:
        found = {
            "report": str(written.path),
            "bytes": written.n_bytes,
            "studies": [str(folder) for folder in written.studies],
        }
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(f"{written.path}\n")
    if is_opened:
        show.open_page(written.path)
