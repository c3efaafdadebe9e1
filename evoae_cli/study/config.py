"""StudyConfig: every setting of a study in one frozen value, and how it is resolved from a preset and what is given.

The command's options, the arguments of `search(...)` and the keys of `study.toml` are these fields, by these names.
"""

import difflib
import functools
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Decoder, Objective, Schedule
from evoae_cli.genome.layers import MAX_FILTERS, MAX_KERNEL
from evoae_cli.study.presets import Preset, preset_settings

MAX_NOISE = 1000
"""Largest standard deviation of the noise, on the 0..255 scale: nothing of an image is left under it."""


def _field(text: str, *, panel: str, main: bool = False, **bounds: Any) -> msgspec.Meta:
    """Say what a setting means (for help and docs), where help shows it, and what it may be."""
    return msgspec.Meta(description=text, extra={"panel": panel, "main": main}, **bounds)


CHANGEABLE = ("generations", "workers", "device")
"""Settings that may change when a study is resumed: they leave what it has found so far as it is."""


class StudyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one study, resolved. Build it with `resolve`, which fills what is not given from a preset.

    Fields say in their metadata what they mean, in which panel of the help they stand, and their bounds.
    """

    objective: Annotated[Objective, _field("what the autoencoder is for", panel="Study")]
    preset: Annotated[
        Preset, _field("where settings that are not given come from: quick, or paper", panel="Study", main=True)
    ]
    seed: Annotated[int, _field("fixes every random draw of the study", panel="Study", main=True, ge=0, le=2**63 - 1)]

    data: Annotated[
        str,
        _field(
            "photographs (built in), stl10, cifar10, or a folder of PNG, JPEG, TIFF, WebP or NPY files",
            panel="Images",
            main=True,
            min_length=1,
        ),
    ]
    data_root: Annotated[str | None, _field("folder where stl10 and cifar10 lie", panel="Images")]
    download: Annotated[bool, _field("fetch stl10 or cifar10 if it is not in --data-root", panel="Images")]
    range: Annotated[
        tuple[float, float] | None,
        _field("pixel values mapped to -1 and 1; otherwise 0 255, or the training set's limits", panel="Images"),
    ]
    patch: Annotated[
        int, _field("side of the validation and test images, in pixels", panel="Images", main=True, ge=8, le=4096)
    ]
    crop: Annotated[int, _field("side of the random training crops, in pixels", panel="Images", ge=8, le=4096)]
    train_images: Annotated[int, _field("training crops drawn in one epoch", panel="Images", ge=1)]
    val_images: Annotated[int, _field("validation images; they decide selection and ranking", panel="Images", ge=1)]
    test_images: Annotated[int, _field("test images; read once, for the reported figures", panel="Images", ge=1)]
    flips: Annotated[bool, _field("mirror training crops left to right at random", panel="Images")]

    noise: Annotated[
        str | None,
        _field("noise to remove, as gaussian:25 (standard deviation on the 0..255 scale)", panel="Noise", main=True),
    ]
    sigma2: Annotated[
        str | None,
        _field("the paper's spelling: variance on the [-1, 1] scale, as 1/3", panel="Noise"),
    ]

    kernels: Annotated[tuple[int, ...], _field("kernel sizes of the search space", panel="Search space", min_length=1)]
    filters: Annotated[tuple[int, ...], _field("filter counts of the search space", panel="Search space", min_length=1)]
    dropout: Annotated[bool, _field("whether 2-D dropout (p=0.5) is a layer choice", panel="Search space")]
    max_layers: Annotated[int, _field("most layers in a module", panel="Search space", ge=1, le=100)]
    reductions: Annotated[
        int, _field("how often height and width are halved", panel="Search space", main=True, ge=1, le=8)
    ]
    code_ratio: Annotated[
        str,
        _field(
            "size of the code as a share of the image, as 1/4 or 1/8; paper for the paper's unbounded code",
            panel="Search space",
        ),
    ]
    decoder: Annotated[
        Decoder, _field("the decoder's module: same order (the paper's), or mirrored", panel="Search space")
    ]

    population: Annotated[int, _field("architectures kept in a generation", panel="Evolution", main=True, ge=2)]
    generations: Annotated[int, _field("rounds of variation and selection", panel="Evolution", main=True, ge=0)]
    keep_duplicates: Annotated[
        bool, _field("let equal architectures stand in the population twice (the paper's list)", panel="Evolution")
    ]

    epochs: Annotated[int, _field("epochs a candidate is trained", panel="Training", main=True, ge=1)]
    final_epochs: Annotated[int, _field("epochs a finalist is trained, from scratch", panel="Training", ge=1)]
    finalists: Annotated[int, _field("best candidates that are trained to the end", panel="Training", ge=1)]
    final_seeds: Annotated[int, _field("how often each finalist is trained, with other seeds", panel="Training", ge=1)]
    batch_size: Annotated[int, _field("crops in one step", panel="Training", ge=1)]
    lr: Annotated[float, _field("peak learning rate of Adam", panel="Training", gt=0, le=1)]
    schedule: Annotated[Schedule, _field("of the learning rate: constant, or cosine with warm-up", panel="Training")]
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        _field("of training: auto takes bfloat16 where the hardware is fast at it", panel="Training"),
    ]
    channels_last: Annotated[bool, _field("keep a pixel's channels together in memory", panel="Training")]

    workers: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        _field("worker processes; otherwise one per GPU, or per core", panel="Machine", main=True),
    ]
    threads: Annotated[int, _field("CPU threads of one evaluation; changes the last digits", panel="Machine", ge=1)]
    device: Annotated[
        str, _field("auto, cpu, cuda, or a list as cuda:0,cuda:2", panel="Machine", main=True, min_length=1)
    ]
    heartbeat_interval_s: Annotated[
        float, _field("seconds between a worker's heartbeats", panel="Machine", gt=0, le=86_400)
    ]
    heartbeat_timeout_s: Annotated[
        float, _field("seconds without a heartbeat after which a worker is lost", panel="Machine", gt=0, le=86_400)
    ]
    start_timeout_s: Annotated[float, _field("seconds a worker may take to start", panel="Machine", gt=0, le=86_400)]

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on the [-1, 1] scale; 0 for manifold."""
        if self.objective == "manifold":
            return 0.0
        if self.noise is not None:
            return parse_noise(self.noise) / 127.5
        assert self.sigma2 is not None
        return math.sqrt(parse_fraction("sigma2", self.sigma2))

    @property
    def code_fraction(self) -> Fraction | None:
        """Code values per image value, or None for the paper's form."""
        return None if self.code_ratio == "paper" else Fraction(self.code_ratio)


