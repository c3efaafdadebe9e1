"""Parameters that several commands share."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from evoae_cli.app.console import say
from evoae_cli.study.locate import find_study, list_studies


@dataclass
class Session:
    """What the entry point must know of a command's options when the command fails."""

    is_debug: bool = False


def _remember_debug(ctx: typer.Context, is_debug: bool) -> bool:
    session = ctx.find_root().obj
    if is_debug and isinstance(session, Session):
        session.is_debug = True
    return is_debug


def _study_names(incomplete: str) -> list[str]:
    return [folder.name for folder in list_studies() if folder.name.startswith(incomplete)]


Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_remember_debug, is_eager=True, metavar="", help="On a bug, print the traceback."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", metavar="", help="No screen and no lines; warnings and errors stay.")
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object on stdout instead.")]
StudyName = Annotated[
    str | None,
    typer.Argument(
        metavar="STUDY", help="A study's name or folder; the newest if not given.", autocompletion=_study_names
    ),
]
ModelName = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A study, its best/, or a folder with a model.", autocompletion=_study_names),
]


def chosen_study(name: str | None, console: Console) -> Path:
    """The study that was named, or the newest one, which is then said on stderr. Raises StudyError if there is none."""
    folder, is_newest = find_study(name)
    if is_newest:
        say(console, f"newest study: {folder}", "dim")
    return folder


def command_line(*words: str | Path) -> str:
    """A line that can be copied into a shell."""
    return shlex.join(map(str, words))
