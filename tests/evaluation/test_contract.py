"""The values that cross between the search and an evaluation."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.evaluation.contract import (
    Augmentation,
    Evaluation,
    EvaluationRequest,
    ImagesRef,
    NetworkSpec,
    Recipe,
    Scores,
    derive_seed,
)
from evoae_cli.evaluation.noise import gaussian
from evoae_cli.outcome import Outcome

REQUEST = EvaluationRequest(
    genotype="5x5conv2d:16,dropout2d",
    objective="denoise",
    stage="final",
    seed_index=2,
    study_seed=7,
    seed=derive_seed(7, "5x5conv2d:16,dropout2d", "final", 2),
    network=NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same"),
    recipe=Recipe(
        epochs=2,
        epoch_images=1024,
        batch_size=16,
        crop=32,
        augmentation=Augmentation(flips=True),
        lr=2e-3,
        schedule="cosine",
        precision="bfloat16",
        channels_last=True,
    ),
    images=ImagesRef(path="/cache/images", fingerprint="ab" * 32, patch=32, n_val=4, n_test=4),
    noise=gaussian(1 / 3),
    threads=1,
    weights_out="weights.safetensors",
    keep_above=63.2,
)
SCORES = Scores(mse=0.0125, psnr_db=25.5, psnr_pooled_db=25.0, ssim=0.8)


def test_a_seed_is_the_same_in_every_process_and_version() -> None:
    # The first 63 bits of the SHA-256 of the parts with a 0x1f between each.
    assert derive_seed(0, "3x3conv2d:16", "search", 0) == 2872995137592796630
    assert derive_seed(7, "noise", "val") == 4548568400521981307


@given(st.integers(0, 2**63 - 1), st.text(), st.sampled_from(["search", "final"]))
def test_a_seed_fits_a_signed_64_bit_integer(study_seed: int, key: str, stage: str) -> None:
    assert 0 <= derive_seed(study_seed, key, stage, 0) < 2**63


def test_seeds_of_other_studies_genotypes_stages_and_repetitions_differ() -> None:
    seeds = {
        derive_seed(study, genotype, stage, index)
        for study in range(5)
        for genotype in ("1x1conv2d:8", "3x3conv2d:8", "3x3conv2d:8,dropout2d")
        for stage in ("search", "final")
        for index in range(3)
    }
    assert len(seeds) == 5 * 3 * 2 * 3


def test_the_parts_of_a_seed_are_not_run_together() -> None:
    assert derive_seed(1, 23) != derive_seed(12, 3)


def test_a_request_survives_messagepack_bit_for_bit() -> None:
    encoded = msgspec.msgpack.encode(REQUEST)
    assert msgspec.msgpack.decode(encoded, type=EvaluationRequest) == REQUEST
    assert len(encoded) < 2_000


def test_an_evaluation_survives_messagepack_with_its_outcome() -> None:
    done = Evaluation(
        genotype="dropout2d", stage="search", seed_index=0, outcome=Outcome.OK, scores=SCORES, parameters=5
    )
    failed = Evaluation(genotype="dropout2d", stage="search", seed_index=0, outcome=Outcome.OOM, reason="needs 9 GB")
    for evaluation in (done, failed):
        decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(evaluation), type=Evaluation)
        assert decoded == evaluation
        assert decoded.outcome is evaluation.outcome


@pytest.mark.parametrize(
    ("field", "nonsense"), [("objective", "blur"), ("stage", "later"), ("seed", "7"), ("network", None)]
)
def test_a_message_that_is_no_request_is_refused(field: str, nonsense: object) -> None:
    message = msgspec.to_builtins(REQUEST) | {field: nonsense}
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=EvaluationRequest)


def test_a_request_cannot_be_changed_after_it_was_made() -> None:
    with pytest.raises(AttributeError):
        REQUEST.seed = 1  # type: ignore[misc]


def test_fitness_is_one_over_the_mean_squared_error() -> None:
    assert SCORES.fitness == pytest.approx(80.0)
    done = Evaluation(genotype="dropout2d", stage="search", seed_index=0, outcome=Outcome.OK, scores=SCORES)
    assert done.fitness == SCORES.fitness


@pytest.mark.parametrize("mse", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_an_error_that_is_no_positive_finite_number_has_fitness_0(mse: float) -> None:
    assert Scores(mse=mse, psnr_db=0.0, psnr_pooled_db=0.0, ssim=0.0).fitness == 0.0


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_a_failed_evaluation_has_fitness_0(outcome: Outcome) -> None:
    assert Evaluation(genotype="dropout2d", stage="search", seed_index=0, outcome=outcome).fitness == 0.0
