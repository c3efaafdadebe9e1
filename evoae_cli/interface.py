"""The Python interface: what the commands do, as functions."""

import inspect
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evoae_cli.applying.delivery import check_new_output, delivery
from evoae_cli.baseline.begin import BASELINE_SETTINGS, CHANGES
from evoae_cli.baseline.course import Attendant, run_comparison
from evoae_cli.engine.choice import chosen_engine
from evoae_cli.engine.wishes import Wishes
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.checks import parse_duration
from evoae_cli.study.locate import find_study, new_study_folder
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settings import OF_TRAINING, SEARCH_SETTINGS, field_type
from evoae_cli.study.trainsettings import TRAIN_SETTINGS, refuse_limit, resolve_training

if TYPE_CHECKING:
    from evoae_cli.baseline.summary import BaselineSummary
    from evoae_cli.engine.terms import MakeEngine
    from evoae_cli.phenotype.autoencoder import Autoencoder
    from evoae_cli.study.study import Study, StudyResult


def search(
    objective: Objective = "denoise",
    *,
    study: str | Path | None = None,
    progress: bool = True,
    time_limit: str | None = None,
    force: bool = False,
    engine: str = "local",
    ray_address: str | None = None,
    cpus_per_task: float | None = None,
    gpus_per_task: float | None = None,
    **settings: Any,
) -> "StudyResult":
    """Run a whole study: evolve, train the finalists, read test once.

    Args:
        objective: `denoise` or `manifold`.
        study: name or folder of the study; by default `runs/<objective>-<date>-<time>`.
        progress: whether tqdm shows progress.
        time_limit: how long it may take in all, finalists included, as `30m` or `1.5h`; by default without limit.
        force: whether what is in the folder `output` may be overwritten.
        engine: what runs the evaluations: `local`, workers of this host, `ray`, a Ray cluster, or `module:attribute`.
        ray_address: of the cluster, as `auto` or `HOST:6379`; by default a Ray of its own on this machine.
        cpus_per_task: CPUs that Ray sets aside for each evaluation; by default as many as its threads.
        gpus_per_task: GPUs that Ray sets aside for each evaluation, as 0.5; by default 1 where the cluster has any.
        settings: any setting of `StudyConfig`, by its name; what is not given comes from the preset.

    Works from a script without a main guard, a notebook or standard input: workers never import the caller's module.

    Raises:
        UsageError: a setting, the images or the study cannot be used as asked; one line says why.
        EvoaeError: the study cannot go on.
    """
    from evoae_cli.study.study import Study

    if named := [name for name in OF_TRAINING if settings.get(name) is not None]:
        raise UsageError(f"{named[0]} is for training, not for searching; use evoae_cli.train(...)")
    config = resolve(objective, settings)
    limit_s = _limit_s(time_limit)
    wishes = Wishes(lambda: config.device, ray_address, cpus_per_task, gpus_per_task)
    make_engine = chosen_engine(engine, wishes).make_engine
    delivery(config, is_forced=force)
    folder = new_study_folder(None if study is None else str(study), objective)
    opened = Study.create(config, folder, warn=_warn, make_engine=make_engine)
    return _whole(opened, progress, limit_s, is_forced=force)


def train(
    objective: Objective | None = None,
    *,
    genotype: str | None = None,
    from_model: str | Path | None = None,
    study: str | Path | None = None,
    progress: bool = True,
    force: bool = False,
    **settings: Any,
) -> "StudyResult":
    """Train one architecture, without a search, and deliver it as a study of its own.

    Args:
        objective: `denoise` or `manifold`; by default that of `from_model`, else `denoise`.
        genotype: the architecture to train from scratch, as `5x5conv2d:16,3x3conv2d:32`.
        from_model: instead, name or folder of a study whose best model is trained further, with its settings.
        study: name or folder of the new study; by default `runs/<objective>-<date>-<time>`.
        progress: whether tqdm shows progress.
        force: whether what is in the folder `output` may be overwritten.
        settings: any setting of `StudyConfig` that does not concern a search, by its name; `epochs` are those of the
            training, by default as many as a finalist has.

    Raises what `search` raises.
    """
    from evoae_cli.study.study import Study

    start = None if from_model is None else str(from_model)
    config = resolve_training(
        "denoise" if objective is None and start is None else objective, settings, genotype=genotype, start=start
    )
    delivery(config, is_forced=force)
    folder = new_study_folder(None if study is None else str(study), config.objective)
    opened = Study.create(config, folder, warn=_warn)
    return _whole(opened, progress, None, is_forced=force)


