"""What `--help` prints: typer's, without the Python types that newer versions of typer put behind each name."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class PlainCommand(TyperCommand):
    """A command whose help names its arguments and options as the usage line does."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, `--help` included."""
        return _plain(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """The same for `evoae` itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, `--help` included."""
        return _plain(super().get_params(ctx))


def show_help(ctx: typer.Context) -> None:
    """Print the help of the command: typer prints it while it makes it, or returns it where rich is switched off."""
    text = ctx.get_help()
    if text:
        typer.echo(text)


def _plain(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            # Versions of typer that show no type do not ask for it.
            vars(parameter)["display_type"] = lambda ctx: ""
        elif parameter.metavar is None and parameter.name in _NO_VALUE:
            vars(parameter)["metavar"] = ""
    return parameters


_NO_VALUE = ("help", "install_completion", "show_completion")
"""Options of typer's own making, which take no value."""
