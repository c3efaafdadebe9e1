"""The end of a study that has an `output`: all its images, cleaned by its best model."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from evoae_cli.app.denoised import denoise_jobs, report
from evoae_cli.app.running import Deliver, Delivered, Show
from evoae_cli.counted import several
from evoae_cli.study.config import StudyConfig

Force = Annotated[bool, typer.Option("--force", metavar="", help="With -o: overwrite what exists; never an input.")]


def check_output(config: StudyConfig, is_forced: bool) -> None:
    """Raise UsageError or ImageError where a new study could not clean its images into its `output`."""
    if config.output is not None:
        from evoae_cli.applying.delivery import delivery

        delivery(config, is_forced=is_forced)


def deliverer(config: StudyConfig, show: Show, *, is_forced: bool, is_resumed: bool = False) -> Deliver | None:
    """What cleans the images of a study at its end, with a model, and says so; None where it has no `output`."""
    if config.output is None:
        return None

    def deliver(model: Path, is_stopped: Callable[[], bool]) -> Delivered:
        from evoae_cli.applying.batch import Work
        from evoae_cli.applying.delivery import delivery
        from evoae_cli.study.model import load_model

        jobs = delivery(config, is_forced=is_forced, is_resumed=is_resumed)
        if not jobs:
            show.say(f"all images are in {config.output} already; --force cleans them again")
        results = denoise_jobs(show, Work(load_model(model)), jobs, config.device, is_stopped=is_stopped)
        n_failed = sum(result.failure is not None for result in results)
        if jobs:
            show.say(f"cleaned {several(len(results) - n_failed, 'image')}: {config.output}")
        return Delivered(report(results, model), is_whole=len(results) == len(jobs), has_failures=n_failed > 0)

    return deliver
