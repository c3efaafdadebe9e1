"""What a denoiser or compressor has to beat: the images as they come, a constant image, the classical methods."""

import contextlib
from pathlib import Path

import torch
from torch import Tensor

from evoae_cli.evaluation.calibrated import Calibrated
from evoae_cli.evaluation.calibrated import references as calibrated_references
from evoae_cli.evaluation.classical import Level
from evoae_cli.evaluation.classical import references as classical_references
from evoae_cli.evaluation.contract import (
    Augmentation,
    References,
    ReferencesRequest,
    RivalRequest,
    Scores,
    derive_seed,
)
from evoae_cli.evaluation.evaluate import exam_for, inputs_and_targets, resident_for
from evoae_cli.evaluation.metrics import Exam, exam_scores
from evoae_cli.evaluation.objective import halves, noise_levels
from evoae_cli.evaluation.picturefile import Column, PictureFile, shown_numbers, write_pictures
from evoae_cli.evaluation.picturing import column
from evoae_cli.evaluation.reproducible import reproducible
from evoae_cli.evaluation.resident import Resident

_N_TUNING = 16
"""Training crops on which the classical methods are tuned, drawn from all images: fewer may miss their variety. A
range's strengths share them: as many for each took five times as long and were no better (measured)."""
_N_MEAN, _MEAN_SIDE = 256, 8
"""Crops, and their side, over which the training images' mean colour is taken."""
_N_NOISE, _NOISE_SIDE = 4096, 8
"""Crops, and their side, over which the noise of pairs is measured: a quarter of a million pixels, of all pairs."""
_LEAST_STD = 1e-3
"""Standard deviation given to the classical methods at least, as they divide by it; a step of 8 bits is 8e-3."""


def measure_references(request: ReferencesRequest) -> References:
    """Score what needs no training on one split. Runs on the CPU, where the classical methods live."""
    with reproducible(request.threads):
        return _measure(request)


def _measure(request: ReferencesRequest) -> References:
    resident = resident_for(request.images, "cpu", request.study_seed)
    exam = exam_for(request, "cpu", request.split)
    if request.objective == "manifold":
        constant = _constant(resident, exam, _tuning_generator(request))
        return References(baseline_name="constant image", baseline=constant, methods={})
    # From a stream of its own, so that the methods are tuned on the crops that they always were.
    constant = _constant(resident, exam, _generator(request.study_seed, "mean colour"))
    baseline = exam_scores(exam.given, exam)
    columns: dict[str, Column] = {}
    if request.noisy_only:
        # What stands in for the hidden pixels is the least that can be made of those round them.
        name = "local median"
        # Its exam has each image several times, with others hidden.
        noisy, _ = inputs_and_targets(request.images, "cpu", request.study_seed, request.split, None)
        shown = _shown(request, len(noisy))

        def see_ready(name: str, one: Calibrated) -> None:
            if shown:
                columns[name] = column(name, one.apply(noisy[shown]))

        methods = calibrated_references(exam, tuning_noisy(request), see_ready)
    else:
        name, shown = "noisy", _shown(request, len(exam.target))

        def see_output(name: str, output: Tensor) -> None:
            if shown:
                columns[name] = column(name, output[shown], exam.target[shown])

        methods = classical_references(exam.target, exam.given, tuning_levels(request), see_output)
    if request.pictures_out is not None:
        best = max(methods, key=lambda name: _quality(methods[name]))
        # A picture that cannot be kept must not end a study.
        with contextlib.suppress(OSError):
            write_pictures(Path(request.pictures_out), PictureFile(numbers=tuple(shown), columns=(columns[best],)))
    return References(baseline_name=name, baseline=baseline, methods=methods, constant=constant)


def _shown(request: ReferencesRequest, n_images: int) -> list[int]:
    return [] if request.pictures_out is None else shown_numbers(n_images)


def _quality(scores: Scores) -> float:
    """What methods are compared by where pictures are shown: the PSNR, or where none can be known the fitness."""
    return scores.fitness if scores.psnr_db is None else scores.psnr_db


def _constant(resident: Resident, exam: Exam, generator: torch.Generator) -> Scores:
    """Scores of the training images' mean colour; of pairs, that of the clean ones."""
    crops = resident.sampler(_MEAN_SIDE, Augmentation(), generator).crops(_N_MEAN)
    training = halves(crops)[1] if resident.is_paired else crops
    return exam_scores(training.mean(dim=(0, 2, 3), keepdim=True).expand_as(exam.target), exam)


def _generator(study_seed: int, purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(study_seed, purpose))


def tuning_noisy(request: ReferencesRequest | RivalRequest) -> Tensor:
    """Noisy training crops [n, C, H, W], where there are no clean ones."""
    return _tuning_crops(request, _N_TUNING, _tuning_generator(request))


def tuning_levels(request: ReferencesRequest | RivalRequest) -> list[Level]:
    """Training images for each strength of the noise; of pairs there is one, which is measured on them."""
    generator = _tuning_generator(request)
    if request.noise is None:
        noisy, clean = halves(_tuning_crops(request, _N_TUNING, generator))
        resident = resident_for(request.images, "cpu", request.study_seed)
        return [Level(clean, noisy, _std_of_pairs(resident, request.study_seed))]
    n_strengths = len(request.noise.strengths)
    n_tuning = -(-_N_TUNING // n_strengths) * n_strengths
    crops = _tuning_crops(request, n_tuning, generator)
    return [Level(*level) for level in noise_levels(crops, request.noise, generator)]


def _tuning_crops(request: ReferencesRequest | RivalRequest, n: int, generator: torch.Generator) -> Tensor:
    resident = resident_for(request.images, "cpu", request.study_seed)
    return resident.sampler(request.images.patch, Augmentation(), generator).crops(n)


def _tuning_generator(request: ReferencesRequest | RivalRequest) -> torch.Generator:
    return _generator(request.study_seed, "tuning of the classical methods")


def _std_of_pairs(resident: Resident, study_seed: int) -> float:
    """Standard deviation of noisy less clean over the training pairs, on the [-1, 1] scale."""
    generator = _generator(study_seed, "noise of the pairs")
    noisy, clean = halves(resident.sampler(_NOISE_SIDE, Augmentation(), generator).crops(_N_NOISE))
    return max(float((noisy - clean).std()), _LEAST_STD)
