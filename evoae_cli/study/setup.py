"""From settings to what a study runs with: images, devices, resolved precision and code size, and the search."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from evoae_cli.errors import ImageError, UsageError
from evoae_cli.evaluation.imagefile import ImageFile
from evoae_cli.evaluation.images import prepare_images
from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.spaces import named_space
from evoae_cli.phenotype.cost import cost
from evoae_cli.strategy.evolution import Evolution
from evoae_cli.strategy.limits import Costs, Limits
from evoae_cli.strategy.search import Aims, Search
from evoae_cli.strategy.steady_state import SteadyState
from evoae_cli.study.architecture import check_architecture
from evoae_cli.study.config import MAX_WORKERS, StudyConfig
from evoae_cli.study.fullnames import with_full_names
from evoae_cli.study.requests import Requests
from evoae_cli.study.startfrom import known_genotypes

_WORKER_BYTES = 900_000_000
"""Memory of a CPU worker: torch and what an evaluation of a wide layer needs (measured under this)."""
_MOST_OF_BLOCK = 4
"""Reductions to one block of a linear code: the components of blocks of 32x32 pixels and more take minutes to find."""
_MANY_TIMES = 5
"""How often a finalist may see each training pixel before varied colours pay: they did at 18 times, and not at 2."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a study runs with on this machine."""

    config: StudyConfig
    """With `precision` and `colours` resolved."""
    images: ImageFile
    devices: tuple[str, ...]
    """Of each worker, for example `cpu`, `cpu` or `cuda:0`."""
    code_channels: int | None
    start: str | None = None
    """Fingerprint of the weights that training starts from."""

    def requests(self, folder: Path) -> Requests:
        """Makes this study's requests; weights go below `folder`."""
        assert self.config.precision != "auto"
        return Requests(
            self.config, self.images, self.config.precision, self.code_channels, folder.absolute(), self.start
        )


def search_space(config: StudyConfig, channels: int | None) -> SearchSpace:
    """The search space that the settings describe, for images of `channels` channels; None: not known yet.

    A network for manifold learning has skips only where it is residual, behind its code.
    Raises UsageError where the space is not found, or no number of reductions in it gives a code of the size that is
    asked for.
    """
    template = named_space(config.space)
    is_manifold = config.objective == "manifold"
    reductions = tuple(
        reductions
        for reductions in template.reductions
        if reductions <= config.reductions and _has_whole_code(config, channels, reductions)
    )
    if template.reductions and not reductions:
        raise UsageError(
            f"--space {config.space} has no network with at most {config.reductions} reductions and a code of "
            f"{config.code_ratio} of the image; allow more --reductions, or a larger --code-ratio"
        )
    residual, skips = template.residual, template.skips
    if is_manifold:
        residual = residual if _has_transform(config) else (False,)
        # Those that are not residual have none.
        skips = tuple(dict.fromkeys(("none", *skips))) if True in residual else ("none",)
    return replace(
        template,
        kernels=config.kernels,
        filters=config.filters,
        dropout=config.dropout,
        max_layers=config.max_layers,
        reductions=reductions,
        skips=skips,
        residual=residual,
        direct_skips=template.direct_skips and not is_manifold,
    )


def _has_transform(config: StudyConfig) -> bool:
    """Whether a residual network can have a linear code: of some size, and of blocks that are no whole pictures."""
    return config.code_fraction is not None and config.reductions <= _MOST_OF_BLOCK


def _has_whole_code(config: StudyConfig, channels: int | None, reductions: int) -> bool:
    ratio = config.code_fraction
    return ratio is None or channels is None or (ratio * channels * 4**reductions).denominator == 1


def _sees_the_same_again(config: StudyConfig, images: ImageFile) -> bool:
    """Whether a finalist sees each training pixel so often that it would learn the images' colours by heart.

    Where the noise is the images' own, it would be changed with them; so then they are left as they are.
    """
    if config.corruption is None and config.objective == "denoise":
        return False
    n_seen = config.final_epochs * config.train_images * config.crop**2
    return n_seen > _MANY_TIMES * sum(image.height * image.width for image in images.of("train"))


def limits_of(requests: Requests) -> Limits | None:
    """What a candidate may cost, in images of `patch` x `patch` pixels; None where the settings set no limit."""
    config, network = requests.config, requests.network

    def costs(genotype: Genotype) -> Costs:
        found = cost(genotype, network, config.patch)
        return Costs(parameters=found.parameters, operations=found.operations, code=found.code_values)

    if config.max_parameters is config.max_operations is config.max_code is None:
        return None
    return Limits(costs, parameters=config.max_parameters, operations=config.max_operations, code=config.max_code)


