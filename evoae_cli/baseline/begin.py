"""A new comparison: from what a person asks for to a plan on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, get_args

import msgspec

from evoae_cli.baseline.plan import PLAN, Plan, is_baseline, named_baseline, read_plan, write_plan
from evoae_cli.baseline.protocols import FAIR, HAND_MADE, MOST_LAYERS, MOST_SAMPLES, N_SAMPLES, PROTOCOLS, Protocol
from evoae_cli.baseline.spent import spent_of
from evoae_cli.errors import EvoaeError, StudyError, UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.checks import one_of, option_name
from evoae_cli.study.fullnames import with_full_names
from evoae_cli.study.locate import find_study, new_study_folder, study_path
from evoae_cli.study.lock import LOCK, lock_holder
from evoae_cli.study.resolve import EARLIER, resolve
from evoae_cli.study.settings import CHANGEABLE, SEARCH_SETTINGS
from evoae_cli.study.store import Store

_OF_EVOLUTION = (
    *("population", "generations", "mode", "keep_duplicates", "objectives", "start_from", "epochs", "finalists"),
    "output",
)
BASELINE_SETTINGS = tuple(name for name in SEARCH_SETTINGS if name not in _OF_EVOLUTION)
"""What may be set for random architectures: all but what concerns evolution."""
CHANGES = tuple(name for name in CHANGEABLE if name in BASELINE_SETTINGS)
"""What of these may be another each time that a comparison is gone on with."""
_OF_MACHINE = ("workers", "device", "timeout", "heartbeat_interval_s", "heartbeat_timeout_s", "start_timeout_s")
"""What may be set beside a search that all other settings come from: none of it changes a result."""
_MOST_SEEDS = 100


def new_plan(
    objective: str | None,
    settings: Mapping[str, Any],
    *,
    against: str | None,
    n_samples: int | None,
    protocols: Sequence[str] | None,
    n_pairs: int | None,
    references: Sequence[str] | None = None,
) -> Plan:
    """A comparison as it was asked for. Raises UsageError or StudyError in one line."""
    if objective is not None and objective not in get_args(Objective):
        raise UsageError(f"{objective!r} is nothing to search for; choose denoise or manifold")
    given = {name: value for name, value in settings.items() if value is not None}
    for name in given:
        if name in _OF_EVOLUTION:
            raise UsageError(
                f"{option_name(name)} concerns evolution, and random architectures have none; leave it out"
            )
    if against is None:
        if objective is None:
            raise UsageError("say for what: evoae random-baseline denoise, or manifold; or give --against STUDY")
        # The paper's random modules are longer than those that a quick search begins with.
        config = with_full_names(resolve(cast(Objective, objective), {"max_layers": MOST_LAYERS}, given))
        folder = None
    else:
        folder, config = _compared(against, objective, given)
    chosen = _protocols(protocols, folder)
    if n_samples is not None and "paper" not in chosen:
        raise UsageError(f"--samples {n_samples} is for --protocols paper, which is not among them; leave it out")
    return Plan(
        objective=config.objective,
        settings=msgspec.to_builtins(config),
        protocols=chosen,
        n_samples=_number("--samples", n_samples, N_SAMPLES, 2, MOST_SAMPLES),
        against=None if folder is None else str(folder.absolute()),
        n_pairs=_pairs(n_pairs, folder, chosen),
        references=_references(references, config.objective),
    )


def same_plan(folder: Path, given: Mapping[str, Any], settings: Mapping[str, Any] = MappingProxyType({})) -> Plan:
    """The plan of the comparison in `folder`, which is gone on with.

    Raises UsageError where what was given for it this time, or one of its `settings`, by name, is not what it has,
    save `CHANGES`; None: nothing was given.
    """
    plan = read_plan(folder)
    search = None if plan.against is None else Path(plan.against)
    asked: dict[str, tuple[str, object]] = {
        "objective": ("objective", given.get("objective")),
        "against": ("--against", given.get("against")),
        "n_samples": ("--samples", _number("--samples", given.get("n_samples"), 0, 2, MOST_SAMPLES)),
        "protocols": ("--protocols", _protocols(given.get("protocols"), search)),
        "n_pairs": ("--seeds", _number("--seeds", given.get("n_pairs"), 0, 1, _MOST_SEEDS)),
        "references": ("--references", _references(given.get("references"), plan.objective)),
    }
    for name, (option, value) in asked.items():
        there = getattr(plan, name)
        if given.get(name) is not None and value != there:
            raise _another(folder, option, there, value)
    resolved = msgspec.to_builtins(with_full_names(resolve(plan.objective, EARLIER, plan.settings, settings)))
    for name, value in settings.items():
        # A value may be spelt in several ways; its resolved form has one.
        if value is not None and name not in CHANGES and resolved[name] != plan.settings[name]:
            raise _another(folder, option_name(name), plan.settings[name], value)
    return plan


def _another(folder: Path, option: str, there: object, value: object) -> UsageError:
    return UsageError(f"{folder} is a comparison with {option} {_told(there)}, not {_told(value)}; name another study")


def _told(value: object) -> str:
    """A value as one gives it to an option."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def begin(plan: Plan, name: str | None) -> Path:
    """The folder of a new comparison, with its plan in it. Raises StudyError or EvoaeError where it cannot be."""
    if name is not None and is_baseline(there := study_path(name)):
        raise StudyError(f"{there} holds a comparison; continue it: evoae resume {there}, or choose another --study")
    folder = new_study_folder(name, "random-baseline")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_plan(folder, plan)
    except OSError as error:
        raise EvoaeError(f"cannot write to {folder}: {error.strerror}; make room or choose another --study") from error
    return folder


