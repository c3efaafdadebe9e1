"""What the commands that begin a study share: their options, its start, and the plan that `--dry-run` prints."""

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evoae_cli.app.delivering import check_output, deliverer
from evoae_cli.app.engines import Place
from evoae_cli.app.hosting import run_hosted
from evoae_cli.app.running import Show, run_study
from evoae_cli.study.config import StudyConfig

NewStudy = Annotated[
    str | None,
    typer.Option("--study", metavar="NAME|FOLDER", help="Name of the study (default: <objective>-<date>-<time>)."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Take settings from this study.toml; options override it."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", metavar="", help="Say what would be done; write nothing.")]


def start(
    config: StudyConfig,
    name: str | None,
    show: Show,
    limit_s: float | None = None,
    *,
    is_forced: bool = False,
    is_opened: bool = False,
    place: Place | None = None,
) -> int:
    """Start a new study of these settings under `name` and run it; returns the exit code. Raises EvoaeError.

    `is_forced` lets it overwrite what is in its `output`; `is_opened` opens the study's page in the browser at the end.
    `place` is where its evaluations run, on this host by default.
    """
    from evoae_cli.app.beforehand import check_source, check_start, check_writable, workers_at_hand
    from evoae_cli.app.opening import opening
    from evoae_cli.study.locate import new_study_folder

    folder = new_study_folder(name, config.objective)
    check_writable(folder)
    check_start(config)
    check_source(config)
    check_output(config, is_forced)
    place = place or Place()
    workers = workers_at_hand(config) if place.is_here else None
    show.say(opening(config, folder, workers, limit_s, where=place.where), "bold")
    show.say(f"noise: {config.noise_text}")
    with show.preparing("loading PyTorch and the images"):
        from evoae_cli.study.study import Study

        study = Study.create(config, folder, warn=show.warn, make_engine=place.make_engine())
    deliver = deliverer(study.config, show, is_forced=is_forced)
    return run_hosted(
        place.hosting, study.config, show, lambda: run_study(study, show, limit_s, deliver, is_opened=is_opened)
    )


def say_plan(config: StudyConfig, show: Show, limit_s: float | None = None, *, is_forced: bool = False) -> int:
    """Print what a study of these settings would do and take; returns the exit code. Raises EvoaeError."""
    from evoae_cli.app.beforehand import check_source, check_start

    check_start(config)
    check_source(config)
    check_output(config, is_forced)
    with show.preparing("measuring a few steps"):
        from evoae_cli.study.plan import plan

        planned = plan(config, show.warn, limit_s)
    typer.echo(json.dumps(msgspec.to_builtins(planned)) if show.is_json else "\n".join(planned.lines()))
    return 0