def new_search(requests: Requests) -> Search:
    """The search that the settings describe, at its beginning.

    Raises UsageError where what it is to start from is beyond the limits, and where everything is.
    """
    config, limits = requests.config, limits_of(requests)
    space = search_space(config, requests.images.channels)
    if config.genotype is not None:
        # Nothing is searched for, so this one is never asked; it holds the architecture and stays at its beginning.
        alone = parse_genotype(config.genotype, further=space.further)
        return Evolution(
            space, population=1, generations=0, seed=config.seed, keep_duplicates=False, aims=Aims(known=(alone,))
        )
    known = known_genotypes(config, space)
    if limits is not None:
        for genotype in known:
            limits.check(genotype, f"--start-from {genotype}")
    kind = SteadyState if config.mode == "async" else Evolution
    return kind(
        space,
        population=config.population,
        generations=config.generations,
        seed=config.seed,
        keep_duplicates=config.keep_duplicates,
        aims=Aims(objectives=config.objective_names, limits=limits, known=known),
    )


def prepare(config: StudyConfig, warn: Callable[[str], None], cache: Path | None = None) -> Setup:
    """Find devices and images and settle what depends on them. Raises UsageError or ImageError in one line."""
    from evoae_cli.evaluation.hardware import bfloat16_is_fast, devices
    from evoae_cli.phenotype.autoencoder import code_channels_for
    from evoae_cli.phenotype.measured import check_further

    chosen = devices(config.device)
    images = study_images(config, warn, cache)
    if not 1 <= images.channels <= 8:
        raise ImageError(f"images of {images.source} have {images.channels} channels; 1 to 8 can be used")
    if config.noisy_only:
        _warn_if_correlated(images, warn)
    space = search_space(config, images.channels)
    check_further(space, images.channels)
    if config.genotype is not None:
        check_architecture(parse_genotype(config.genotype, further=space.further), space, config)
    known = known_genotypes(config, space)
    # As texts of genotypes: a study does not depend on those that it starts from.
    config = msgspec.structs.replace(config, start_from=tuple(one.text for one in known))
    ratio = config.code_fraction
    code_channels = None if ratio is None else code_channels_for(images.channels, config.reductions, ratio)
    config = with_full_names(config)
    if config.precision == "auto":
        is_fast = all(bfloat16_is_fast(device) for device in chosen)
        config = msgspec.structs.replace(config, precision="bfloat16" if is_fast else "float32")
    if config.colours == "auto":
        config = msgspec.structs.replace(config, colours="on" if _sees_the_same_again(config, images) else "off")
    return Setup(config=config, images=images, devices=worker_devices(config, chosen), code_channels=code_channels)


def _warn_if_correlated(images: ImageFile, warn: Callable[[str], None]) -> None:
    from evoae_cli.evaluation.correlation import CORRELATED, coarse_over_fine, images_of

    ratio = coarse_over_fine(images_of(images, "train"))
    if ratio is not None and ratio >= CORRELATED:
        warn(
            f"the noise of neighbouring pixels is alike ({ratio:.1f} times as strong in coarse detail as in fine; "
            "independent noise has 1): --noisy-only will leave much of it; use images as they were before JPEG, "
            "resizing or demosaicking, or --noise with clean ones"
        )


def study_images(config: StudyConfig, warn: Callable[[str], None], cache: Path | None = None) -> ImageFile:
    """The images that the settings name, read, split and stored. Free of torch; raises ImageError in one line."""
    return prepare_images(
        config.source,
        data_root=config.data_root,
        download=config.download,
        pixel_range=config.range,
        patch=config.patch,
        crop=config.crop,
        seed=config.seed,
        n_val=config.val_images,
        n_test=config.test_images,
        warn=warn,
        cache=cache,
    )


def worker_devices(config: StudyConfig, chosen: list[str]) -> tuple[str, ...]:
    """The device of each worker: one worker per GPU, or one per core as far as memory allows; `workers` overrides."""
    n_workers = config.workers
    if n_workers is None:
        n_workers = len(chosen) if chosen != ["cpu"] else default_cpu_workers(config.threads)
        n_workers = min(n_workers, most_workers(config))
    return tuple(chosen[i % len(chosen)] for i in range(n_workers))


def most_workers(config: StudyConfig) -> int:
    """More workers than this never have anything to do: a training's seeds, and the classical methods beside them."""
    return config.n_finals + 1 if config.is_training else MAX_WORKERS


def default_cpu_workers(threads: int) -> int:
    """One worker per `threads` cores that this process may use, as far as memory allows; at least one."""
    from evoae_cli.evaluation.hardware import available_memory, n_cores

    by_memory = available_memory("cpu") // _WORKER_BYTES
    return max(1, min(n_cores() // threads, by_memory))
