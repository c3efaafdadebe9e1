"""The training loop: Adam on the mean squared error over all elements, crops and noise made on the device."""

import math
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from evoae_cli.evaluation.adam import Adam
from evoae_cli.evaluation.contract import Progress, Recipe, derive_seed
from evoae_cli.evaluation.noise import Noise
from evoae_cli.evaluation.objective import noisy_and_clean
from evoae_cli.evaluation.reproducible import seeded

_N_CHECKS = 50
"""How often in a training the loss is read and progress told. Reading it waits for the GPU, so not at every step."""
_WARM_UP = 0.1
"""Share of the steps in which a cosine schedule rises to its peak ..."""
_MAX_WARM_UP = 200
"""... and the most steps that takes: Adam's moments have settled by then."""


class Crops(Protocol):
    """Random crops without end."""

    def crops(self, n: int) -> Tensor:
        """The next n, [n, C, side, side] float32 on [-1, 1]; of pairs [n, 2C, side, side], the noisy images first."""


class TrainingImages(Protocol):
    """Training images on the device."""

    @property
    def is_paired(self) -> bool:
        """Whether each is a pair of a noisy and a clean image."""

    def sampler(self, side: int, flips: bool, generator: torch.Generator) -> Crops:
        """Crops of one training, with all that is random in them from `generator`."""


class DivergedError(Exception):
    """The loss became NaN or infinite."""


def learning_rate(recipe: Recipe, step: int, n_steps: int) -> float:
    """Learning rate of step 0 <= `step` < `n_steps`."""
    if recipe.schedule == "constant":
        return recipe.lr
    n_warm = max(1, min(int(_WARM_UP * n_steps), _MAX_WARM_UP))
    if step < n_warm:
        return recipe.lr * (step + 1) / n_warm
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - n_warm + 1) / (n_steps - n_warm + 1)))


def train(
    network: nn.Module,
    images: TrainingImages,
    recipe: Recipe,
    *,
    noise: Noise | None,
    seed: int,
    device: str,
    n_parts: int,
    progress: Progress,
) -> int:
    """Train `network`, which lies on `device`, in place, and return the number of crops seen.

    Every draw comes from `seed`; torch's global generators are as before afterwards. `n_parts` splits each batch into
    micro-batches whose gradients add up to the batch's. Raises DivergedError once the loss is no finite number.
    """
    n_images = recipe.epochs * recipe.epoch_images
    n_steps = math.ceil(n_images / recipe.batch_size)
    check_every = max(1, n_steps // _N_CHECKS)
    micro_batch = math.ceil(recipe.batch_size / n_parts)
    generator = torch.Generator(device).manual_seed(derive_seed(seed, "crops and noise"))
    sampler = images.sampler(recipe.crop, recipe.flips, generator)
    adam = Adam(network)
    half = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
    memory_format = torch.channels_last if recipe.channels_last else torch.contiguous_format
    network.train()

    with seeded(derive_seed(seed, "dropout"), device):
        for step in range(n_steps):
            # The last batch holds what is left of the budget.
            n = min(recipe.batch_size, n_images - step * recipe.batch_size)
            noisy, clean = noisy_and_clean(sampler.crops(n), images.is_paired, noise, generator, memory_format)

            # The loss is a mean over the whole batch, so each micro-batch weighs by its share of it.
            loss = torch.zeros((), device=device)
            for clean_part, noisy_part in zip(
                torch.split(clean, micro_batch), torch.split(noisy, micro_batch), strict=True
            ):
                with half:
                    output = network(noisy_part)
                part_loss = F.mse_loss(output.float(), clean_part) * (len(clean_part) / n)
                part_loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                loss = loss + part_loss.detach()

            # The step, at the schedule's learning rate.
            adam.step(learning_rate(recipe, step, n_steps))

            # A NaN in the weights stays there, so looking now and then misses none.
            if (step + 1) % check_every == 0 or step + 1 == n_steps:
                if not math.isfinite(loss.item()):
                    raise DivergedError(f"the loss was {loss.item()} after {step + 1} of {n_steps} steps")
                progress((step + 1) / n_steps)
    return n_images
