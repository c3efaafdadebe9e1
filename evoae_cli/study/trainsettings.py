"""The settings of a training: of one architecture that is given, or of a study's best model that is trained further."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import msgspec

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.phenotype.layout import has_linear_code
from evoae_cli.study.architecture import read_architecture
from evoae_cli.study.checks import option_name, timeout_for
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.resolve import EARLIER, resolve
from evoae_cli.study.settings import OF_SEARCH, OF_TRAINING, field_names
from evoae_cli.study.store import Store
from evoae_cli.study.warmstart import find_start

TRAIN_SETTINGS = tuple(name for name in field_names() if name not in ("objective", *OF_TRAINING, *OF_SEARCH))
"""What may be set for a training, besides what is trained."""
_OF_START = ("space", "reductions", "code_ratio", "decoder", "preset", "seed")
"""What a start decides: its network, and the seed, on which depends which images it has never seen."""


def resolve_training(
    objective: str | None,
    given: Mapping[str, Any],
    *,
    genotype: str | None = None,
    start: str | None = None,
    file: Mapping[str, Any] | None = None,
) -> StudyConfig:
    """All settings of a training.

    `genotype` is what to train from scratch, `start` the study whose model is trained further; `given` are settings by
    name, and `file` those of a `study.toml`, of a search or of a training. Settings come from `given`, else from the
    start's study, else from the file, else from the preset. In what is returned `epochs` and `final_epochs` are both
    the epochs of the training.

    Raises UsageError in one line where not exactly one thing is to be trained, for settings that concern a search or
    that the start decides, and for all that `resolve` refuses; StudyError where the start cannot be used.
    """
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name == "final_epochs":
            raise UsageError("a training has one number of epochs; give --epochs instead of --final-epochs")
        if name in OF_SEARCH:
            raise UsageError(f"{option_name(name)} concerns a search; leave it out where one architecture is trained")
    if genotype is not None and start is not None:
        raise UsageError(f"--genotype {genotype} and --from {start} name two things to train; give one of them")
    stored = {name: value for name, value in (file or {}).items() if value is not None}
    if genotype is None and start is None and "genotype" not in stored:
        raise UsageError(
            "say what to train: --genotype 5x5conv2d:16,3x3conv2d:32 for an architecture from scratch, "
            "or --from STUDY for a study's best model"
        )
    if start is not None:
        return _further(objective, start, given, stored)
    chosen = _chosen_objective(objective, stored, "the file")
    was_training = "genotype" in stored
    base = {name: value for name, value in stored.items() if name not in OF_SEARCH}
    if not was_training:
        base.pop("epochs", None)
        base |= _as_finalist(stored, given)
    if genotype is not None:
        base.pop("from_model", None)
    text = genotype if genotype is not None else str(stored["genotype"])
    settings = resolve(chosen, base, given)
    if settings.from_model is None:
        read = read_architecture(text, settings.space, chosen, given.get("reductions"))
        text = read.text
        if read.reductions is not None and not has_linear_code(read, is_manifold=chosen == "manifold"):
            given["reductions"] = read.reductions
    return _with_epochs(resolve(chosen, base, given, {"genotype": text}), "epochs" in base or "epochs" in given)


def refuse_limit(folder: Path, limit_s: float | None) -> None:
    """Raise UsageError where a study that has a time limit is the training of one architecture, which has no search."""
    if limit_s is None:
        return
    store = Store.read(folder)
    try:
        settings = store.meta("settings") or {}
    finally:
        store.close()
    if settings.get("genotype") is not None:
        raise UsageError("--for bounds a search, and this study trains one architecture; leave it out")


def _further(objective: str | None, name: str, given: dict[str, Any], stored: Mapping[str, Any]) -> StudyConfig:
    """Settings of going on with the best model of study `name`."""
    if stored:
        raise UsageError("--from takes its settings from the study; leave out --config, and give options instead")
    for setting in (setting for setting in given if setting in _OF_START):
        why = "the images it has seen depend on the seed" if setting == "seed" else "it is the start's"
        raise UsageError(f"{option_name(setting)} cannot change with --from: {why}; leave it out")
    start = find_start(name)
    chosen = _chosen_objective(objective, {"objective": start.settings["objective"]}, f"--from {name}")
    kept = {
        key: value
        for key, value in start.settings.items()
        if key not in (*OF_SEARCH, *OF_TRAINING, "download", "output")
    }
    kept |= _as_finalist(start.settings, given)
    own = {"genotype": start.genotype, "from_model": str(start.folder.absolute())}
    return _with_epochs(resolve(chosen, EARLIER, kept, given, own), are_given=True)


def _as_finalist(search: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Epochs of a finalist of that search, and the time for those that are trained, as far as its settings say."""
    found = {"epochs": search["final_epochs"]} if "final_epochs" in search else {}
    epochs = given.get("epochs", found.get("epochs"))
    if epochs is not None and "timeout" in search and "epochs" in search:
        found["timeout"] = timeout_for(epochs, search)
    return found


def _chosen_objective(objective: str | None, stored: Mapping[str, Any], where: str) -> Objective:
    found = stored.get("objective", objective)
    if found is None:
        raise UsageError("say what to train for: evoae train denoise, or evoae train manifold; --help tells more")
    for name in (objective, found):
        if name is not None and name not in get_args(Objective):
            raise UsageError(f"{name!r} is nothing to train for; choose denoise or manifold")
    if objective is not None and found != objective:
        raise UsageError(f"{where} is for {found}, not {objective}; write: evoae train {found}")
    return cast(Objective, found)


def _with_epochs(config: StudyConfig, are_given: bool) -> StudyConfig:
    """With one number of epochs: those that were given, else those of a finalist in the preset."""
    n = config.epochs if are_given else config.final_epochs
    return msgspec.structs.replace(config, epochs=n, final_epochs=n)
