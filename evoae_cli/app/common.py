"""Parameters that several commands share."""

import contextlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from evoae_cli.app.console import say
from evoae_cli.errors import EvoaeError, StudyError, UsageError
from evoae_cli.study.checks import parse_duration
from evoae_cli.study.locate import find_study, list_studies, runs_folder


@dataclass
class Session:
    """What the entry point must know of a command's options when the command fails."""

    is_debug: bool = False


def _remember_debug(ctx: typer.Context, is_debug: bool) -> bool:
    session = ctx.find_root().obj
    if is_debug and isinstance(session, Session):
        session.is_debug = True
    return is_debug


def study_names(incomplete: str) -> list[str]:
    """What the shell offers for the name of a study."""
    # The shell shows what completion raises in the middle of the line that is being typed.
    with contextlib.suppress(EvoaeError):
        return [folder.name for folder in list_studies() if folder.name.startswith(incomplete)]
    return []


Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_remember_debug, is_eager=True, metavar="", help="On a bug, print the traceback."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", metavar="", help="No screen and no lines; warnings and errors stay.")
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object on stdout instead.")]
Open = Annotated[bool, typer.Option("--open", metavar="", help="Open the study's page in the browser at the end.")]
StudyName = Annotated[
    str | None,
    typer.Argument(
        metavar="STUDY", help="A study's name or folder; the newest if not given.", autocompletion=study_names
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="How long it may take in all, finalists included, as 30m or 1.5h."),
]
MoreTime = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="How much longer it may take, finalists included, as 30m or 1.5h."),
]
ModelName = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A study, its best/, or a folder with a model.", autocompletion=study_names),
]


def chosen_study(name: str | None, console: Console) -> Path:
    """The study that was named, or the newest one, which is then said on stderr. Raises StudyError if there is none."""
    folder, is_newest = find_study(name)
    if is_newest:
        say(console, f"newest study: {folder}", "dim")
    return folder


def running_study(name: str | None, console: Console) -> Path:
    """The study that was named, of a comparison the one that runs, or without a name the newest that a process runs.

    Where that is another than was named, it is said. A comparison between two of its studies is given as it is. Raises
    StudyError.
    """
    from evoae_cli.baseline.plan import named_baseline
    from evoae_cli.baseline.running import named_running, newest_running

    if name is None:
        newest = newest_running()
        if newest is None:
            raise StudyError(f"no study in {runs_folder()}/ runs now; start one: evoae search denoise")
        say(console, f"newest that runs: {newest}", "dim")
        return newest
    there = named_running(name)
    if there is None:
        return chosen_study(name, console)
    if there != named_baseline(name):
        say(console, f"running study: {there}", "dim")
    return there


def limit_seconds(text: str | None) -> float | None:
    """Seconds of `--for`; None where it was not given. Raises UsageError."""
    return None if text is None else parse_duration("for", text)


def command_line(*words: str | Path) -> str:
    """A line that can be copied into a shell."""
    return shlex.join(map(str, words))


Number = TypeVar("Number", int, float)


def read_as(kind: type[Number], option: str) -> Callable[[str | Number], Number]:
    """Reads what `option` was given; typer's own refusal names neither the value nor the remedy."""
    what = "whole number; give one, as 5" if kind is int else "number; give one, as 0.5"

    def read(given: str | Number) -> Number:
        try:
            return kind(given)
        except ValueError:
            raise UsageError(f"{option} {given!r} is no {what}") from None

    return read
