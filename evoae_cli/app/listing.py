"""`evoae list`: the studies in the runs folder, newest first, and the comparisons with random search."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from evoae_cli.app.common import Debug, Json
from evoae_cli.app.console import result_width, say, stderr_console, warn
from evoae_cli.errors import EvoaeError
from evoae_cli.study.locate import list_studies, runs_folder

Found = TypeVar("Found")


def list_(as_json: Json = False, debug: Debug = False) -> None:
    """List the studies in `runs/` (or in EVOAE_RUNS), newest first, and comparisons with random search."""
    from evoae_cli.baseline.plan import list_baselines
    from evoae_cli.baseline.summary import baseline_summary
    from evoae_cli.study.summary import summary

    errors = stderr_console()
    found = _read(list_studies(), summary, errors)
    compared = _read(list_baselines(), baseline_summary, errors)
    if as_json:
        studies = [{"study": str(folder), **about} for folder, about in found]
        sys.stdout.write(json.dumps(studies + [about.as_json() for _, about in compared]) + "\n")
    elif not found and not compared:
        say(errors, f"no study in {runs_folder()}/; start one: evoae search denoise")
    else:
        from evoae_cli.app.baselined import baselines_lines
        from evoae_cli.app.tables import studies_lines

        width = result_width()
        tables = []
        if found:
            tables.append(studies_lines([(str(folder), about) for folder, about in found], width))
        if compared:
            tables.append(baselines_lines([about for _, about in compared], width))
        sys.stdout.write("\n\n".join("\n".join(lines) for lines in tables) + "\n")


def _read(folders: Iterable[Path], read: Callable[[Path], Found], errors: Console) -> list[tuple[Path, Found]]:
    """What `read` makes of each folder; one of another version must not hide the rest, and is named on `errors`."""
    found = []
    for folder in folders:
        try:
            found.append((folder, read(folder)))
        except EvoaeError as error:
            warn(errors, str(error))
    return found
