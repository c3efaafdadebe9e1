"""Real searches for a comparison: each a study in a folder, which is gone on with if it was interrupted."""

import contextlib
import sys
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evoae_cli.baseline.spent import ENDED
from evoae_cli.bench.report import tell
from evoae_cli.bench.results import plain
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.interface import resume, search
from evoae_cli.phenotype.autoencoder import Autoencoder
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.fullnames import full_name
from evoae_cli.study.locate import is_study
from evoae_cli.study.model import load_model
from evoae_cli.study.resolve import resolve
from evoae_cli.study.summary import delivered, summary

_PRESET_S = 300.0
"""The time that preset `quick` is made for."""
_ENDLESS = 100_000
"""Generations: more than any time allows, so that the time ends the search."""
_OWN = ("objective", "data", "pairs", "patch", "seed", "noise", "sigma2", "noisy_only", "space", "code_ratio")
"""Settings that a comparison makes itself."""


class Evolved(NamedTuple):
    """What a search found, and what that took."""

    network: Autoencoder
    genotype: str
    parameters: int
    code_values: int
    """In the code of one image of `patch` x `patch`."""
    search_s: float
    """Wall time of all but the delivered network's own training: candidates, and other finalists beside it."""
    train_s: float
    """Of the delivered network, on one core or one GPU."""


def parsed_settings(given: Iterable[str]) -> dict[str, Any]:
    """Settings from `KEY=VALUE`, each value as `study.toml` has it; a text needs no quotes.

    Raises UsageError for what has no `=`, and for settings that the comparison makes itself.
    """
    settings: dict[str, Any] = {}
    for text in given:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise UsageError(f"--config {text!r} is no setting; write it as epochs=4 or kernels=[3,5]")
        if key in _OWN:
            raise UsageError(f"--config {text!r}: {key} is the benchmark's own; see --help for what can be chosen")
        try:
            settings[key] = tomllib.loads(f"value = {value}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            settings[key] = value
    return settings


def timed_settings(objective: Objective, budget_s: float, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for a search of `budget_s`: `settings`, and what makes use of the time where they do not say.

    Preset `quick` is made for five minutes. Its finalists train longer in proportion to the time, its candidates with
    the square root of it: the rest of a longer search goes to more candidates.
    """
    preset = resolve(objective, settings)
    times = budget_s / _PRESET_S
    return {
        "generations": _ENDLESS,
        "epochs": max(1, round(preset.epochs * times**0.5)),
        "final_epochs": max(1, round(preset.final_epochs * times)),
        **settings,
    }


def evolved(objective: Objective, settings: dict[str, Any], folder: Path, budget_s: float) -> Evolved:
    """Search for `budget_s` in all, finalists included, or go on with what lies in `folder`, and load the model.

    A search that ended is only loaded. Raises UsageError where `folder` holds a study of other settings, EvoaeError if
    the search cannot go on.
    """
    found = searched(objective, settings, folder, budget_s)
    training = delivered(folder)
    return Evolved(
        network=load_model(folder).network,
        genotype=training.genotype,
        parameters=training.parameters,
        code_values=training.code_values,
        search_s=max(0.0, found["active_s"] - training.train_s),
        train_s=training.train_s,
    )


def searched(
    objective: Objective, settings: dict[str, Any], folder: Path, budget_s: float | None = None
) -> dict[str, Any]:
    """The summary of a search in `folder` that has ended, once it has; `budget_s` is its time, None without limit.

    Raises what `evolved` raises.
    """
    is_shown = sys.stderr.isatty()
    with told_warnings():
        if not is_study(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            search(objective, study=folder, progress=is_shown, time_limit=_text(budget_s), **settings)
        check_same(folder, resolve(objective, settings), settings)
        found = summary(folder)
        if found["state"] not in ENDED:
            # Finalists that were interrupted are trained again, whatever is left.
            left_s = None if budget_s is None else max(1.0, budget_s - found["active_s"])
            found = resume(folder, progress=is_shown, time_limit=_text(left_s)).summary
    if found["state"] not in ENDED:
        raise EvoaeError(f"the search in {folder} was stopped; run the benchmark again to go on with it")
    return found


@contextlib.contextmanager
def told_warnings() -> Iterator[None]:
    """Have warnings on standard error in one line each."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *others: tell(f"warning: {message}")
        yield


def _text(seconds: float | None) -> str | None:
    """As `--for` takes it."""
    return None if seconds is None else f"{seconds:.3f}s"


def check_same(folder: Path, config: StudyConfig, names: Iterable[str]) -> None:
    """Raise UsageError unless the study in `folder` has the settings of these names as `config` has them."""
    wanted = plain(msgspec.to_builtins(config))
    # The study knows its folder of images by its full path.
    wanted["data"] = full_name(wanted["data"])
    there = plain(summary(folder)["settings"])
    for key in names:
        if there.get(key) != wanted[key]:
            raise UsageError(
                f"{folder} holds a study with {key} {there.get(key)}, not {wanted[key]}; "
                "delete it, or give other --studies"
            )
