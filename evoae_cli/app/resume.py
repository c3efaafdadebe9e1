"""`evoae resume [STUDY]`: continue an interrupted study, or give a finished one more generations."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from evoae_cli.app.beforehand import check_readable
from evoae_cli.app.common import Debug, Json, MoreTime, Open, Quiet, StudyName, chosen_study, limit_seconds
from evoae_cli.app.comparing import run_baseline
from evoae_cli.app.console import stderr_console
from evoae_cli.app.delivering import Force, deliverer
from evoae_cli.app.engines import CpusPerTask, EngineName, GpusPerTask, Place, RayAddress, place_for
from evoae_cli.app.hosting import KeyFile, LinkTo, Listen, NameserverAt, opened, run_hosted
from evoae_cli.app.options import with_changes
from evoae_cli.app.running import Show, run_study
from evoae_cli.baseline.plan import named_baseline, read_plan
from evoae_cli.engine.choice import chosen_engine
from evoae_cli.engine.wishes import Wishes
from evoae_cli.errors import UsageError
from evoae_cli.study.checks import option_name
from evoae_cli.study.locate import find_study
from evoae_cli.study.resolve import resolve
from evoae_cli.study.summary import summary
from evoae_cli.study.trainsettings import refuse_limit


@with_changes
def resume(
    study: StudyName = None,
    time_limit: MoreTime = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", metavar="", help="Try again what ended as crashed, timeout or oom.")
    ] = False,
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
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Continue a study to the same end as if it had not been interrupted."""
    # What is wrong with the changes themselves is said before anything slow; which objective it is makes no difference.
    resolve("denoise", {name: value for name, value in settings.items() if name != "output"})
    limit_s = limit_seconds(time_limit)
    show = Show(stderr_console(), quiet, as_json)
    compared = named_baseline(study)
    wishes = Wishes(
        lambda: settings.get("device") or _device_of(compared, study), ray_address, cpus_per_task, gpus_per_task
    )
    choice = chosen_engine(engine, wishes)
    place = place_for(opened(listen, link, nameserver, key_file), engine, choice)
    if compared is not None:
        raise typer.Exit(_resume_baseline(compared, show, place, limit_s, retry_failed, settings))
    folder = chosen_study(study, show.console)
    check_readable(folder)
    refuse_limit(folder, limit_s)
    if "output" in settings:
        from evoae_cli.applying.delivery import check_new_output

        check_new_output(folder, settings["output"])
    with show.preparing(f"resuming {folder}"):
        from evoae_cli.study.study import Study

        made = place.make_engine()
        found = Study.open(folder, warn=show.warn, is_retrying=retry_failed, make_engine=made, **settings)
    deliver = deliverer(found.config, show, is_forced=force, is_resumed=True)
    run = partial(run_study, found, show, limit_s, deliver, is_opened=is_opened)
    raise typer.Exit(run_hosted(place.hosting, found.config, show, run))


def _device_of(compared: Path | None, study: str | None) -> str | None:
    """What the study, or the comparison, was begun with. Raises StudyError where there is none."""
    if compared is not None:
        found: str | None = read_plan(compared).settings.get("device")
    else:
        found = summary(find_study(study)[0])["settings"].get("device")
    return found


def _resume_baseline(
    folder: Path, show: Show, place: Place, limit_s: float | None, is_retrying: bool, changes: dict[str, Any]
) -> int:
    """Go on with a comparison, of which only how it runs can change."""
    for name in ("generations", "output"):
        if name in changes:
            raise UsageError(f"{option_name(name)}: {folder} is a comparison, which has none; leave it out")
    if limit_s is not None:
        raise UsageError(f"--for bounds a search, and {folder} is a comparison; leave it out")
    return run_baseline(folder, show, place, is_retrying=is_retrying, changes=changes)
