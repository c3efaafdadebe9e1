"""What a denoiser or compressor has to beat: the images as they come, a constant image, the classical methods."""

import torch

from evoae_cli.evaluation.calibrated import references as calibrated_references
from evoae_cli.evaluation.classical import Level
from evoae_cli.evaluation.classical import references as classical_references
from evoae_cli.evaluation.contract import Augmentation, References, ReferencesRequest, derive_seed
from evoae_cli.evaluation.evaluate import exam_for, resident_for
from evoae_cli.evaluation.metrics import exam_scores, scores
from evoae_cli.evaluation.objective import halves, noise_levels
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
    images = request.images
    resident = resident_for(images, "cpu", request.study_seed)
    exam = exam_for(request, "cpu", request.split)
    generator = torch.Generator().manual_seed(derive_seed(request.study_seed, "tuning of the classical methods"))
    if request.objective == "manifold":
        training = resident.sampler(_MEAN_SIDE, Augmentation(), generator).crops(_N_MEAN)
        constant = training.mean(dim=(0, 2, 3), keepdim=True).expand_as(exam.target)
        return References(baseline_name="constant image", baseline=scores(constant, exam.target), methods={})
    if request.noisy_only:
        training = resident.sampler(images.patch, Augmentation(), generator).crops(_N_TUNING)
        # What stands in for the hidden pixels is the least that can be made of those round them.
        baseline = exam_scores(exam.given, exam)
        return References(
            baseline_name="local median", baseline=baseline, methods=calibrated_references(exam, training)
        )
    return References(
        baseline_name="noisy",
        baseline=exam_scores(exam.given, exam),
        methods=classical_references(exam.target, exam.given, _levels(resident, request, generator)),
    )


def _levels(resident: Resident, request: ReferencesRequest, generator: torch.Generator) -> list[Level]:
    """Training images for each strength of the noise; of pairs there is one, which is measured on them."""
    sampler = resident.sampler(request.images.patch, Augmentation(), generator)
    if request.noise is None:
        noisy, clean = halves(sampler.crops(_N_TUNING))
        return [Level(clean, noisy, _std_of_pairs(resident, request.study_seed))]
    n_strengths = len(request.noise.strengths)
    n_tuning = -(-_N_TUNING // n_strengths) * n_strengths
    return [Level(*level) for level in noise_levels(sampler.crops(n_tuning), request.noise, generator)]


def _std_of_pairs(resident: Resident, study_seed: int) -> float:
    """Standard deviation of noisy less clean over the training pairs, on the [-1, 1] scale."""
    generator = torch.Generator().manual_seed(derive_seed(study_seed, "noise of the pairs"))
    noisy, clean = halves(resident.sampler(_NOISE_SIDE, Augmentation(), generator).crops(_N_NOISE))
    return max(float((noisy - clean).std()), _LEAST_STD)
