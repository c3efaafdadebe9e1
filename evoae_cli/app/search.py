"""`evoae search denoise|manifold`: start a new study and run it."""

from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from evoae_cli.app.common import Debug, Json, Open, Quiet, TimeLimit, limit_seconds
from evoae_cli.app.console import stderr_console
from evoae_cli.app.delivering import Force
from evoae_cli.app.engines import CpusPerTask, EngineName, GpusPerTask, RayAddress, place_for
from evoae_cli.app.hosting import KeyFile, LinkTo, Listen, NameserverAt, opened
from evoae_cli.app.options import completion, with_settings
from evoae_cli.app.running import Show
from evoae_cli.app.starting import ConfigFile, DryRun, NewStudy, say_plan, start
from evoae_cli.engine.choice import chosen_engine
from evoae_cli.engine.wishes import Wishes
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.resolve import resolve

_OBJECTIVES = get_args(Objective)


@with_settings
def search(
    *,
    objective: Annotated[
        str | None,
        typer.Argument(
            metavar="denoise|manifold",
            help="What the autoencoder is for: to remove noise, or to find a small code.",
            autocompletion=completion(_OBJECTIVES),
        ),
    ] = None,
    study: NewStudy = None,
    config: ConfigFile = None,
    time_limit: TimeLimit = None,
    force: Force = False,
    is_opened: Open = False,
    listen: Listen = None,
    link: LinkTo = None,
    nameserver: NameserverAt = None,
    key_file: KeyFile = None,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
    cpus_per_task: CpusPerTask = None,
    gpus_per_task: GpusPerTask = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    settings: dict[str, Any],
) -> None:
    """Let evolution design, train and deliver an autoencoder.

    Without options: `evoae search denoise` finds a denoiser on built-in photographs in a few minutes.
    """
    resolved = resolved_config(objective, config, settings)
    show = Show(stderr_console(), quiet, as_json)
    limit_s = limit_seconds(time_limit)
    wishes = Wishes(lambda: resolved.device, ray_address, cpus_per_task, gpus_per_task)
    choice = chosen_engine(engine, wishes)
    if dry_run and not choice.is_here:
        raise UsageError(f"--dry-run measures this host, and not --engine {engine}; leave one of them out")
    if dry_run:
        raise typer.Exit(say_plan(resolved, show, limit_s, is_forced=force))
    place = place_for(opened(listen, link, nameserver, key_file), engine, choice)
    raise typer.Exit(start(resolved, study, show, limit_s, is_forced=force, is_opened=is_opened, place=place))


def resolved_config(objective: str | None, file: Path | None, settings: dict[str, Any]) -> StudyConfig:
    """All settings: the command's options override the file, the file the preset. Raises UsageError in one line."""
    if objective is None and file is None:
        raise UsageError("say what to search for: evoae search denoise, or evoae search manifold; --help tells more")
    if objective is not None and objective not in _OBJECTIVES:
        raise UsageError(f"{objective!r} is nothing to search for; choose denoise or manifold")
    if file is None:
        return resolve(cast(Objective, objective), settings)
    from evoae_cli.study.settingsfile import read_settings

    stored = read_settings(file)
    of_file = stored.pop("objective", objective)
    if of_file is None:
        raise UsageError(f"--config {file} names no objective; write: evoae search denoise --config {file}")
    if objective is not None and of_file != objective:
        # Its other settings were resolved for its own objective and would not suit this one.
        raise UsageError(f"--config {file} is for {of_file}, not {objective}; leave {objective} out, or the file")
    if stored.get("genotype") is not None:
        raise UsageError(
            f"--config {file} trains one architecture, without a search; write: evoae train {of_file} --config {file}"
        )
    return resolve(of_file, stored, settings)