def resume(
    study: str | Path | None = None,
    *,
    progress: bool = True,
    time_limit: str | None = None,
    retry_failed: bool = False,
    force: bool = False,
    engine: str = "local",
    ray_address: str | None = None,
    cpus_per_task: float | None = None,
    gpus_per_task: float | None = None,
    **changes: Any,
) -> "StudyResult":
    """Continue a study to its end. Without a name, the newest.

    Args:
        study: name or folder of the study.
        progress: whether tqdm shows progress.
        time_limit: how much longer it may take, as `30m` or `1.5h`; by default without limit.
        retry_failed: whether evaluations that ended as `crashed`, `timeout` or `oom` are tried again.
        force: whether what is in the folder `output` is made anew; it is kept otherwise.
        engine, ray_address, cpus_per_task, gpus_per_task: as for `search`; it may be another engine than before.
        changes: `generations`, `workers`, `device`, `timeout` or `output`.

    Raises what `search` raises.
    """
    from evoae_cli.study.study import Study
    from evoae_cli.study.summary import summary

    limit_s = _limit_s(time_limit)
    folder, _ = find_study(None if study is None else str(study))
    refuse_limit(folder, limit_s)
    if changes.get("output") is not None:
        check_new_output(folder, changes["output"])
    wishes = Wishes(
        lambda: changes.get("device") or summary(folder)["settings"].get("device"),
        *(ray_address, cpus_per_task, gpus_per_task),
    )
    make_engine = chosen_engine(engine, wishes).make_engine
    opened = Study.open(folder, warn=_warn, is_retrying=retry_failed, make_engine=make_engine, **changes)
    return _whole(opened, progress, limit_s, is_forced=force, is_resumed=True)


def random_baseline(
    objective: Objective | None = None,
    *,
    against: str | Path | None = None,
    samples: int | None = None,
    protocols: Sequence[str] | None = None,
    seeds: int | None = None,
    references: Sequence[str] | None = None,
    study: str | Path | None = None,
    progress: bool = True,
    engine: str = "local",
    ray_address: str | None = None,
    cpus_per_task: float | None = None,
    gpus_per_task: float | None = None,
    **settings: Any,
) -> "BaselineSummary":
    """Train random architectures, and compare a search with them.

    Args:
        objective: `denoise` or `manifold`; by default that of `against`.
        against: name or folder of a search that has ended, whose settings chance then gets.
        samples: architectures of the paper's protocol; by default 30.
        protocols: some of `paper`, `uniform`, `lengths` and `one-layer`; by default all with `against`, else `paper`.
        seeds: how many pairs of a search and its fair comparisons there are; by default 1.
        references: hand-made networks to train as long as the finalist was: some of `dncnn` and `unet`.
        study: name or folder of the comparison, or of one that was stopped, which goes on then, with other `workers`,
            `device` or `timeout` where given.
        progress: whether tqdm shows progress.
        engine, ray_address, cpus_per_task, gpus_per_task: as for `search`.
        settings: any setting of `StudyConfig` that does not concern evolution, by its name.

    A study of it that is stopped ends it, with what was found until then. Raises what `search` raises;
    KeyboardInterrupt leaves what was found in the folder.
    """
    from evoae_cli.baseline.begin import abandon, begin, new_plan, same_plan
    from evoae_cli.baseline.plan import named_baseline
    from evoae_cli.baseline.summary import baseline_summary
    from evoae_cli.page.write import renew_pages

    name = None if study is None else str(study)
    folder = named_baseline(name)
    given = {
        "objective": objective,
        "against": None if against is None or folder is None else str(find_study(str(against))[0].absolute()),
        "n_samples": samples,
        "protocols": protocols,
        "n_pairs": seeds,
        "references": references,
    }
    plan = (
        same_plan(folder, given, settings)
        if folder is not None
        else new_plan(
            objective,
            settings,
            against=None if against is None else str(against),
            n_samples=samples,
            protocols=protocols,
            n_pairs=seeds,
            references=references,
        )
    )
    is_new = folder is None
    changes = {} if is_new else {name: value for name in CHANGES if (value := settings.get(name)) is not None}
    wishes = Wishes(
        lambda: changes.get("device") or plan.settings.get("device"), *(ray_address, cpus_per_task, gpus_per_task)
    )
    make_engine = chosen_engine(engine, wishes).make_engine
    if folder is None:
        folder = begin(plan, name)
    try:
        is_whole = run_comparison(folder, plan, _Caller(make_engine, progress), changes=changes)
    finally:
        if is_new:
            abandon(folder)
    if is_whole:
        renew_pages(folder, _warn)
    return baseline_summary(folder)


