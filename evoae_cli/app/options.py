"""The command's options for a study, made from StudyConfig's fields: name, type and meaning are said once, there."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from evoae_cli.app.helptext import show_help
from evoae_cli.baseline.begin import BASELINE_SETTINGS
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.checks import one_of, option_name
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settings import CHANGEABLE, SEARCH_SETTINGS, field_meta, field_type
from evoae_cli.study.trainsettings import TRAIN_SETTINGS

SETTINGS = SEARCH_SETTINGS
"""The options of a search."""

_MAIN_PANEL = "Settings"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` an option for every setting of a study, and `--help-all`.

    `command` has a parameter `settings: dict[str, Any]`, which receives those that were given on the command line.
    """
    return _extended(command, SETTINGS, [*map(_option, SETTINGS), _help_all()])


def with_train_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` an option for every setting of a training, and `--help-all`; like `with_settings`."""
    options = [_option(name, text=_IN_TRAINING.get(name)) for name in TRAIN_SETTINGS]
    return _extended(command, TRAIN_SETTINGS, [*options, _help_all()])


def with_baseline_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` an option for every setting of random architectures, and `--help-all`; like `with_settings`."""
    return _extended(command, BASELINE_SETTINGS, [*map(_option, BASELINE_SETTINGS), _help_all()])


_IN_TRAINING = {
    "epochs": f"epochs of the training (quick: {resolve('denoise', {}).final_epochs}; with --from: those of the "
    "study's finalists)",
    "final_seeds": "how often it is trained, with other seeds; the best on validation is delivered (quick: 1)",
    "timeout": "longest time for one training, as 90s, 10m or 2h, or none (quick: none)",
    "space": "what the architecture may hold: paper (a sequence of layers), skip (skips, repeats and more as well), or "
    "module:attribute (quick: skip)",
    "reductions": "how often height and width are halved, where the genotype does not say (1 in space skip)",
    "workers": "worker processes; otherwise one per GPU, or per core, and no more than there are seeds, plus one",
}
"""Descriptions of settings that mean something else where nothing is searched for."""


def with_changes(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` options for the settings that a study may change when it goes on; like `with_settings`."""
    return _extended(command, CHANGEABLE, [_option(name, is_new=False) for name in CHANGEABLE])


def _extended(
    command: Callable[..., None], names: Sequence[str], options: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "settings"]

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        settings = {name: parsed(name, given.pop(name)) for name in names}
        given.pop("help_all", None)
        command(**given, settings={name: value for name, value in settings.items() if value is not None})

    # typer reads a command's parameters from these two.
    parameters = [*own, *options]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # inspect honours it
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _option(name: str, is_new: bool = True, text: str | None = None) -> inspect.Parameter:
    """One setting as an option, of a new study or of one that goes on; `text` replaces what help says of it.

    Values arrive as text, so that one place, `parsed`, says what is wrong with them.
    """
    meta = field_meta(name)
    extra = meta.extra or {}
    kind = bare_type(name)
    description = text or (meta.description or name) + (_defaults(name) if is_new else "")
    is_main = extra["main"] or not is_new
    declared, metavar, completions = option_name(name), extra["metavar"] or "TEXT", None
    accepted: Any = str
    if kind is bool:
        declared, accepted, metavar = f"{declared}/--no-{declared[2:]}", bool, ""
    elif get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        metavar, completions = "KIND", completion(choices)
    elif get_origin(kind) is tuple:
        of, *others = get_args(kind)
        if others == [Ellipsis]:
            accepted = list[str] if extra["metavar"] else str
            metavar = extra["metavar"] or ("NAMES" if of is str else "N,N,...")
        else:
            accepted, metavar = tuple[str, str], extra["metavar"] or "LO HI"
    elif kind in (int, float):
        metavar = "N" if kind is int else "NUMBER"
    option = typer.Option(
        *(declared, extra["short"]) if extra["short"] else (declared,),
        metavar=metavar,
        help=description,
        hidden=not is_main,
        rich_help_panel=_MAIN_PANEL if is_main else extra["panel"],
        show_default=False,
        autocompletion=completions,
    )
    annotation = Annotated[accepted | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def completion(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """What the shell offers for one of `choices`."""

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def _help_all() -> inspect.Parameter:
    option = typer.Option(
        "--help-all", callback=_show_all, is_eager=True, metavar="", help="Show every option, and exit."
    )
    return inspect.Parameter(
        "help_all", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option]
    )


def _show_all(ctx: typer.Context, is_asked: bool) -> None:
    """Print the help with nothing hidden, each setting in its own panel."""
    if not is_asked or ctx.resilient_parsing:
        return
    for parameter in ctx.command.params:
        if parameter.name in SETTINGS:
            # Options have both attributes; the common base class of options and arguments declares neither.
            vars(parameter).update(hidden=False, rich_help_panel=(field_meta(parameter.name).extra or {})["panel"])
    show_help(ctx)
    raise typer.Exit


def bare_type(name: str) -> Any:
    """The type of a setting without its metadata and without None: `Annotated[int | None, ...]` -> `int`."""

    def bare(annotated: Any) -> Any:
        if get_origin(annotated) is Annotated:
            return bare(get_args(annotated)[0])
        if get_origin(annotated) in (Union, UnionType):
            return bare(next(member for member in get_args(annotated) if member is not NoneType))
        return annotated

    return bare(field_type(name))


def parsed(name: str, given: Any) -> Any:
    """What was written on the command line as StudyConfig wants it: `8,16` becomes `(8, 16)`. Raises UsageError.

    Bounds are not looked at: that is for StudyConfig.
    """
    kind = bare_type(name)
    if given is None or kind in (bool, str, tuple[str, str]):
        return given
    if get_origin(kind) is Literal:
        if given not in get_args(kind):
            raise UsageError(f"{option_name(name)} {given!r} is unknown; use {one_of(get_args(kind))}")
        return given
    if get_origin(kind) is not tuple:
        return _number(name, given, kind)
    parts = given.split(",") if isinstance(given, str) else given
    of = get_args(kind)[0]
    return tuple(part.strip() if of is str else _number(name, part, of) for part in parts)


def _number(name: str, text: str, kind: type[int] | type[float]) -> int | float:
    try:
        # Python also takes 1_000 and the digits of other scripts, which here can only be slips.
        return kind(text if re.fullmatch(r"\s*[-+0-9.a-zA-Z]+\s*", text) else "")
    except ValueError:
        noun = "whole number" if kind is int else "number"
        raise UsageError(f"{option_name(name)}: {text!r} is no {noun}") from None


def _defaults(name: str) -> str:
    """` (quick: 6)`, the quick preset's value, for both objectives where they differ."""
    if name == "preset":
        return " (default: quick)"
    values = {objective: _text(_quick(objective)[name]) for objective in get_args(Objective)}
    if len(set(values.values())) > 1:
        return f" (quick: {', '.join(f'{value} for {objective}' for objective, value in values.items())})"
    value = values["denoise"]
    return f" (quick: {value})" if value else ""


@functools.cache
def _quick(objective: Literal["denoise", "manifold"]) -> dict[str, Any]:
    config = resolve(objective)
    return {name: getattr(config, name) for name in SETTINGS}


def _text(value: Any) -> str:
    """A setting as it is written on the command line; nothing for None, which means that another setting decides."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
