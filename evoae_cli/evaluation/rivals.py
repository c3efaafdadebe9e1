"""What a model is compared with besides other architectures, each tuned or trained here and scored on the test images.

Classical methods run on the CPU, where they live, networks on the worker's device.
"""

import functools
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from evoae_cli.evaluation.calibrated import calibrated
from evoae_cli.evaluation.classical import METHODS, Level, Method, apply, bm3d, tuned
from evoae_cli.evaluation.components import components_of
from evoae_cli.evaluation.compression import BLOCK, BlockPCA, NoJpegError, jpeg
from evoae_cli.evaluation.contract import RivalFound, RivalRequest, derive_seed
from evoae_cli.evaluation.evaluate import exam_for, resident_for
from evoae_cli.evaluation.handmade import DnCNN, Lessons, UNet, train_for
from evoae_cli.evaluation.metrics import Exam, exam_scores
from evoae_cli.evaluation.references import tuning_levels, tuning_noisy
from evoae_cli.evaluation.reproducible import reproducible, seeded
from evoae_cli.evaluation.training import DivergedError
from evoae_cli.genome.spaces import genotype_of
from evoae_cli.phenotype.autoencoder import build

_N_WARM = 2
"""Runs before the clock counts: the first ones allocate memory, and choose and load what they compute with."""
_HAND_MADE: dict[str, Callable[[int], nn.Module]] = {"DnCNN": DnCNN, "U-Net": UNet}


class Timed(NamedTuple):
    """What came of one image at a time."""

    output: Tensor
    """[n, C, H, W]."""
    image_s: float
    """Median seconds for one."""


def timed(method: Callable[[Tensor, int], Tensor], given: Tensor) -> Timed:
    """Run `method`, which takes an image [1, C, H, W] and its number, over each of [n, C, H, W] images."""
    taken, outputs = [], []
    with torch.inference_mode():
        for number in [*[0] * _N_WARM, *range(len(given))]:
            begun = time.perf_counter()
            output = method(given[number : number + 1], number)
            if given.is_cuda:
                torch.cuda.synchronize(given.device)
            taken.append(time.perf_counter() - begun)
            outputs.append(output)
    return Timed(torch.cat(outputs[_N_WARM:]), median(taken[_N_WARM:]))


class UnmeasuredError(Exception):
    """There is nothing to measure, for a reason that lies in the images or the request; it is the whole message."""


def measure_rival(request: RivalRequest, device: str) -> RivalFound:
    """Make ready and score one rival.

    Raises UnmeasuredError where no JPEG is small enough and where a training diverges, and what `exam_for` raises.
    """
    try:
        return _measured(request, device)
    except (NoJpegError, DivergedError) as error:
        raise UnmeasuredError(str(error)) from error


def _measured(request: RivalRequest, device: str) -> RivalFound:
    with reproducible(request.threads):
        if request.rival in _HAND_MADE or request.rival == "network":
            return _network(request, device)
        exam = exam_for(request, "cpu", "test")
        if request.rival == "JPEG":
            coded = jpeg(exam.target, request.n_bytes)
            return RivalFound(
                rival="JPEG", scores=exam_scores(coded.images, exam), image_s=coded.image_s, n_bytes=coded.n_bytes
            )
        if request.rival == "block PCA":
            return _block_pca(request, exam)
        found = timed(_classical(request), exam.given)
        return RivalFound(rival=request.rival, scores=exam_scores(found.output, exam), image_s=found.image_s)


def _block_pca(request: RivalRequest, exam: Exam) -> RivalFound:
    resident = resident_for(request.images, "cpu", request.study_seed)
    components = components_of(resident, BLOCK, request.n_values, request.study_seed)
    pca = BlockPCA(components)
    found = timed(lambda image, number: pca.decode(pca.encode(image)), exam.given)
    return RivalFound(
        rival="block PCA",
        scores=exam_scores(found.output, exam),
        image_s=found.image_s,
        # What has to be known to decode.
        parameters=sum(part.numel() for part in components),
    )


def _classical(request: RivalRequest) -> Callable[[Tensor, int], Tensor]:
    """A classical method, tuned for each strength of the noise."""
    if request.noisy_only:
        ready = calibrated(request.rival, tuning_noisy(request))
        return lambda image, number: ready.apply(image)
    method, strengths = METHODS.get(request.rival, (bm3d, (1.0,)))
    levels = tuning_levels(request)
    chosen = [(level, tuned(method, strengths, level)) for level in levels]
    return functools.partial(_applied, method, chosen)


def _applied(method: Method, chosen: list[tuple[Level, float]], image: Tensor, number: int) -> Tensor:
    """Image i has level i modulo their count."""
    level, strength = chosen[number % len(chosen)]
    return apply(method, image, level.std, strength)


def _network(request: RivalRequest, device: str) -> RivalFound:
    network, train_s = _trained(request, device) if request.rival in _HAND_MADE else (_loaded(request), None)
    network.to(device).to(memory_format=torch.channels_last).eval()
    exam = exam_for(request, device, "test")
    found = timed(lambda image, number: network(image), exam.given)
    return RivalFound(
        rival=request.rival,
        scores=exam_scores(found.output, exam),
        image_s=found.image_s,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        train_s=train_s,
    )


def _loaded(request: RivalRequest) -> nn.Module:
    assert request.network is not None
    assert request.weights_in is not None
    network = build(genotype_of(request.genotype, request.network), request.network)
    network.load_state_dict(safetensors.torch.load_file(request.weights_in))
    return network


def _trained(request: RivalRequest, device: str) -> tuple[nn.Module, float]:
    assert request.recipe is not None
    resident = resident_for(request.images, device, request.study_seed)
    with seeded(derive_seed(request.study_seed, request.rival, "weights"), "cpu"):
        network = _HAND_MADE[request.rival](resident.image_file.channels)
    seed = derive_seed(request.study_seed, request.rival, "training")
    lessons = Lessons(resident, request.recipe, request.noise, seed, request.noisy_only)
    return network, train_for(network, lessons, request.train_s, request.threads)
