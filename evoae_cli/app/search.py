"""`evoae search denoise|manifold`: start a new study and run it."""

import json
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import msgspec
import typer

from evoae_cli.app.common import Debug, Json, Quiet, TimeLimit, limit_seconds
from evoae_cli.app.console import stderr_console
from evoae_cli.app.options import completion, with_settings
from evoae_cli.app.running import Show, run_study
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.config import StudyConfig, resolve

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
    study: Annotated[
        str | None,
        typer.Option("--study", metavar="NAME|FOLDER", help="Name of the study (default: <objective>-<date>-<time>)."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Take settings from this study.toml; options override it."),
    ] = None,
    time_limit: TimeLimit = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Say what would be done; write nothing.")
    ] = False,
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
    raise typer.Exit(_dry_run(resolved, show, limit_s) if dry_run else _start(resolved, study, show, limit_s))


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
    return resolve(of_file, stored, settings)


def _start(config: StudyConfig, name: str | None, show: Show, limit_s: float | None) -> int:
    from evoae_cli.app.beforehand import check_source, check_start, check_writable, workers_at_hand
    from evoae_cli.app.opening import opening
    from evoae_cli.study.locate import new_study_folder

    folder = new_study_folder(name, config.objective)
    check_writable(folder)
    check_start(config)
    check_source(config)
    show.say(opening(config, folder, workers_at_hand(config), limit_s), "bold")
    show.say(f"noise: {config.noise_text}")
    with show.preparing("loading PyTorch and the images"):
        from evoae_cli.study.study import Study

        study = Study.create(config, folder, warn=show.warn)
    return run_study(study, show, limit_s)


def _dry_run(config: StudyConfig, show: Show, limit_s: float | None) -> int:
    from evoae_cli.app.beforehand import check_source, check_start

    check_start(config)
    check_source(config)
    with show.preparing("measuring a few steps"):
        from evoae_cli.study.plan import plan

        planned = plan(config, show.warn, limit_s)
    typer.echo(json.dumps(msgspec.to_builtins(planned)) if show.is_json else "\n".join(planned.lines()))
    return 0
