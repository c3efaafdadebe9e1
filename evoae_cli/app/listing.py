"""`evoae list`: the studies in the runs folder, newest first."""

import json
import sys
from typing import Any

from evoae_cli.app.common import Debug, Json
from evoae_cli.app.console import result_width, say, stderr_console, warn
from evoae_cli.errors import EvoaeError
from evoae_cli.study.locate import list_studies, runs_folder


def list_(as_json: Json = False, debug: Debug = False) -> None:
    """List the studies in `runs/` (or in EVOAE_RUNS), newest first."""
    from evoae_cli.study.summary import summary

    errors = stderr_console()
    found: list[tuple[str, dict[str, Any]]] = []
    for folder in list_studies():
        try:
            found.append((str(folder), summary(folder)))
        except EvoaeError as error:
            # One study of another version must not hide the rest.
            warn(errors, str(error))
    if as_json:
        sys.stdout.write(json.dumps([{"study": study, **about} for study, about in found]) + "\n")
    elif not found:
        say(errors, f"no study in {runs_folder()}/; start one: evoae search denoise")
    else:
        from evoae_cli.app.tables import studies_lines

        sys.stdout.write("\n".join(studies_lines(found, result_width())) + "\n")
