"""StudyConfig: every setting of a study in one frozen value.

The command's options, the arguments of `search(...)` and the keys of `study.toml` are these fields, by these names.
"""

import math
from fractions import Fraction
from typing import Annotated, Any, Literal, cast

import msgspec

from evoae_cli.evaluation.contract import Decoder, Objective, Schedule
from evoae_cli.evaluation.noise import Noise, describe_noise, gaussian, parse_noise
from evoae_cli.genome.genotype import MAX_REDUCTIONS
from evoae_cli.strategy.population import ObjectiveName
from evoae_cli.study.checks import parse_fraction, parse_limit
from evoae_cli.study.presets import Preset


def _field(
    text: str, *, panel: str, main: bool = False, metavar: str | None = None, short: str = "", **bounds: Any
) -> msgspec.Meta:
    """Say what a setting means (for help and docs), where help shows it, its one-letter option, and what it may be.

    A list of texts is written with commas; with a `metavar` it is an option that may be given again and again.
    """
    return msgspec.Meta(
        description=text, extra={"panel": panel, "main": main, "metavar": metavar, "short": short}, **bounds
    )


MAX_WORKERS = 1024
_MAX_COST = 10**15
"""No limit that a person means is higher, and any database holds it."""


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
        Annotated[str, msgspec.Meta(min_length=1)] | None,
        _field(
            "photographs (built in), stl10, cifar10, or a folder of PNG, JPEG, TIFF, WebP or NPY files",
            panel="Images",
            main=True,
        ),
    ]
    pairs: Annotated[
        tuple[str, str] | None,
        _field(
            "instead of --data: two folders of real noisy and clean images, matched by their names; no noise is added",
            panel="Images",
            metavar="NOISY_DIR CLEAN_DIR",
        ),
    ]
    data_root: Annotated[str | None, _field("folder where stl10 and cifar10 lie", panel="Images")]
    download: Annotated[bool, _field("fetch stl10 or cifar10 if it is not in --data-root", panel="Images")]
    range: Annotated[
        tuple[float, float] | None,
        _field("pixel values mapped to -1 and 1; otherwise 0 255, or the training set's limits", panel="Images"),
    ]
    patch: Annotated[int, _field("side of the validation and test images, in pixels", panel="Images", ge=8, le=4096)]
    crop: Annotated[int, _field("side of the random training crops, in pixels", panel="Images", ge=8, le=4096)]
    train_images: Annotated[int, _field("training crops drawn in one epoch", panel="Images", ge=1, le=10_000_000)]
    val_images: Annotated[
        int, _field("validation images; they decide selection and ranking", panel="Images", ge=1, le=100_000)
    ]
    test_images: Annotated[
        int, _field("test images; read once, for the reported figures", panel="Images", ge=1, le=100_000)
    ]
    flips: Annotated[bool, _field("mirror training crops left to right at random", panel="Images")]
    colours: Annotated[
        Literal["auto", "on", "off"],
        _field(
            "vary contrast and colours of training crops: on, off, or auto (on where there are few training images)",
            panel="Images",
        ),
    ]

    noise: Annotated[
        str | None,
        _field(
            "noise to remove: gaussian:25 (standard deviation on the 0..255 scale), poisson:30 (counts at white), "
            "salt-pepper:0.1 or speckle:0.2 (shares); a range, as gaussian:5-75, is drawn from for each image",
            panel="Noise",
            main=True,
        ),
    ]
    sigma2: Annotated[
        str | None,
        _field("the paper's spelling: variance on the [-1, 1] scale, as 1/3", panel="Noise"),
    ]
    noisy_only: Annotated[
        bool,
        _field(
            "the images are noisy and there are no clean ones: learn from hidden pixels (Noise2Void)",
            panel="Noise",
            main=True,
        ),
    ]

    output: Annotated[
        Annotated[str, msgspec.Meta(min_length=1)] | None,
        _field(
            "with --noisy-only: folder that gets all the images, cleaned, at the end",
            panel="Noise",
            metavar="OUT",
            short="-o",
            main=True,
        ),
    ]

    space: Annotated[
        str,
        _field(
            "paper (sequential networks), skip (skips, repeats, reductions and more evolve), or module:attribute",
            panel="Search space",
            main=True,
            min_length=1,
        ),
    ]
    kernels: Annotated[
        tuple[int, ...],
        _field(
            "kernel sizes to choose from; with filters and dropout, the paper's space has 17 layers in preset paper",
            panel="Search space",
            min_length=1,
        ),
    ]
    filters: Annotated[
        tuple[int, ...],
        _field("filter counts to choose from, each with each kernel size", panel="Search space", min_length=1),
    ]
    dropout: Annotated[bool, _field("whether 2-D dropout (p=0.5) is a layer choice", panel="Search space")]
    max_layers: Annotated[int, _field("most layers in a module", panel="Search space", ge=1, le=100)]
    reductions: Annotated[
        int,
        _field(
            "how often height and width are halved; in space skip, at most",
            panel="Search space",
            main=True,
            ge=1,
            le=MAX_REDUCTIONS,
        ),
    ]
    code_ratio: Annotated[
        str,
        _field(
            "size of the code as a share of the image, as 1/4 or 1/8; paper for the paper's unbounded code",
            panel="Search space",
            main=True,
        ),
    ]
    decoder: Annotated[
        Decoder, _field("order of the decoder's layers: same (the paper's), or mirrored", panel="Search space")
    ]
    max_parameters: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=_MAX_COST)] | None,
        _field("most parameters of an architecture; what has more is rejected untrained", panel="Search space"),
    ]
    max_operations: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=_MAX_COST)] | None,
        _field("most multiply-accumulates for one image of patch x patch pixels", panel="Search space"),
    ]
    max_code: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=_MAX_COST)] | None,
        _field("most values in the code of one image of patch x patch pixels", panel="Search space"),
    ]

    population: Annotated[
        int, _field("architectures kept in a generation", panel="Evolution", main=True, ge=2, le=10_000)
    ]
    generations: Annotated[
        int, _field("rounds of variation and selection", panel="Evolution", main=True, ge=0, le=1_000_000)
    ]
    mode: Annotated[
        Literal["generational", "async"],
        _field(
            "generational: a generation is selected when all of it is evaluated; async: each result enters at once",
            panel="Evolution",
            main=True,
        ),
    ]
    keep_duplicates: Annotated[
        bool, _field("let equal architectures stand in the population twice (the paper's list)", panel="Evolution")
    ]
    objectives: Annotated[
        tuple[str, ...],
        _field(
            "what selection looks at: fitness, and with it any of parameters, operations and code, each to be small",
            panel="Evolution",
            min_length=1,
        ),
    ]
    start_from: Annotated[
        tuple[str, ...],
        _field(
            "architecture to begin with, or study whose finalists to begin with; may be given several times",
            panel="Evolution",
            metavar="NAME",
        ),
    ]

    genotype: Annotated[
        Annotated[str, msgspec.Meta(min_length=1)] | None,
        _field("the one architecture to train, as 5x5conv2d:16,3x3conv2d:32", panel="Training"),
    ]
    from_model: Annotated[
        str | None, _field("the study whose delivered model training starts from; else from scratch", panel="Training")
    ]
    epochs: Annotated[int, _field("epochs a candidate is trained", panel="Training", main=True, ge=1, le=1_000_000)]
    final_epochs: Annotated[
        int, _field("epochs a finalist is trained, from scratch", panel="Training", ge=1, le=1_000_000)
    ]
    finalists: Annotated[int, _field("best candidates that are trained to the end", panel="Training", ge=1, le=1000)]
    final_seeds: Annotated[
        int, _field("how often each finalist is trained, with other seeds", panel="Training", ge=1, le=1000)
    ]
    batch_size: Annotated[int, _field("crops in one step", panel="Training", ge=1, le=65_536)]
    lr: Annotated[float, _field("peak learning rate of Adam", panel="Training", gt=0, le=1)]
    schedule: Annotated[Schedule, _field("of the learning rate: constant, or cosine (with warm-up)", panel="Training")]
    clip_gradients: Annotated[
        bool,
        _field("shorten a gradient that is much longer than usual, which could end all learning", panel="Training"),
    ]
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        _field("of training: float32, bfloat16, or auto (bfloat16 where the hardware is fast at it)", panel="Training"),
    ]
    channels_last: Annotated[bool, _field("keep a pixel's channels together in memory", panel="Training")]

    workers: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=MAX_WORKERS)] | None,
        _field("worker processes; otherwise one per GPU, or per core", panel="Machine", main=True),
    ]
    threads: Annotated[
        int, _field("CPU threads of one evaluation; changes the last digits", panel="Machine", ge=1, le=1024)
    ]
    device: Annotated[
        str, _field("auto, cpu, cuda, or a list as cuda:0,cuda:2", panel="Machine", main=True, min_length=1)
    ]
    timeout: Annotated[
        str,
        _field(
            "longest time for a candidate, as 90s, 10m or 2h, or none; finalists get as much more as they train longer",
            panel="Machine",
        ),
    ]
    heartbeat_interval_s: Annotated[
        float, _field("seconds between a worker's heartbeats", panel="Machine", gt=0, le=86_400)
    ]
    heartbeat_timeout_s: Annotated[
        float, _field("seconds without a heartbeat after which a worker is lost", panel="Machine", gt=0, le=86_400)
    ]
    start_timeout_s: Annotated[float, _field("seconds a worker may take to start", panel="Machine", gt=0, le=86_400)]

    @property
    def is_training(self) -> bool:
        """Whether the study trains one given architecture and searches for none."""
        return self.genotype is not None

    @property
    def n_finals(self) -> int:
        """Trainings to the final budget: of each finalist, or of the one architecture, as many as there are seeds."""
        return self.final_seeds * (1 if self.is_training else self.finalists)

    @property
    def source(self) -> str | tuple[str, str]:
        """Where the images come from: what `data` names, or the folders of pairs."""
        source = self.data if self.pairs is None else self.pairs
        assert source is not None
        return source

    @property
    def objective_names(self) -> tuple[ObjectiveName, ...]:
        """`objectives`, which are known to be names of such."""
        return cast(tuple[ObjectiveName, ...], self.objectives)

    @property
    def corruption(self) -> Noise | None:
        """The noise that is added to the images, however it is spelt; None for manifold, pairs and noisy images."""
        if self.objective == "manifold" or self.pairs is not None or self.noisy_only:
            return None
        if self.noise is not None:
            return parse_noise(self.noise)
        assert self.sigma2 is not None
        return gaussian(math.sqrt(parse_fraction("sigma2", self.sigma2)))

    @property
    def noise_text(self) -> str:
        """The noise for people."""
        if self.pairs is not None:
            return "the pairs' own"
        return "the images' own" if self.noisy_only else describe_noise(self.corruption)

    def timeout_s(self, epochs: int) -> float | None:
        """Seconds that one evaluation of `epochs` epochs may take; None: as long as it takes."""
        limit_s = parse_limit("timeout", self.timeout)
        return None if limit_s is None else limit_s * max(1.0, epochs / self.epochs)

    @property
    def code_fraction(self) -> Fraction | None:
        """Code values per image value, or None for the paper's form."""
        return None if self.code_ratio == "paper" else Fraction(self.code_ratio)
