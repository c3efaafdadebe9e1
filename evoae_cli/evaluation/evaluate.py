"""evaluate: the one function a worker runs. A request in, an Evaluation out, the same bits whatever ran before."""

import contextlib
import functools
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import safetensors.torch
import torch
from torch import Tensor

from evoae_cli.errors import EvoaeError, UsageError, first_line
from evoae_cli.evaluation.blindspot import cleaned
from evoae_cli.evaluation.components import Components, components_of
from evoae_cli.evaluation.contract import (
    Evaluation,
    EvaluationRequest,
    ImagesRef,
    Progress,
    Request,
    Residual,
    Scores,
    Split,
    Stage,
    derive_seed,
)
from evoae_cli.evaluation.hardware import device_model, total_memory
from evoae_cli.evaluation.imagefile import open_image_file
from evoae_cli.evaluation.masking import hidden_exam
from evoae_cli.evaluation.memory import free_memory, is_memory_error
from evoae_cli.evaluation.metrics import Exam, exam_scores, psnr_by_image, scores
from evoae_cli.evaluation.noise import Noise, strength_texts
from evoae_cli.evaluation.objective import fixed_noisy, halves
from evoae_cli.evaluation.reproducible import reproducible, seeded
from evoae_cli.evaluation.resident import Resident
from evoae_cli.evaluation.residual import residual_of
from evoae_cli.evaluation.training import DivergedError, train
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.spaces import genotype_of
from evoae_cli.outcome import Outcome
from evoae_cli.phenotype.autoencoder import Autoencoder, build
from evoae_cli.phenotype.cost import cost, training_bytes
from evoae_cli.wholefile import write_whole

_TRAINED: tuple[Stage, ...] = ("search", "final")
"""The stages in which a network is trained."""
_GIB = 2**30
_MICRO_BATCHES = 4
"""Into how many parts a batch falls when it did not fit in memory at once."""
_CHUNK_PIXELS = {"cpu": 2 * 96 * 96, "cuda": 64 * 96 * 96}
"""Pixels scored at once. On a CPU fewer than a training step sees, so scoring does not decide the memory a worker
needs; a GPU wants to be filled. Each image is scored on its own, so what is found does not depend on it."""
_TRAINING_SHARE = 0.97
"""Share of the progress that training makes up; scoring is the rest."""


