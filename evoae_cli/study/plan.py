"""What a study would do and cost, measured in a few steps, with nothing written: `search --dry-run`."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evoae_cli.draws import generator
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.variation import mutate, random_genotype
from evoae_cli.outcome import Outcome
from evoae_cli.phenotype.cost import cost, training_bytes
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.progress import Progress
from evoae_cli.study.requests import Requests
from evoae_cli.study.settings import OF_SEARCH, OF_TRAINING
from evoae_cli.study.setup import Setup, limits_of, new_search, prepare, search_space

_N_SAMPLES = 200
_MEASURED_S = 2.0


class _Speed(NamedTuple):
    """What training takes, in seconds: for each image, and for each operation on it."""

    image_s: float
    operation_s: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a study would do."""

    setup: Setup
    n_candidates: int
    """Most evaluations of the search; cache hits save some."""
    code_values: tuple[int, int]
    """Smallest and largest code of one image in the search space."""
    image_values: int
    estimated_s: float
    limit_s: float | None = None
    """How long it may take; None without a limit."""
    n_sampled: int
    n_rejected: int
    """Of `n_sampled` architectures, as a search meets them, how many are beyond the limits."""
    worker_bytes: int
    """Memory that training the largest of the sampled candidates needs beside what a worker holds anyway."""

    def lines(self) -> list[str]:
        """The plan for people: what was found and estimated, then every setting."""
        config, setup = self.setup.config, self.setup
        low, high = self.code_values
        code = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        devices = ", ".join(f"{setup.devices.count(name)} on {name}" for name in dict.fromkeys(setup.devices))
        facts = {
            "images": setup.images.summary(),
            "fingerprint": setup.images.fingerprint,
            "noise": config.noise_text,
            "code": f"{code} values for an image of {self.image_values:,}",
            "workers": devices,
            **self._work(),
            "time": f"about {max(1, round(self.estimated_s / 60))} min"
            + (f", ended after {self.limit_s:g} s" if self.limit_s is not None else ""),
            "memory": f"up to about {self.worker_bytes / 1e6:,.0f} MB in each worker beside PyTorch's own",
        }
        if limits_of(self.setup.requests(Path())) is not None:
            facts["limits"] = f"{self.n_rejected} of {self.n_sampled} sampled architectures are beyond them"
        # What stands above was made from the setting of that name.
        left_out = {*facts, *(OF_SEARCH if config.is_training else OF_TRAINING)}
        settings = {key: value for key, value in msgspec.to_builtins(config).items() if key not in left_out}
        rows = [*facts.items(), *((key, _text(value)) for key, value in settings.items())]
        width = max(len(key) for key, _ in rows)
        return [f"{key:<{width}}  {text}" for key, text in rows]

    def _work(self) -> dict[str, str]:
        """What is to be trained."""
        config = self.setup.config
        if config.genotype is None:
            return {"candidates": f"at most about {self.n_candidates}, then {config.finalists} finalists"}
        times = "" if config.final_seeds == 1 else f", with each of {config.final_seeds} seeds"
        start = "from scratch" if config.from_model is None else f"on from {config.from_model}"
        return {"genotype": config.genotype, "training": f"{config.epochs} epochs {start}{times}"}


def plan(config: StudyConfig, warn: Callable[[str], None], limit_s: float | None = None) -> Plan:
    """Prepare a study in a temporary place, time a few training steps, and say what it would take.

    Raises UsageError for what cannot be done without writing, EvoaeError where a usual candidate finds no memory.
    """
    if config.download:
        raise UsageError(
            "--dry-run writes nothing, so it downloads nothing; leave out --download, or --dry-run to fetch the images"
        )
    with tempfile.TemporaryDirectory(prefix="evoae-plan-") as scratch:
        setup = prepare(config, warn, cache=Path(scratch))
        requests = setup.requests(Path(scratch))
        sampled = sample_genotypes(config, setup.images.channels)
        search, limits = new_search(requests), limits_of(requests)
        sample = [genotype for genotype in sampled if limits is None or limits.admits(genotype)]
        n_rejected = len(sampled) - len(sample)
        # None, where only few are within the limits.
        sample = sample or [proposal.genotype for proposal in search.ask()]
        speed = _measured_speed(requests, sample, setup.devices[0])
        return Plan(
            setup=setup,
            n_candidates=_n_candidates(config),
            code_values=_code_range(requests, sample),
            image_values=setup.images.channels * config.patch**2,
            estimated_s=estimate_s(requests, sample, len(setup.devices), speed),
            n_sampled=len(sampled),
            n_rejected=n_rejected,
            limit_s=limit_s,
            worker_bytes=max(training_bytes(genotype, requests.network, requests.recipe(1)) for genotype in sample),
        )


