"""The training loop: Adam on the mean squared error over all elements, crops and noise made on the device."""

import math
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from evoae_cli.evaluation.adam import Adam
from evoae_cli.evaluation.contract import Augmentation, Progress, Recipe, derive_seed
from evoae_cli.evaluation.masking import hide
from evoae_cli.evaluation.noise import Noise
from evoae_cli.evaluation.objective import corrupt, halves
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

    def sampler(self, side: int, augmentation: Augmentation, generator: torch.Generator) -> Crops:
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


class Lesson(NamedTuple):
    """What the network is given and what it is to make of it, each [n, C, side, side] on [-1, 1]."""

    given: Tensor
    target: Tensor
    mask: Tensor | None = None
    """[n, 1, side, side]: the pixels that count; None for all."""


def lesson_from(
    images: Tensor,
    memory_format: torch.memory_format,
    *,
    is_paired: bool,
    noise: Noise | None,
    noisy_only: bool,
    generator: torch.Generator,
) -> Lesson:
    """The lesson in crops as sampled, in `memory_format`.

    Pairs bring both sides; of images that are noisy themselves pixels are hidden; to all others noise is added.
    """
    if is_paired:
        return Lesson(*halves(images, memory_format))
    crops = images.contiguous(memory_format=memory_format)
    if noisy_only:
        hidden = hide(crops, generator)
        return Lesson(hidden.given, crops, hidden.mask)
    return Lesson(corrupt(crops, noise, generator), crops)


def train(
    network: nn.Module,
    images: TrainingImages,
    recipe: Recipe,
    *,
    noise: Noise | None,
    noisy_only: bool = False,
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
    sampler = images.sampler(recipe.crop, recipe.augmentation, generator)
    adam = Adam(network, clip=recipe.clip_gradients)
    half = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
    memory_format = torch.channels_last if recipe.channels_last else torch.contiguous_format
    network.train()

    with seeded(derive_seed(seed, "dropout"), device):
        for step in range(n_steps):
            # The last batch holds what is left of the budget.
            n = min(recipe.batch_size, n_images - step * recipe.batch_size)
            lesson = lesson_from(
                sampler.crops(n),
                memory_format,
                is_paired=images.is_paired,
                noise=noise,
                noisy_only=noisy_only,
                generator=generator,
            )

            # The loss is a mean over the whole batch, so each micro-batch weighs by its share of it.
            loss = torch.zeros((), device=device)
            for part in _parts(lesson, micro_batch):
                with half:
                    output = network(part.given)
                part_loss = _error(output.float(), part) * (len(part.given) / n)
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


def _parts(lesson: Lesson, size: int) -> Iterator[Lesson]:
    """The lesson in micro-batches of at most `size` crops."""
    given, target = torch.split(lesson.given, size), torch.split(lesson.target, size)
    masks = [None] * len(given) if lesson.mask is None else torch.split(lesson.mask, size)
    return map(Lesson, given, target, masks)


def _error(output: Tensor, lesson: Lesson) -> Tensor:
    """Mean squared error over what counts. Every crop hides as many pixels, but for those its edges cut off."""
    if lesson.mask is None:
        return F.mse_loss(output, lesson.target)
    squared = torch.where(lesson.mask, (output - lesson.target).square(), 0.0)
    return squared.sum() / (lesson.mask.sum() * output.shape[1])