class _Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt that did not run out of memory found."""

    outcome: Outcome
    reason: str = ""
    scores: Scores | None = None
    psnr_by_strength: dict[str, float] = {}
    residual: Residual | None = None
    images_seen: int = 0
    train_s: float = 0.0
    evaluate_s: float = 0.0
    weights: str | None = None


def evaluate(request: EvaluationRequest, device: str, progress: Progress = lambda share: None) -> Evaluation:
    """Train the request's genotype (`search`, `final`), or load its weights alone (`start`, `test`), and score it.

    NaN ends as `diverged`; memory that runs out, also in micro-batches, as `oom`, and so does, untried, a training that
    needs more than the device has: all are results. Raises UsageError for a genotype that cannot be read or an image
    file that is not the request's, EvoaeError where the images themselves do not fit in memory: no candidate is to
    blame for that.
    """
    genotype = genotype_of(request.genotype, request.network)
    if reason := _reason_not_to_try(request, genotype, device):
        findings, n_parts = _Findings(outcome=Outcome.OOM, reason=reason), 1
    else:
        findings, n_parts = _found(request, device, progress)
    price = cost(genotype, request.network, request.images.patch)
    return Evaluation(
        genotype=request.genotype,
        stage=request.stage,
        seed_index=request.seed_index,
        parameters=price.parameters,
        operations=price.operations,
        code_values=price.code_values,
        device=device_model(device),
        dtype=request.recipe.precision,
        torch=str(torch.__version__),
        micro_batches=n_parts,
        **msgspec.structs.asdict(findings),
    )


def score(network: Autoencoder, noisy: Tensor, clean: Tensor, n_parts: int = 1) -> Scores:
    """Scores of a network on [n, C, H, W] images, in evaluation mode and float32. The network is left in that mode."""
    with torch.inference_mode():
        return scores(outputs(network, noisy, n_parts), clean)


def outputs(network: Autoencoder, noisy: Tensor, n_parts: int = 1) -> Tensor:
    """What a network makes of [n, C, H, W] images, in evaluation mode and float32. It is left in that mode."""
    network.eval()
    pixels = _CHUNK_PIXELS.get(noisy.device.type, _CHUNK_PIXELS["cpu"])
    chunk = max(1, pixels // (n_parts * noisy.shape[-1] * noisy.shape[-2]))
    with torch.inference_mode():
        return torch.cat([network(part) for part in torch.split(noisy, chunk)])


@functools.lru_cache(maxsize=2)
def resident_for(images: ImagesRef, device: str, study_seed: int) -> Resident:
    """A study's images on a device, kept between evaluations.

    Raises UsageError for another study's file, EvoaeError where they do not fit in memory.
    """
    image_file = open_image_file(images.path)
    if image_file.fingerprint != images.fingerprint:
        raise UsageError(
            f"{images.path} holds other images ({image_file.fingerprint[:12]}) than the study "
            f"({images.fingerprint[:12]}); delete the file, so that it is made again"
        )
    with _fitting(device):
        return Resident(image_file, device, images.patch, images.n_val, images.n_test, study_seed)


@functools.lru_cache(maxsize=4)
def inputs_and_targets(
    images: ImagesRef, device: str, study_seed: int, split: Split, noise: Noise | None
) -> tuple[Tensor, Tensor]:
    """Fixed noisy inputs and clean targets of `val` or `test`, each [n, C, patch, patch] on the device; read only.

    Pairs bring their own noise, and `noise` is None.

    Raises EvoaeError where they do not fit in memory.
    """
    assert split != "train"
    resident = resident_for(images, device, study_seed)
    with _fitting(device):
        clean = resident.patches(split)
        if resident.is_paired:
            return halves(clean)
        return (clean if noise is None else fixed_noisy(clean, noise, study_seed, split)), clean


def exam_for(request: Request, device: str, split: Split) -> Exam:
    """What the request's network, or the classical methods, are scored on; read only, kept between evaluations.

    Raises UsageError and EvoaeError like `resident_for`.
    """
    if request.noisy_only:
        return _hidden_exam(request.images, device, request.study_seed, split)
    return Exam(*inputs_and_targets(request.images, device, request.study_seed, split, request.noise))


@functools.lru_cache(maxsize=4)
def _hidden_exam(images: ImagesRef, device: str, study_seed: int, split: Split) -> Exam:
    noisy, _ = inputs_and_targets(images, device, study_seed, split, None)
    with _fitting(device):
        return hidden_exam(noisy, study_seed, split)


@functools.lru_cache(maxsize=2)
def _components(images: ImagesRef, device: str, study_seed: int, block: int, k: int) -> Components:
    return components_of(resident_for(images, device, study_seed), block, k, study_seed)


def write_weights(network: Autoencoder, path: str) -> None:
    """Write a network's weights, as safetensors on the CPU, so that `path` always holds a whole file or none."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_whole(Path(path), safetensors.torch.save(state))