def abandon(folder: Path) -> None:
    """Remove a comparison in which nothing has begun; leave any other, and one that a process is at, as it is."""
    if lock_holder(folder) is None and {path.name for path in folder.iterdir()} <= {PLAN, LOCK}:
        for name in (PLAN, LOCK):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _compared(name: str, objective: str | None, given: Mapping[str, Any]) -> tuple[Path, Any]:
    """The search that is compared with, and its settings."""
    for setting in given:
        if setting not in _OF_MACHINE:
            raise UsageError(f"{option_name(setting)} cannot be set with --against: it is the search's; leave it out")
    if (compared := named_baseline(name)) is not None:
        search = read_plan(compared).against
        remedy = "which has no search" if search is None else f"with {search}; name that"
        raise UsageError(f"--against {name} is a comparison, {remedy}")
    folder, _ = find_study(name)
    spent_of(folder)
    store = Store.read(folder)
    try:
        stored = store.meta("settings")
    finally:
        store.close()
    if objective is not None and stored["objective"] != objective:
        raise UsageError(f"--against {name} is for {stored['objective']}, not {objective}; leave {objective} out")
    return folder, resolve(stored["objective"], EARLIER, stored, given)


def _protocols(given: Sequence[str] | None, search: Path | None) -> tuple[Protocol, ...]:
    if given is None:
        return PROTOCOLS if search is not None else ("paper",)
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise UsageError(f"--protocols {given!r} are no names; use some of {', '.join(PROTOCOLS)}")
    for name in given:
        if name not in PROTOCOLS:
            raise UsageError(f"--protocols {name!r} is unknown; use {one_of(PROTOCOLS)}")
        if name in FAIR and search is None:
            raise UsageError(f"--protocols {name} needs a search to be fair to; give --against STUDY")
    return tuple(name for name in PROTOCOLS if name in given)


def _pairs(given: int | None, search: Path | None, protocols: Sequence[Protocol]) -> int:
    n_pairs = _number("--seeds", given, 1, 1, _MOST_SEEDS)
    if n_pairs > 1 and search is None:
        raise UsageError(f"--seeds {given} repeats a search and its comparisons; give --against STUDY")
    if n_pairs > 1 and not set(protocols) & set(FAIR):
        raise UsageError(
            f"--seeds {given} repeats a search and its fair comparisons, and --protocols {','.join(protocols)} has "
            f"none; add {one_of(FAIR)}, or leave --seeds out"
        )
    return n_pairs


def _references(given: Sequence[str] | None, objective: Objective) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence | None):
        raise UsageError(f"--references {given!r} are no names; use some of {', '.join(HAND_MADE)}")
    for name in given or ():
        if name not in HAND_MADE:
            raise UsageError(f"--references {name!r} is unknown; use {one_of(tuple(HAND_MADE))}")
        if objective != "denoise":
            raise UsageError(f"--references {name} is a denoiser, and this is for {objective}; leave it out")
    return tuple(name for name in HAND_MADE if name in (given or ()))


def _number(option: str, given: int | None, default: int, least: int, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int | None):
        raise UsageError(f"{option} {given!r} is no whole number; use {least} to {most}")
    if given is not None and not least <= given <= most:
        raise UsageError(f"{option} {given} is out of range; use {least} to {most}")
    return default if given is None else given