def sample_genotypes(config: StudyConfig, channels: int) -> list[Genotype]:
    """Genotypes as a search meets them: one-layer starts, and what some rounds of mutation make of them.

    Of a training, the one that it is about.
    """
    rng, space = generator(config.seed), search_space(config, channels)
    if config.genotype is not None:
        return [parse_genotype(config.genotype, further=space.further)]
    sample = []
    for i in range(_N_SAMPLES):
        genotype = random_genotype(space, rng)
        # Half the parents are mutated in a round, and half the mutations append a layer.
        for _ in range(i % (config.generations // 2 + 1)):
            genotype = mutate(genotype, space, rng)
        sample.append(genotype)
    return sample


def estimate_s(requests: Requests, sample: list[Genotype], n_workers: int, speed: _Speed) -> float:
    """Seconds of a whole study: training of the sampled candidates at the measured speed, and the start.

    Training costs three forward passes; finalists are taken to be among the costlier half, as selection likes them.
    """
    config = requests.config
    per_image = sorted(
        speed.image_s + speed.operation_s * cost(genotype, requests.network, config.crop).operations * 3.0
        for genotype in sample
    )
    mean, upper = sum(per_image) / len(per_image), per_image[3 * len(per_image) // 4]
    progress = _progress(config)
    n_finals, n_search = progress.n_finals, _n_candidates(config)
    images = config.epochs * config.train_images, config.final_epochs * config.train_images
    rounds = -(-n_finals // n_workers)
    start_s = 15.0  # importing torch, the classical methods, pictures
    return start_s + n_search * images[0] * mean / n_workers + rounds * images[1] * upper


def _n_candidates(config: StudyConfig) -> int:
    """Most evaluations of the search; a training has none."""
    if config.is_training:
        return 0
    return _progress(config).n_expected(0, config.population, False) - config.n_finals - 1


def _progress(config: StudyConfig) -> Progress:
    return Progress(
        population=config.population,
        n_generations=config.generations,
        n_finals=config.n_finals,
        final_factor=config.final_epochs / config.epochs,
    )


def _code_range(requests: Requests, sample: list[Genotype]) -> tuple[int, int]:
    sizes = [cost(genotype, requests.network, requests.config.patch).code_values for genotype in sample]
    return min(sizes), max(sizes)


def _measured_speed(requests: Requests, sample: list[Genotype], device: str) -> _Speed:
    """Train a cheap and a costly candidate for a few steps, as a worker would, and draw a line through the two.

    One candidate alone would not do: small networks cost far more time per operation than large ones.
    """
    config, network = requests.config, requests.network
    by_cost = sorted(sample, key=lambda genotype: cost(genotype, network, config.crop).operations)
    cheap, costly = by_cost[len(sample) // 10], by_cost[9 * len(sample) // 10]
    cheap_n, costly_n = (cost(genotype, network, config.crop).operations * 3.0 for genotype in (cheap, costly))
    cheap_s, costly_s = (_seconds_per_image(requests, genotype, device) for genotype in (cheap, costly))
    if costly_n <= cheap_n or costly_s <= cheap_s:
        return _Speed(image_s=max(cheap_s, costly_s), operation_s=0.0)
    operation_s = min((costly_s - cheap_s) / (costly_n - cheap_n), costly_s / costly_n)
    return _Speed(image_s=costly_s - operation_s * costly_n, operation_s=operation_s)


def _seconds_per_image(requests: Requests, genotype: Genotype, device: str) -> float:
    """How long a worker trains on one image, from its last and longest trial."""
    from evoae_cli.evaluation.evaluate import evaluate

    n_images, per_image_s = requests.config.batch_size, 0.0
    started = time.monotonic()
    while time.monotonic() - started < _MEASURED_S / 2:
        recipe = msgspec.structs.replace(requests.recipe(1), epoch_images=n_images)
        request = msgspec.structs.replace(
            requests.search(genotype.text, 0.0), recipe=recipe, weights_out=None, images=_small(requests)
        )
        found = evaluate(request, device)
        if found.outcome is Outcome.OOM:
            is_training = requests.config.is_training
            remedy = "--batch-size or --crop" if is_training else "--batch-size, --crop or --filters"
            what = genotype.text if is_training else f"{genotype.text}, a usual candidate,"
            raise EvoaeError(f"{what} does not fit on {device}: {found.reason}; use a smaller {remedy}")
        per_image_s = found.train_s / n_images
        n_images *= 2
    return per_image_s


def _small(requests: Requests) -> Any:
    return msgspec.structs.replace(requests.images_ref, n_val=1, n_test=1)


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        # Genotypes have commas of their own.
        return ("; " if any("," in str(part) for part in value) else ",").join(map(str, value)) or "-"
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
