"""From a preset and what is given to all settings of a study: later words replace earlier ones, rivals each other."""

import difflib
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.checks import check_together, option_name, refusal
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.presets import Preset, default_space, preset_settings
from evoae_cli.study.settings import field_names, field_type

_RIVALS_OF_PAIRS = ("data", "noise", "sigma2", "noisy_only")
"""Settings that say where images or noise come from, as pairs do."""

_PATHS = ("data", "pairs", "output", "data_root")

EARLIER: Mapping[str, Any] = {"space": "paper", "colours": "off", "clip_gradients": False}
"""What studies did that are older than these settings, and so do not name them."""


def resolve(objective: Objective, *layers: Mapping[str, Any]) -> StudyConfig:
    """Settings of a study: the preset's, overridden by each of `layers` in turn (a file's keys, then options).

    A value of None in a layer means "not given". Raises UsageError, naming the value and the remedy, for an unknown
    key, a value out of bounds, or values that contradict each other.
    """
    given: dict[str, Any] = {"objective": objective}
    for layer in layers:
        # The later word replaces the earlier one: pairs what else brings images or noise, other images the pairs.
        for name in _RIVALS_OF_PAIRS if layer.get("pairs") is not None else ("pairs",) if layer.get("data") else ():
            given.pop(name, None)
        # A study stores `auto` as it was resolved, and its colours cannot vary where the noise is the images' own.
        if (layer.get("pairs") is not None or layer.get("noisy_only")) and given.get("colours") == "on":
            del given["colours"]
        for key, value in layer.items():
            if key not in field_names():
                raise UsageError(f"unknown setting {key!r}{_nearest(key, field_names())}")
            if key == "objective" and value not in (None, objective):
                raise UsageError(f"the settings are for {value!r}, not for {objective}; give one objective")
            if value is not None:
                given[key] = _without_paths(value)
                _check_text(key, given[key])
        stated = {key for key in ("noise", "sigma2") if layer.get(key) is not None}
        if len(stated) == 2:
            raise UsageError(
                f"noise is given twice, as --noise {layer['noise']} and --sigma2 {layer['sigma2']}; give one of them"
            )
        if layer.get("noisy_only") and stated:
            raise UsageError(
                f"--noisy-only adds no noise to the images; leave out --{stated.pop()}, or --noisy-only where the "
                "images are clean"
            )
        # The later word replaces the earlier one, whichever spelling each used.
        if stated:
            given.pop(({"noise", "sigma2"} - stated).pop(), None)
            given.pop("noisy_only", None)
        elif layer.get("noisy_only"):
            given.pop("noise", None)
            given.pop("sigma2", None)
    preset: Preset = _checked("preset", given.get("preset", "quick"))
    space = _checked("space", given.get("space", default_space(preset)))
    base = preset_settings(preset, _checked("objective", objective), space, given.get("noisy_only") is True)
    if "noise" in given:
        base["sigma2"] = None
    if "pairs" in given:
        if rivals := [name for name in _RIVALS_OF_PAIRS if given.get(name) not in (None, False)]:
            given_too = f"{option_name(rivals[0])} {given[rivals[0]]}".removesuffix(" True")
            raise UsageError(f"--pairs brings its own images and its own noise; leave out {given_too}, or --pairs")
        base |= {"data": None, "sigma2": None}
    values = {"preset": preset} | base | given
    if "crop" not in given:
        # The reductions must divide it, and images said to hold patches of this size need not hold larger crops.
        step = 2 ** _checked("reductions", values["reductions"])
        values["crop"] = min(-(-values["crop"] // step) * step, _checked("patch", values["patch"]))
    config = StudyConfig(**{name: _checked(name, values[name]) for name in field_names()})
    check_together(config)
    return config


def _without_paths(value: Any) -> Any:
    """`value` with the text of what is a path, as Python's callers may give it."""
    if isinstance(value, list | tuple):
        return type(value)(map(_without_paths, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _check_text(name: str, value: Any) -> None:
    """Raise UsageError for a name that is no UTF-8: a file's may be anything, but study.toml cannot hold it."""
    for text in value if isinstance(value, list | tuple) else (value,):
        if not isinstance(text, str):
            continue
        # What is relative is stored with the current folder before it.
        whole = os.path.abspath(text) if name in _PATHS and (name == "output" or os.path.isdir(text)) else text
        try:
            whole.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{option_name(name)} {whole!r} is no UTF-8; rename it, or give a link to it") from None


def _checked(name: str, value: Any) -> Any:
    try:
        return msgspec.convert(value, field_type(name), strict=True)
    except msgspec.ValidationError as error:
        raise refusal(name, value, str(error), field_type(name)) from None


def _nearest(name: str, known: tuple[str, ...]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else f"; known settings: {', '.join(known)}"