@contextlib.contextmanager
def _fitting(device: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_memory_error(error):
            raise
        raise EvoaeError(f"the images do not fit on {device}: {first_line(error)}") from error


def _reason_not_to_try(request: EvaluationRequest, genotype: Genotype, device: str) -> str:
    """Why the request's training cannot fit on `device`, whatever else is there; empty where it may."""
    if request.stage not in _TRAINED:
        return ""
    needed, present = training_bytes(genotype, request.network, request.recipe), total_memory(device)
    if needed <= present:
        return ""
    return (
        f"training needs about {needed / _GIB:,.1f} GiB, {device} has {present / _GIB:,.1f} GiB; "
        "smaller batches or crops need less"
    )


def _found(request: EvaluationRequest, device: str, progress: Progress) -> tuple[_Findings, int]:
    """What was found, and in how many parts each batch; a second attempt follows where memory runs out in the first."""
    split: Split = "test" if request.stage == "test" else "val"
    with reproducible(request.threads):
        resident = resident_for(request.images, device, request.study_seed)
        exam = exam_for(request, device, split)
        for n_parts in (1, _MICRO_BATCHES):
            try:
                return _attempt(request, resident, exam, n_parts, progress), n_parts
            except (RuntimeError, MemoryError) as error:
                if not is_memory_error(error):
                    raise
                memory_error = first_line(error)
            free_memory(device)
    reason = f"memory ran out, also in micro-batches: {memory_error[:300]}"
    return _Findings(outcome=Outcome.OOM, reason=reason), _MICRO_BATCHES


def _attempt(request: EvaluationRequest, resident: Resident, exam: Exam, n_parts: int, progress: Progress) -> _Findings:
    recipe, device = request.recipe, str(resident.device)

    # Weights are drawn on the CPU, so every device starts from the same ones, but for a linear code: that begins with
    # blocks which are drawn on the device.
    with seeded(derive_seed(request.seed, "weights"), "cpu"):
        network = build(genotype_of(request.genotype, request.network), request.network)
    if request.weights_in is not None:
        network.load_state_dict(safetensors.torch.load_file(request.weights_in))
    elif network.transform is not None:
        plan = network.transform.plan
        network.begin(*_components(request.images, device, request.study_seed, plan.block, plan.channels))
    network.to(device)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)

    started = time.perf_counter()
    images_seen = 0
    if request.stage in _TRAINED:
        try:
            images_seen = train(
                network,
                resident,
                recipe,
                noise=request.noise,
                noisy_only=request.noisy_only,
                seed=request.seed,
                device=device,
                n_parts=n_parts,
                progress=lambda share: progress(_TRAINING_SHARE * share),
            )
        except DivergedError as error:
            return _Findings(outcome=Outcome.DIVERGED, reason=str(error), train_s=time.perf_counter() - started)
    trained = time.perf_counter()

    output = outputs(network, exam.given, n_parts)
    by_strength, residual = {}, None
    with torch.inference_mode():
        found = exam_scores(output, exam)
        if request.stage == "test" and request.noise is not None:
            by_strength = _psnr_by_strength(output, exam.target, request.noise)
    if request.stage == "final" and request.noisy_only:
        noisy = resident.patches("val")
        residual = residual_of(noisy, cleaned(functools.partial(outputs, network, n_parts=n_parts), noisy))
    evaluated = time.perf_counter()
    if not found.fitness > 0:
        reason = f"the mean squared error on {'test' if request.stage == 'test' else 'val'} is {found.mse}"
        return _Findings(outcome=Outcome.DIVERGED, reason=reason, train_s=trained - started)

    weights = None
    if request.weights_out is not None and found.fitness > request.keep_above:
        write_weights(network, request.weights_out)
        weights = request.weights_out
    progress(1.0)
    return _Findings(
        outcome=Outcome.OK,
        scores=found,
        psnr_by_strength=by_strength,
        residual=residual,
        images_seen=images_seen,
        train_s=trained - started,
        evaluate_s=evaluated - trained,
        weights=weights,
    )


def _psnr_by_strength(output: Tensor, clean: Tensor, noise: Noise) -> dict[str, float]:
    """Mean PSNR over the images of each strength that `fixed_noisy` gave any."""
    strengths, psnr = strength_texts(noise.strengths), psnr_by_image(output, clean)
    return {strength: float(psnr[i :: len(strengths)].mean()) for i, strength in enumerate(strengths[: len(psnr)])}
