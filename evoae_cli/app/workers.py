"""`evoae workers [STUDY]`: the workers of a search that runs in another terminal; start more of them, or drain some."""

import json
import sys
from typing import Annotated, Any, Literal

import msgspec
import typer

from evoae_cli.app.common import Debug, Json, StudyName, running_study
from evoae_cli.app.console import result_width, stderr_console
from evoae_cli.app.tables import workers_lines
from evoae_cli.baseline.plan import is_baseline
from evoae_cli.errors import StudyError, UsageError
from evoae_cli.study.config import MAX_WORKERS
from evoae_cli.study.orders import Order, check_runs, give
from evoae_cli.study.summary import read_snapshot


def _option(name: str, text: str) -> Any:
    return typer.Option(f"--{name}", metavar="N", help=text)


def workers(
    study: StudyName = None,
    set_: Annotated[str | None, _option("set", "Have N workers from now on.")] = None,
    add: Annotated[str | None, _option("add", "Start N more.")] = None,
    remove: Annotated[str | None, _option("remove", "Drain N: each finishes what it trains, then ends.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the workers of a running search, or change their number while it runs."""
    order = _order({"set": set_, "add": add, "remove": remove})
    folder = running_study(study, stderr_console())
    if is_baseline(folder):
        raise StudyError(f"{folder} runs no study at the moment: it loads the next one, or measures; ask again later")
    if order is not None:
        give(folder, order)
    check_runs(folder)
    found = read_snapshot(folder).workers
    if as_json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(found)) + "\n")
    else:
        sys.stdout.write("\n".join(workers_lines(found, result_width())) + "\n")


def _order(given: dict[Literal["set", "add", "remove"], str | None]) -> Order | None:
    """What was asked for, if anything. Raises UsageError for more than one thing, and for no usable number."""
    asked = [(kind, text) for kind, text in given.items() if text is not None]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(f'--{kind} {text}' for kind, text in asked)} contradict each other; give one")
    for kind, text in asked:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_WORKERS:
            end = "; to end the search use evoae stop" if kind == "set" and text == "0" else ""
            raise UsageError(f"--{kind} {text!r} is no number of workers; give 1 to {MAX_WORKERS}{end}")
        return Order(kind=kind, n=int(text))
    return None
