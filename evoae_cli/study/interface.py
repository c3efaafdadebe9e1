"""The Python interface: what the commands do, as functions."""

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.checks import parse_duration
from evoae_cli.study.config import field_names, field_type, resolve
from evoae_cli.study.locate import find_study, new_study_folder

if TYPE_CHECKING:
    from evoae_cli.phenotype.autoencoder import Autoencoder
    from evoae_cli.study.study import Study, StudyResult


def search(
    objective: Objective = "denoise",
    *,
    study: str | Path | None = None,
    progress: bool = True,
    time_limit: str | None = None,
    **settings: Any,
) -> "StudyResult":
    """Run a whole study: evolve, train the finalists, read test once.

    Args:
        objective: `denoise` or `manifold`.
        study: name or folder of the study; by default `runs/<objective>-<date>-<time>`.
        progress: whether tqdm shows progress.
        time_limit: how long it may take in all, finalists included, as `30m` or `1.5h`; by default without limit.
        settings: any setting of `StudyConfig`, by its name; what is not given comes from the preset.

    Works from a script without a main guard, a notebook or standard input: workers never import the caller's module.

    Raises:
        UsageError: a setting, the images or the study cannot be used as asked; one line says why.
        EvoaeError: the study cannot go on.
    """
    from evoae_cli.study.study import Study

    config = resolve(objective, settings)
    limit_s = _limit_s(time_limit)
    folder = new_study_folder(None if study is None else str(study), objective)
    return _run(Study.create(config, folder, warn=_warn), progress, limit_s)


def resume(
    study: str | Path | None = None,
    *,
    progress: bool = True,
    time_limit: str | None = None,
    retry_failed: bool = False,
    **changes: Any,
) -> "StudyResult":
    """Continue a study to its end. Without a name, the newest.

    Args:
        study: name or folder of the study.
        progress: whether tqdm shows progress.
        time_limit: how much longer it may take, as `30m` or `1.5h`; by default without limit.
        retry_failed: whether evaluations that ended as `crashed`, `timeout` or `oom` are tried again.
        changes: `generations`, `workers`, `device` or `timeout`.

    Raises what `search` raises.
    """
    from evoae_cli.study.study import Study

    limit_s = _limit_s(time_limit)
    folder, _ = find_study(None if study is None else str(study))
    return _run(Study.open(folder, warn=_warn, is_retrying=retry_failed, **changes), progress, limit_s)


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


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature with every setting by name, for `help()` and completion."""
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    settings = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=field_type(name))
        for name in field_names()
        if name != "objective"
    ]
    return inspect.Signature([*own, *settings])


search.__signature__ = _signature(search)  # type: ignore[attr-defined]  # functions take it, their type does not say so
