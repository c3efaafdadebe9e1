"""What settings must be, and the one line that says so where they are not: by themselves, and together."""

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, get_args

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.noise import MAX_GAUSSIAN
from evoae_cli.genome.layers import MAX_FILTERS
from evoae_cli.genome.spaces import named_space
from evoae_cli.strategy.population import OBJECTIVES
from evoae_cli.study.presets import preset_settings

if TYPE_CHECKING:
    from evoae_cli.study.config import StudyConfig

_CLEAN = ("photographs", "stl10", "cifar10")
MAX_KERNEL = 31
"""Largest kernel to search with: larger ones see beyond the crops, and take minutes for what others do in seconds."""


def option_name(name: str) -> str:
    """`code_ratio` -> `--code-ratio`; the objective is an argument, so it keeps its name."""
    return name if name == "objective" else "--" + name.replace("_", "-")


def parse_fraction(name: str, text: str) -> Fraction:
    """`1/3` or `0.25` as an exact, positive fraction. Raises UsageError that names the setting."""
    option, example = option_name(name), "1/4, 1/8 or paper" if name == "code_ratio" else "1/3 or 0.25"
    try:
        # An exponent or endless digits would make a number that no float holds, or that takes minutes to make.
        value = Fraction(text) if re.fullmatch(r"[-+0-9./ ]{1,20}", text) else None
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None:
        raise UsageError(f"{option} {text!r} is no number; write it as {example}")
    if value <= 0:
        raise UsageError(f"{option} {text!r} must be above 0; write it as {example}")
    return value


_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_DURATION_S = 366 * 86_400


