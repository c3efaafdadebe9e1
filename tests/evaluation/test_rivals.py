"""What models are compared with, on real image files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gradients import gradients
from torch import nn

from evoae_cli.evaluation.contract import (
    Augmentation,
    ImagesRef,
    NetworkSpec,
    Recipe,
    ReferencesRequest,
    Rival,
    RivalFound,
    RivalRequest,
)
from evoae_cli.evaluation.evaluate import exam_for, score, write_weights
from evoae_cli.evaluation.handmade import DnCNN, UNet
from evoae_cli.evaluation.metrics import exam_scores
from evoae_cli.evaluation.noise import gaussian, parse_noise
from evoae_cli.evaluation.references import measure_references
from evoae_cli.evaluation.reproducible import seeded
from evoae_cli.evaluation.rivals import measure_rival, timed
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import build

NOISE = gaussian(0.5)
SPEC = NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same")
RECIPE = Recipe(
    epochs=1,
    epoch_images=1,
    batch_size=4,
    crop=16,
    augmentation=Augmentation(),
    lr=2e-3,
    schedule="cosine",
    precision="float32",
    channels_last=True,
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImagesRef:
    return gradients(tmp_path_factory.mktemp("cache"))


def asked(images: ImagesRef, rival: Rival, **changes: Any) -> RivalRequest:
    usual: dict[str, Any] = {"objective": "denoise", "study_seed": 3, "images": images, "noise": NOISE, "threads": 1}
    return RivalRequest(rival=rival, **usual | changes)


def n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def found(images: ImagesRef, rival: Rival, **changes: Any) -> RivalFound:
    return measure_rival(asked(images, rival, **changes), "cpu")


@pytest.mark.parametrize("noise", [NOISE, parse_noise("gaussian:10-60"), None])
@pytest.mark.parametrize("rival", ["wavelet", "total variation", "non-local means"])
def test_a_classical_method_scores_as_in_a_study_and_is_timed(images: ImagesRef, rival: Rival, noise: Any) -> None:
    """Without noise of a study's own the images are noisy themselves, and their hidden pixels are scored."""
    noisy_only = noise is None
    one = found(images, rival, noise=noise, noisy_only=noisy_only)
    request = ReferencesRequest(
        objective="denoise", split="test", study_seed=3, images=images, noise=noise, noisy_only=noisy_only, threads=1
    )
    assert one.scores == measure_references(request).methods[rival]
    assert 0 < one.image_s < 10
    assert one.parameters is None


@pytest.mark.parametrize("noisy_only", [False, True])
def test_bm3d_is_one_of_them_where_it_is_installed(images: ImagesRef, noisy_only: bool) -> None:
    pytest.importorskip("bm3d")
    one = found(images, "BM3D", noise=None if noisy_only else NOISE, noisy_only=noisy_only)
    if not noisy_only:
        noisy = exam_scores(
            exam_for(asked(images, "BM3D"), "cpu", "test").given, exam_for(asked(images, "BM3D"), "cpu", "test")
        )
        assert one.scores.fitness > 5 * noisy.fitness
    assert one.scores.fitness > 0


@pytest.mark.parametrize(("rival", "made"), [("DnCNN", DnCNN), ("U-Net", UNet)])
def test_a_hand_made_network_learns_for_the_time_given(
    images: ImagesRef, rival: Rival, made: Callable[[int], nn.Module]
) -> None:
    # Long enough for some steps on a busy machine too: after the first ones of its warm-up U-Net is worse than before.
    one = found(images, rival, recipe=RECIPE, train_s=4.0)
    exam = exam_for(asked(images, rival), "cpu", "test")
    with seeded(1, "cpu"):
        network = made(3)
    with torch.inference_mode():
        untrained = exam_scores(network(exam.given), exam)
    assert one.scores.fitness > untrained.fitness
    assert one.parameters == n_parameters(network)
    assert one.train_s is not None
    assert 0.1 < one.train_s < 40


def test_a_model_scores_as_it_did_in_its_study(images: ImagesRef, tmp_path: Path) -> None:
    text = "3x3conv2d:8"
    with seeded(1, "cpu"):
        network = build(parse_genotype(text), SPEC)
    write_weights(network, str(tmp_path / "weights"))
    one = found(images, "network", genotype=text, network=SPEC, weights_in=str(tmp_path / "weights"))
    exam = exam_for(asked(images, "network"), "cpu", "test")
    assert one.scores.mse == pytest.approx(score(network, exam.given, exam.target).mse, rel=1e-5)
    assert one.parameters == n_parameters(network)


def test_more_components_keep_more(images: ImagesRef) -> None:
    few, many = (found(images, "block PCA", objective="manifold", noise=None, n_values=n) for n in (2, 12))
    assert many.scores.fitness > few.scores.fitness
    assert (few.parameters, many.parameters) == (192 + 2 * 192, 192 + 12 * 192)


def test_a_jpeg_takes_no_more_than_it_may(images: ImagesRef) -> None:
    small, large = (found(images, "JPEG", objective="manifold", noise=None, n_bytes=n) for n in (700, 1500))
    assert small.n_bytes is not None
    assert small.n_bytes <= 700
    assert large.scores.fitness >= small.scores.fitness


def test_the_first_runs_are_not_timed_and_each_image_comes_alone() -> None:
    seen: list[tuple[int, int]] = []

    def method(image: torch.Tensor, number: int) -> torch.Tensor:
        seen.append((len(image), number))
        return image + number

    given = torch.zeros(3, 1, 2, 2)
    output = timed(method, given).output
    assert output[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert seen == [(1, 0), (1, 0), (1, 0), (1, 1), (1, 2)]
