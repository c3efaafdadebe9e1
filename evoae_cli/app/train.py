"""`evoae train denoise|manifold`: train one architecture, or a study's best model further, as a study of its own."""

from typing import Annotated, Any, get_args

import typer

from evoae_cli.app.common import Debug, Json, Open, Quiet, study_names
from evoae_cli.app.console import stderr_console
from evoae_cli.app.delivering import Force
from evoae_cli.app.helptext import PlainCommand
from evoae_cli.app.options import completion, with_train_settings
from evoae_cli.app.running import Show
from evoae_cli.app.starting import ConfigFile, DryRun, NewStudy, say_plan, start
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.checks import option_name
from evoae_cli.study.settings import OF_SEARCH
from evoae_cli.study.trainsettings import resolve_training


class TrainCommand(PlainCommand):
    """The command, which says of the options of a search why it has none of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line. Raises UsageError for an option of a search."""
        of_search = {"--for", *map(option_name, OF_SEARCH), *(f"--no-{option_name(name)[2:]}" for name in OF_SEARCH)}
        for name in (word.partition("=")[0] for word in args):
            if name in of_search and not ctx.resilient_parsing:
                remedy = "; give --epochs" if name == "--final-epochs" else ""
                raise UsageError(f"{name} concerns a search, and evoae train has none; leave it out{remedy}")
        return super().parse_args(ctx, args)


@with_train_settings
def train(
    *,
    objective: Annotated[
        str | None,
        typer.Argument(
            metavar="denoise|manifold",
            help="What the autoencoder is for; with --from, the study says it.",
            autocompletion=completion(get_args(Objective)),
        ),
    ] = None,
    genotype: Annotated[
        str | None,
        typer.Option(
            "--genotype", metavar="GENOTYPE", help="Architecture to train from scratch, as 5x5conv2d:16,3x3conv2d:32."
        ),
    ] = None,
    from_model: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STUDY",
            help="Instead: a finished study, whose model is trained further with its settings.",
            autocompletion=study_names,
        ),
    ] = None,
    study: NewStudy = None,
    config: ConfigFile = None,
    force: Force = False,
    is_opened: Open = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    settings: dict[str, Any],
) -> None:
    """Train one architecture, without a search, or a study's best model further.

    What comes out is a study like that of a search: with a model, scored beside the classical methods.
    """
    file = None
    if config is not None:
        from evoae_cli.study.settingsfile import read_settings

        file = read_settings(config)
    resolved = resolve_training(objective, settings, genotype=genotype, start=from_model, file=file)
    show = Show(stderr_console(), quiet, as_json)
    if dry_run:
        raise typer.Exit(say_plan(resolved, show, is_forced=force))
    raise typer.Exit(start(resolved, study, show, is_forced=force, is_opened=is_opened))
