"""What a study was made with, and how to go on: settings, devices, versions, lines to copy. Pure."""

import shlex
from collections import Counter
from typing import Any

import msgspec

from evoae_cli.errors import EvoaeError
from evoae_cli.page.gather import Facts
from evoae_cli.page.wording import setting
from evoae_cli.study.locate import SETTINGS, shortest_name
from evoae_cli.study.presets import default_space, preset_settings
from evoae_cli.study.settings import OF_SEARCH, OF_TRAINING, field_meta, field_names


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One setting."""

    name: str
    value: str
    meaning: str
    is_own: bool
    """Whether it differs from the preset's."""
    preset: str
    """The preset's value."""


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of hardware and software, and how many evaluations it ran."""

    device: str
    precision: str
    torch: str
    n: int
    n_in_parts: int
    """Of them those whose batches fell into parts, as memory was short."""


class CopyLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line for a shell, or for Python."""

    what: str
    line: str


def settings_of(facts: Facts) -> tuple[SettingRow, ...]:
    """Every setting that means something for the study, in the order of the documentation."""
    given, presets = facts.settings, _presets(facts.settings)
    left_out = OF_SEARCH if facts.is_training else OF_TRAINING
    names = [name for name in field_names() if name in given and name not in left_out]
    # Those of another version come last, without a meaning.
    names += [name for name in given if name not in field_names()]
    rows = []
    for name in names:
        is_known = name in field_names()
        rows.append(
            SettingRow(
                name=name,
                value=setting(given[name]),
                meaning=(field_meta(name).description or "") if is_known else "",
                # What the preset leaves open was settled when the study began.
                is_own=presets.get(name, "auto") != "auto" and setting(presets[name]) != setting(given[name]),
                preset=setting(presets[name]) if name in presets else "",
            )
        )
    return tuple(rows)


def _presets(given: dict[str, Any]) -> dict[str, Any]:
    """The values that the study's preset has for what was not given; empty for one that this version does not know."""
    try:
        space = given.get("space") or default_space(given["preset"])
        return preset_settings(given["preset"], given["objective"], space, bool(given.get("noisy_only")))
    except (EvoaeError, KeyError):
        return {}


def devices_of(facts: Facts) -> tuple[DeviceRow, ...]:
    """What evaluations ran on, most of them first."""
    found = [record.evaluation for record in facts.runs if record.evaluation.device]
    kinds = Counter((one.device, one.dtype, one.torch) for one in found)
    parts = Counter((one.device, one.dtype, one.torch) for one in found if one.micro_batches > 1)
    return tuple(
        DeviceRow(device=kind[0], precision=kind[1], torch=kind[2], n=n, n_in_parts=parts[kind])
        for kind, n in kinds.most_common()
    )


def lines_of(facts: Facts) -> tuple[CopyLine, ...]:
    """How to load and use the model, and how to repeat the run or go on from it."""
    folder, objective = facts.folder, str(facts.about["objective"])
    name = shortest_name(folder)
    command = "train" if facts.is_training else "search"
    lines = loading_of(facts, "Load it in Python")
    if facts.model is not None:
        if objective == "denoise":
            lines.append(_shell("Clean images", "denoise", name, "noisy.png", "-o", "clean.png"))
        else:
            lines.append(_shell("Write codes of images", "encode", name, "photos/", "-o", "codes.npz"))
        lines.append(_shell("Give it to other programs", "export", name, "--onnx", "model.onnx"))
    lines.append(_shell("Repeat the run", command, objective, "--config", str(folder / SETTINGS)))
    if not facts.is_random:
        # What was drawn at random would be the same.
        repeat = ("--config", str(folder / SETTINGS), "--seed", _other(facts))
        lines.append(_shell("Repeat it with other luck", command, objective, *repeat))
    if facts.is_ended:
        lines.append(_shell("Train the model further", "train", objective, "--from", name, "--epochs", "200"))
        if facts.comparison is None and facts.part is None and not facts.is_training:
            lines.append(CopyLine(what="Compare it with chance, and add that to this page", line=chance_line(facts)))
    elif facts.about["state"] == "running":
        lines.append(_shell("Watch it", "show", name, "--watch"))
    elif facts.about["state"] == "failed":
        lines.append(_shell("Try again what failed", "resume", name, "--retry-failed"))
    else:
        lines.append(_shell("Go on with it", "resume", name))
    lines.append(_shell("Renew this page", "report", name))
    return tuple(lines)


def chance_line(facts: Facts) -> str:
    """How the study gets compared with random search."""
    return _shell("", "random-baseline", "--against", shortest_name(facts.folder)).line


def loading_of(facts: Facts, what: str) -> list[CopyLine]:
    """How to load the model; nothing where there is none."""
    if facts.model is None:
        return []
    line = f"from evoae_cli import load\nnetwork = load({shortest_name(facts.folder)!r})"
    return [CopyLine(what=what, line=line)]


def _other(facts: Facts) -> str:
    return str(facts.about["seed"] + 1)


def _shell(what: str, *words: str) -> CopyLine:
    return CopyLine(what=what, line=shlex.join(["evoae", *words]))