def report(study: str | Path | Sequence[str | Path] | None = None, *, out: str | Path | None = None) -> Path:
    """Write a study as one HTML page that needs nothing else, and return where it is.

    Args:
        study: name or folder of a study, or of a comparison by `random_baseline`; several stand beside each other. By
            default the newest study.
        out: the file, ending in `.html`, which may exist; by default `report.html` in the study's folder. Needed for
            several studies.

    Raises:
        UsageError: there is no such study, or the file cannot be written there; one line says why.
        EvoaeError: the disk is full.
    """
    from evoae_cli.page.write import found_studies, target_for, write_page

    named = [] if study is None else [study] if isinstance(study, str | Path) else study
    if not isinstance(named, Sequence) or (study is not None and not named):
        raise UsageError(f"study {study!r} names none; give a name, a folder, or a list of these")
    folders, _ = found_studies([str(name) for name in named])
    target = target_for(folders, None if out is None else Path(out), is_forced=True)
    return write_page(folders, target).path


def load(model: str | Path) -> "Autoencoder":
    """The trained network of a study, its `best/`, or a folder with a model: a torch module in evaluation mode.

    It takes images [n, channels, height, width] on [-1, 1]. `network.metadata` holds what `model.json` says.

    Raises StudyError if there is no model.
    """
    from evoae_cli.study.model import load_model

    loaded = load_model(model)
    loaded.network.metadata = loaded.metadata
    return loaded.network


def _limit_s(time_limit: str | None) -> float | None:
    return None if time_limit is None else parse_duration("time_limit", time_limit)


class _Caller(Attendant):
    """A function of this module."""

    def __init__(self, make_engine: "MakeEngine", progress: bool) -> None:
        self._make_engine = make_engine
        self._progress = progress

    def make_engine(self, *, has_more: bool) -> "MakeEngine":
        return self._make_engine

    def run(self, study: "Study") -> "StudyResult":
        return _run(study, self._progress, None)

    def warn(self, text: str) -> None:
        _warn(text)


def _run(study: "Study", progress: bool, limit_s: float | None) -> "StudyResult":
    from tqdm.auto import tqdm

    bar = tqdm(total=None, desc=study.folder.name, unit="evaluation", disable=not progress)

    def listen(event: Any) -> None:
        snapshot = study.snapshot()
        bar.total = snapshot.n_expected
        bar.n = snapshot.n_done
        if snapshot.best_db is not None:
            bar.set_postfix_str(f"best {snapshot.best_db:.2f} dB", refresh=False)
        bar.refresh()
        if event.kind == "warning":
            _warn(event.line)

    with bar:
        result = study.run(listen, limit_s=limit_s)
        if result.state in ("done", "exhausted", "time-up"):
            # What was expected was an estimate, and scoring on test comes after the last event.
            bar.total = bar.n
            bar.refresh()
    return result


def _whole(
    study: "Study", progress: bool, limit_s: float | None, *, is_forced: bool, is_resumed: bool = False
) -> "StudyResult":
    """Run a study that is no part of another; write its page; clean the images of its `output`."""
    from evoae_cli.page.write import page_of_failure, renew_page

    with page_of_failure(study.folder, _warn):
        result = _run(study, progress, limit_s)
    if result.state == "interrupted":
        return result
    renew_page(result.folder, _warn)
    config = study.config
    if config.output is None or result.model is None:
        return result
    from evoae_cli.applying.batch import Work, run_jobs
    from evoae_cli.study.model import load_model

    jobs = delivery(config, is_forced=is_forced, is_resumed=is_resumed)
    for done in run_jobs(Work(load_model(result.model)), jobs, config.device):
        for line in (str(done.failure or ""), done.warning, done.noise_warning):
            if line:
                _warn(line)
    return result


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def _signature(function: Callable[..., Any], names: Sequence[str]) -> inspect.Signature:
    """The signature with the settings of these names, for `help()` and completion."""
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    settings = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=field_type(name))
        for name in names
    ]
    return inspect.Signature([*own, *settings])


random_baseline.__signature__ = _signature(  # type: ignore[attr-defined]  # as below
    random_baseline, BASELINE_SETTINGS
)
train.__signature__ = _signature(train, TRAIN_SETTINGS)  # type: ignore[attr-defined]  # as below
search.__signature__ = _signature(search, SEARCH_SETTINGS)  # type: ignore[attr-defined]  # functions take it, their type does not say so
