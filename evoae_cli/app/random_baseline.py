"""`evoae random-baseline denoise|manifold`: what chance finds, beside what evolution has found."""

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from evoae_cli.app.baselined import baseline_lines
from evoae_cli.app.beforehand import check_source
from evoae_cli.app.common import Debug, Json, Quiet, command_line, read_as, study_names
from evoae_cli.app.console import result_width, stderr_console
from evoae_cli.app.engines import CpusPerTask, EngineName, GpusPerTask, Place, RayAddress, place_for
from evoae_cli.app.hosting import KeyFile, LinkTo, Listen, NameserverAt, opened, run_hosted
from evoae_cli.app.options import completion, with_baseline_settings
from evoae_cli.app.running import Show, shown
from evoae_cli.app.signals import exit_code, interruptible
from evoae_cli.baseline.begin import abandon, begin, new_plan
from evoae_cli.baseline.plan import Plan, read_plan
from evoae_cli.baseline.protocols import PROTOCOLS
from evoae_cli.baseline.summary import baseline_summary, is_ended
from evoae_cli.engine.choice import chosen_engine
from evoae_cli.engine.wishes import Wishes
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.resolve import EARLIER, resolve

if TYPE_CHECKING:
    from evoae_cli.study.study import Study


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


def run_baseline(
    folder: Path,
    show: Show,
    place: Place,
    *,
    is_retrying: bool = False,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Run what is left of the comparison in `folder`, and print what it has come to; returns the exit code.

    `place` is where its trainings run; what is compared with them runs here, where its milliseconds mean something.
    `is_retrying` and `changes` are what `Study.open` takes.
    """
    plan = read_plan(folder)
    config = resolve(plan.objective, EARLIER, plan.settings, changes)

    def run() -> int:
        stopped_by = _run_parts(folder, plan, show, place, is_retrying, changes)
        if stopped_by is None:
            stopped_by = _measure(folder, plan, show, changes)
        if stopped_by is not None:
            return _interrupted(stopped_by, folder, show)
        _pages(folder, plan, show)
        say_baseline(folder, is_json=show.is_json)
        return 0

    return run_hosted(place.hosting, config, show, run)


def _run_parts(
    folder: Path, plan: Plan, show: Show, place: Place, is_retrying: bool, changes: Mapping[str, Any]
) -> int | None:
    """Run the studies that are left, one after the other; the signal that stopped one, or None."""
    due = [
        (number, part) for number, part in enumerate(plan.parts, start=1) if is_retrying or not is_ended(folder, part)
    ]
    for number, part in due:
        seed = f", seed {part.seed}" if plan.n_pairs > 1 else ""
        show.say(f"{number} of {len(plan.parts)}: {part.title}{seed}", "bold")
        with show.preparing("loading PyTorch and the images"):
            from evoae_cli.baseline.studies import open_part

            study = open_part(
                *(folder, plan, part),
                warn=show.warn,
                make_engine=place.make_engine(has_more=number < due[-1][0]),
                is_retrying=is_retrying,
                changes=changes,
            )
        stopped_by = _run_part(study, show)
        if stopped_by is not None:
            return stopped_by
    return None


def _pages(folder: Path, plan: Plan, show: Show) -> None:
    """Write the page of the comparison, and anew that of the search, which now has its rows."""
    from evoae_cli.page.write import renew_page

    for place in (folder, *([] if plan.against is None else [Path(plan.against)])):
        if (page := renew_page(place, show.warn)) is not None:
            show.say(f"report: {page}")


def _interrupted(signum: int, folder: Path, show: Show) -> int:
    resume = command_line("evoae", "resume", folder)
    show.say(f"interrupted; all finished evaluations are stored. Continue with: {resume}")
    return exit_code(signum)


def _measure(folder: Path, plan: Plan, show: Show, changes: Mapping[str, Any]) -> int | None:
    """Measure what there is besides; the signal that stopped it, or None."""
    with show.preparing("preparing to measure"):
        from evoae_cli.baseline.rivals import Measurements, StoppedMeasuringError

        measurements = Measurements(folder, plan, warn=show.warn, changes=changes)
        due = measurements.due
    if not due:
        return None
    with interruptible(measurements.stop, measurements.stop) as interruption, measurements:
        for number, name in enumerate(due, start=1):
            with show.preparing(f"measuring {name}, {number} of {len(due)}"):
                try:
                    measurements.measure(name)
                except StoppedMeasuringError:
                    return interruption.signum or signal.SIGINT
    return None


def say_baseline(folder: Path, *, is_json: bool) -> None:
    """Print what the comparison in `folder` has come to."""
    found = baseline_summary(folder)
    text = json.dumps(found.as_json()) if is_json else "\n".join(baseline_lines(found, folder, result_width()))
    sys.stdout.write(text + "\n")


def _run_part(study: "Study", show: Show) -> int | None:
    """Run one study to its end; the signal that stopped it, or None."""
    with interruptible(study.request_stop, study.kill) as interruption:
        result = shown(study, show)
    return (interruption.signum or signal.SIGINT) if result.state == "interrupted" else None