def field_names() -> tuple[str, ...]:
    """Names of all settings, in the order of the class."""
    return StudyConfig.__struct_fields__


def field_type(name: str) -> Any:
    """The annotated type of a setting: the type, then a `msgspec.Meta` with description, panel and bounds."""
    return _hints()[name]


@functools.cache
def _hints() -> dict[str, Any]:
    return get_type_hints(StudyConfig, include_extras=True)


def field_meta(name: str) -> msgspec.Meta:
    """Description, panel and bounds of a setting."""
    return next(part for part in get_args(field_type(name))[1:] if isinstance(part, msgspec.Meta))


def resolve(objective: Objective, *layers: Mapping[str, Any]) -> StudyConfig:
    """Settings of a study: the preset's, overridden by each of `layers` in turn (a file's keys, then options).

    A value of None in a layer means "not given". Raises UsageError, naming the value and the remedy, for an unknown
    key, a value out of bounds, or values that contradict each other.
    """
    given: dict[str, Any] = {"objective": objective}
    for layer in layers:
        for key, value in layer.items():
            if key not in field_names():
                raise UsageError(f"unknown setting {key!r}{_nearest(key, field_names())}")
            if key == "objective" and value not in (None, objective):
                raise UsageError(f"the settings are for {value!r}, not for {objective}; give one objective")
            if value is not None:
                given[key] = value
        stated = {key for key in ("noise", "sigma2") if layer.get(key) is not None}
        if len(stated) == 2:
            raise UsageError(
                f"noise is given twice, as --noise {layer['noise']} and --sigma2 {layer['sigma2']}; give one of them"
            )
        # The later word replaces the earlier one, whichever spelling each used.
        if stated:
            given.pop(({"noise", "sigma2"} - stated).pop(), None)
    preset: Preset = _checked("preset", given.get("preset", "quick"))
    base = preset_settings(preset, _checked("objective", objective))
    if "noise" in given:
        base["sigma2"] = None
    values = {"preset": preset} | base | given
    if "crop" not in given and isinstance(values["patch"], int):
        # Images that were said to hold patches of this size need not hold larger crops.
        values["crop"] = min(values["crop"], values["patch"])
    config = StudyConfig(**{name: _checked(name, values[name]) for name in field_names()})
    _check_together(config)
    return config