def parse_duration(name: str, text: str) -> float:
    """`90s`, `30m`, `1.5h` or `1h30m` in seconds. Raises UsageError that names the setting."""
    parts = re.findall(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", text) if isinstance(text, str) else []
    if not parts or "".join(map("".join, parts)) != text:
        raise UsageError(f"{option_name(name)} {text!r} is no time; write it as 90s, 30m or 1.5h")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if not 0 < seconds <= _MAX_DURATION_S:
        raise UsageError(f"{option_name(name)} {text} is out of range; use above 0s, and at most 366d")
    return seconds


def parse_limit(name: str, text: str) -> float | None:
    """A time as `parse_duration` reads it, or None for `none`. Raises UsageError that names the setting."""
    return None if text == "none" else parse_duration(name, text)


def timeout_for(epochs: int, settings: Mapping[str, Any]) -> str:
    """The `timeout` of candidates that are trained for `epochs`, where those of `settings` are for its own `epochs`.

    A longer training has as much longer, as a finalist has; a shorter one has no less.
    """
    text: str = settings["timeout"]
    limit_s = parse_limit("timeout", text)
    if limit_s is None or epochs <= settings["epochs"]:
        return text
    return f"{min(limit_s * epochs / settings['epochs'], _MAX_DURATION_S):.3f}s"


def refusal(name: str, value: Any, error: str, kind: Any) -> UsageError:
    """Say in a person's words what msgspec says in its own, as "Expected `int` >= 1" or "Invalid enum value 'fast'"."""
    return UsageError(f"{option_name(name)} {_shown(value)} {_reason(name, value, error, kind)}")


def one_of(choices: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}
_LISTS = {
    "kernels": "[1, 3]",
    "filters": "[8, 16]",
    "range": "[0, 255]",
    "pairs": '["noisy", "clean"]',
    "objectives": '["fitness", "parameters"]',
    "start_from": '["3x3conv2d:16"]',
}


def _shown(value: Any) -> str:
    """A value as it was typed: `0`, not `0.0`."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else repr(value)


def _reason(name: str, value: Any, error: str, kind: Any) -> str:
    if "enum" in error:
        return f"is unknown; use {one_of(get_args(get_args(kind)[0]))}"
    if "`str" in error and "of length" in error:
        return "is empty"
    if length := re.search(r"of length (?:>= )?([0-9]+)", error):
        return f"must have {'at least ' if '>=' in error else ''}{length[1]} value{'s' * (length[1] != '1')}"
    if bound := re.search(r"`(?: \| null)? (>=|<=|>|<) (\S+)", error):
        return f"must be {_BOUNDS[bound[1]]} {bound[2].removesuffix('.0')}"
    expected = re.search(r"Expected `(\w+)", error)
    if expected is None:
        return error
    if expected[1] == "array" or (expected[1] == "str" and name in _LISTS):
        return f"must be a list; write it as {_LISTS.get(name, '[1, 2]')}"
    if expected[1] == "str":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        text = f"gaussian:{_shown(value)}" if name == "noise" else _shown(value)
        is_text_of_number = is_number and name in ("noise", "sigma2", "code_ratio")
        return "must be a text" + (f'; write it as {name} = "{text}"' if is_text_of_number else "")
    return f"must be {_KINDS.get(expected[1], expected[1])}"


def check_together(config: "StudyConfig") -> None:
    """Raise UsageError for values that contradict each other."""
    if config.from_model is not None and config.genotype is None:
        raise UsageError(
            f"from_model {config.from_model!r} is given without the genotype that it trains further; write: "
            "evoae train --from STUDY"
        )
    if config.objective == "manifold" and config.pairs is not None:
        raise UsageError("manifold takes clean images alone; give them as --data, or search for denoise")
    preset = preset_settings(config.preset, config.objective, config.space)
    if config.objective == "manifold" and not config.noisy_only and config.sigma2 != preset["sigma2"]:
        given = "sigma2" if config.noise is None else "noise"
        raise UsageError(f"manifold adds no noise; leave {option_name(given)} out, or search for denoise")
    if config.objective == "manifold" and config.noisy_only:
        raise UsageError("manifold removes no noise; leave --noisy-only out, or search for denoise")
    if config.noisy_only and config.data in _CLEAN:
        raise UsageError(f"--noisy-only needs noisy images, {config.data} are clean; name your folder with --data")
    if config.output is not None and not config.noisy_only:
        raise UsageError(
            f"--output {config.output} is for --noisy-only, whose images are cleaned at the end; leave it out, and "
            "then: evoae denoise MODEL INPUT -o OUT"
        )
    if config.colours == "on" and (config.noisy_only or config.pairs is not None):
        raise UsageError("--colours on would change the images' own noise; leave it out where no noise is added")
    noise = config.corruption
    if config.sigma2 is not None and noise is not None and noise.high > MAX_GAUSSIAN:
        raise UsageError(f"--sigma2 {config.sigma2} is out of range; use at most {(MAX_GAUSSIAN / 127.5) ** 2:.0f}")
    if not all(re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,4})?", part.strip()) for part in config.device.split(",")):
        raise UsageError(
            f"--device {config.device!r} is not understood; use auto, cpu, cuda, or a list as cuda:0,cuda:2"
        )
    step = 2**config.reductions
    for name in ("patch", "crop"):
        side = getattr(config, name)
        if side % step:
            below = side // step * step
            nearest = f"{below} or {below + step}" if below else step
            raise UsageError(
                f"{option_name(name)} {side} is no multiple of {step}, which --reductions {config.reductions} needs; "
                f"nearest sizes: {nearest}"
            )
    for name, least, most in (("kernels", 1, MAX_KERNEL), ("filters", 1, MAX_FILTERS)):
        for value in getattr(config, name):
            if not least <= value <= most:
                raise UsageError(f"{option_name(name)}: {value} is out of range; use {least} to {most}")
        if len(set(getattr(config, name))) < len(getattr(config, name)):
            raise UsageError(f"{option_name(name)} names a value twice: {','.join(map(str, getattr(config, name)))}")
    if config.code_ratio != "paper":
        ratio = parse_fraction("code_ratio", config.code_ratio)
        if ratio > 1:
            raise UsageError(f"--code-ratio {config.code_ratio} makes the code larger than the image; use 1/4 or 1/8")
    named_space(config.space)
    if config.range is not None and not -math.inf < config.range[0] < config.range[1] < math.inf:
        low, high = config.range
        raise UsageError(f"--range {low:g} {high:g} is no range; give the lower value first, as --range 0 255")
    _check_objectives(config.objectives)
    parse_limit("timeout", config.timeout)
    if config.heartbeat_timeout_s <= config.heartbeat_interval_s:
        raise UsageError(
            f"--heartbeat-timeout-s {config.heartbeat_timeout_s:g} must be longer than "
            f"--heartbeat-interval-s {config.heartbeat_interval_s:g}"
        )


def _check_objectives(objectives: Sequence[str]) -> None:
    for name in objectives:
        if name not in OBJECTIVES:
            raise UsageError(f"--objectives {name!r} is unknown; use {one_of(OBJECTIVES)}")
    written = ",".join(objectives)
    if len(set(objectives)) < len(objectives):
        raise UsageError(f"--objectives names one twice: {written}")
    if "fitness" not in objectives:
        raise UsageError(f"--objectives {written} leaves out fitness; write fitness,{written}")
