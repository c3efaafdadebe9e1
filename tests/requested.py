"""A small evaluation as a search asks for it."""

import msgspec

from evoae_cli.evaluation.contract import Augmentation, EvaluationRequest, ImagesRef, NetworkSpec, Recipe
from evoae_cli.evaluation.noise import gaussian


def small_request(images: ImagesRef, *, lr: float = 1e-3, **changes: object) -> EvaluationRequest:
    """Of grey images of 16x16 at least."""
    usual = EvaluationRequest(
        genotype="3x3conv2d:4,3x3conv2d:4",
        objective="denoise",
        stage="search",
        study_seed=0,
        seed=1,
        network=NetworkSpec(channels=1, reductions=1, code_channels=None, decoder="same"),
        recipe=Recipe(
            epochs=1,
            epoch_images=32,
            batch_size=8,
            crop=16,
            augmentation=Augmentation(),
            lr=lr,
            schedule="constant",
            precision="float32",
            channels_last=True,
        ),
        images=images,
        noise=gaussian(0.3),
        threads=1,
    )
    return msgspec.structs.replace(usual, **changes)