def parse_noise(text: str) -> float:
    """`gaussian:25` -> 25.0, a standard deviation on the 0..255 scale. Raises UsageError."""
    kind, _, strength = text.partition(":")
    try:
        std = float(strength)
    except ValueError:
        std = math.nan
    if kind != "gaussian" or not 0 < std <= MAX_NOISE:
        raise UsageError(
            f"--noise {text!r} is not understood; write gaussian:25 (standard deviation, up to {MAX_NOISE})"
        )
    return std


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


def option_name(name: str) -> str:
    """`code_ratio` -> `--code-ratio`; the objective is an argument, so it keeps its name."""
    return name if name == "objective" else "--" + name.replace("_", "-")


def _checked(name: str, value: Any) -> Any:
    try:
        return msgspec.convert(value, field_type(name), strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{option_name(name)} {value!r} {_reason(str(error), field_type(name))}") from None


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "array": "a list"}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}


def _reason(error: str, kind: Any) -> str:
    """Say in a person's words what msgspec says in its own, as "Expected `int` >= 1" or "Invalid enum value 'fast'"."""
    if "enum" in error:
        choices = get_args(get_args(kind)[0])
        return f"is unknown; use {', '.join(choices[:-1])} or {choices[-1]}"
    if "`str" in error and "of length" in error:
        return "is empty"
    if length := re.search(r"of length (?:>= )?([0-9]+)", error):
        return f"must have {'at least ' if '>=' in error else ''}{length[1]} value{'s' * (length[1] != '1')}"
    if bound := re.search(r"`(?: \| null)? (>=|<=|>|<) (\S+)", error):
        return f"must be {_BOUNDS[bound[1]]} {bound[2].removesuffix('.0')}"
    expected = re.search(r"Expected `(\w+)", error)
    return f"must be {_KINDS[expected[1]]}" if expected else error


def _check_together(config: StudyConfig) -> None:
    """Raise UsageError for values that contradict each other."""
    if config.objective == "manifold" and config.sigma2 != preset_settings(config.preset, "manifold")["sigma2"]:
        given = "sigma2" if config.noise is None else "noise"
        raise UsageError(f"manifold adds no noise; leave {option_name(given)} out, or search for denoise")
    noise_std = config.noise_std
    if config.sigma2 is not None and noise_std * 127.5 > MAX_NOISE:
        raise UsageError(f"--sigma2 {config.sigma2} is out of range; use at most {(MAX_NOISE / 127.5) ** 2:.0f}")
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
    if config.range is not None and not -math.inf < config.range[0] < config.range[1] < math.inf:
        low, high = config.range
        raise UsageError(f"--range {low:g} {high:g} is no range; give the lower value first, as --range 0 255")
    if config.heartbeat_timeout_s <= config.heartbeat_interval_s:
        raise UsageError(
            f"--heartbeat-timeout-s {config.heartbeat_timeout_s:g} must be longer than "
            f"--heartbeat-interval-s {config.heartbeat_interval_s:g}"
        )


def _nearest(name: str, known: tuple[str, ...]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else f"; known settings: {', '.join(known)}"
