"""`evoae random-baseline denoise|manifold`: what chance finds, beside what evolution has found."""

from typing import Annotated, Any, get_args

import typer

from evoae_cli.app.beforehand import check_source
from evoae_cli.app.common import Debug, Json, Quiet, read_as, study_names
from evoae_cli.app.comparing import run_baseline
from evoae_cli.app.console import stderr_console
from evoae_cli.app.engines import CpusPerTask, EngineName, GpusPerTask, RayAddress, place_for
from evoae_cli.app.hosting import KeyFile, LinkTo, Listen, NameserverAt, opened
from evoae_cli.app.options import completion, with_baseline_settings
from evoae_cli.app.running import Show
from evoae_cli.baseline.begin import abandon, begin, new_plan
from evoae_cli.baseline.protocols import PROTOCOLS
from evoae_cli.engine.choice import chosen_engine
from evoae_cli.engine.wishes import Wishes
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.resolve import resolve


@with_baseline_settings
def random_baseline(
    *,
    objective: Annotated[
        str | None,
        typer.Argument(
            metavar="denoise|manifold",
            help="What the autoencoders are for; with --against, the study says it.",
            autocompletion=completion(get_args(Objective)),
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="STUDY",
            help="A search that has ended: chance gets its settings, and in fair protocols as many trained epochs.",
            autocompletion=study_names,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            parser=read_as(int, "--samples"),
            metavar="N",
            help="Architectures of the paper's protocol (30).",
            show_default=False,
        ),
    ] = None,
    protocols: Annotated[
        str | None,
        typer.Option(
            "--protocols",
            metavar="NAMES",
            help=f"Some of {','.join(PROTOCOLS)}; all of them with --against, else paper.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            parser=read_as(int, "--seeds"),
            metavar="N",
            help="Repeat the search and its fair comparisons with so many seeds, for an interval (1).",
            show_default=False,
        ),
    ] = None,
    references: Annotated[
        str | None,
        typer.Option(
            "--references",
            metavar="NAMES",
            help="Hand-made networks to train as long as the finalist was: some of dncnn,unet.",
            show_default=False,
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            metavar="NAME|FOLDER",
            help="Name of the comparison (default: random-baseline-<date>-<time>).",
        ),
    ] = None,
    listen: Listen = None,
    link: LinkTo = None,
    nameserver: NameserverAt = None,
    key_file: KeyFile = None,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
    cpus_per_task: CpusPerTask = None,
    gpus_per_task: GpusPerTask = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    settings: dict[str, Any],
) -> None:
    """Train random architectures, and say how much better evolution's are.

    `evoae random-baseline denoise` trains 30 of 1 to 10 layers, as the paper does. With `--against STUDY` chance also
    gets what that search was given.
    """
    plan = new_plan(
        objective,
        settings,
        against=against,
        n_samples=samples,
        protocols=_names(protocols),
        n_pairs=seeds,
        references=_names(references),
    )
    wishes = Wishes(lambda: plan.settings.get("device"), ray_address, cpus_per_task, gpus_per_task)
    choice = chosen_engine(engine, wishes)
    show = Show(stderr_console(), quiet, as_json)
    check_source(resolve(plan.objective, plan.settings))
    place = place_for(opened(listen, link, nameserver, key_file), engine, choice)
    folder = begin(plan, study)
    try:
        raise typer.Exit(run_baseline(folder, show, place))
    finally:
        abandon(folder)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]
