"""Hand-made denoisers to compare with, as plain PyTorch, and their training for a given time by a study's recipe."""

import copy
import time
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from evoae_cli.evaluation.contract import Recipe
from evoae_cli.evaluation.noise import Noise
from evoae_cli.evaluation.reproducible import reproducible
from evoae_cli.evaluation.resident import Resident
from evoae_cli.evaluation.training import train

DNCNN_DEPTH, DNCNN_FILTERS = 8, 32
UNET_FILTERS, UNET_REDUCTIONS = 16, 3

_N_WARM = 3
"""Steps before the clock of a pilot training starts."""
_N_FIRST = 5
"""Steps of the first pilot ..."""
_PILOT_SHARE = 0.05
"""... and the share of the whole time that the second one takes."""


class DnCNN(nn.Module):
    """Zhang et al. 2017, "Beyond a Gaussian Denoiser", section III: 3x3 convolutions that predict the noise.

    The first is followed by ReLU, the last by nothing, all others by batch normalisation and ReLU. The article has 17
    of 64 filters (20 in colour), which is ten times as many operations as here.
    """

    def __init__(self, channels: int, depth: int = DNCNN_DEPTH, filters: int = DNCNN_FILTERS) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            # The normalisation has a shift of its own, so a bias would be of no use.
            layers += [nn.Conv2d(filters, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        self.noise = nn.Sequential(*layers, nn.Conv2d(filters, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Noisy [n, C, H, W] on [-1, 1] -> clean, the same."""
        clean: Tensor = x - self.noise(x)
        return clean


class UNet(nn.Module):
    """Ronneberger et al. 2015, "U-Net", figure 1, made small: padded convolutions, fewer filters and levels.

    Each level has two 3x3 convolutions with ReLU; 2x2 max pooling leads down and doubles the filters, a 2x2 transposed
    convolution leads up, where the level's own features join; a 1x1 convolution ends it.
    """

    def __init__(self, channels: int, filters: int = UNET_FILTERS, reductions: int = UNET_REDUCTIONS) -> None:
        super().__init__()
        widths = [filters << level for level in range(reductions + 1)]
        self.down = nn.ModuleList(
            _two_convolutions(n_in, n_out) for n_in, n_out in zip([channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, 2) for width in widths[-2::-1])
        self.joined = nn.ModuleList(_two_convolutions(2 * width, width) for width in widths[-2::-1])
        self.pool = nn.MaxPool2d(2, 2)
        self.output = nn.Conv2d(filters, channels, 1)
        self.step = 1 << reductions

    def forward(self, x: Tensor) -> Tensor:
        """Noisy [n, C, H, W] on [-1, 1] -> clean, the same; sides that cannot be halved are padded meanwhile."""
        height, width = x.shape[2:]
        x = functional.pad(x, (0, -width % self.step, 0, -height % self.step), mode="replicate")
        passed: list[Tensor] = []
        for level, convolutions in enumerate(self.down):
            x = convolutions(self.pool(x) if level else x)  # [n, f * 2**i, H/2**i, W/2**i]
            passed.append(x)
        passed.pop()
        for up, joined in zip(self.up, self.joined, strict=True):
            x = joined(torch.cat([passed.pop(), up(x)], dim=1))  # [n, f * 2**i, H/2**i, W/2**i], back to i = 0
        clean: Tensor = self.output(x)[:, :, :height, :width]
        return clean


def _two_convolutions(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU(), nn.Conv2d(n_out, n_out, 3, padding=1), nn.ReLU()
    )


class Lessons(NamedTuple):
    """What networks are trained by; the same for all of a comparison."""

    images: Resident
    recipe: Recipe
    """Its number of crops is replaced by what the time allows."""
    noise: Noise | None
    """None where the images bring their own."""
    seed: int
    noisy_only: bool = False
    """Whether hidden pixels are learnt."""


def train_for(network: nn.Module, lessons: Lessons, seconds: float, threads: int = 1) -> float:
    """Train `network` in place for about `seconds`, on threads of a CPU or on a GPU; the seconds that it took.

    A schedule must know its end, so copies of the network are trained first, to measure how many crops the time allows.

    Raises DivergedError once the loss is no finite number.
    """
    device, recipe = str(lessons.images.device), lessons.recipe
    network.to(device)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)
    with reproducible(threads):
        _timed_training(copy.deepcopy(network), lessons, _N_WARM)
        step_s = _timed_training(copy.deepcopy(network), lessons, _N_FIRST) / _N_FIRST
        n_pilot = int(_PILOT_SHARE * seconds / step_s)
        if n_pilot > _N_FIRST:
            step_s = _timed_training(copy.deepcopy(network), lessons, n_pilot) / n_pilot
        return _timed_training(network, lessons, max(1, round(seconds / step_s)))


def _timed_training(network: nn.Module, lessons: Lessons, n_steps: int) -> float:
    recipe = msgspec.structs.replace(lessons.recipe, epochs=1, epoch_images=n_steps * lessons.recipe.batch_size)
    begun = time.perf_counter()
    train(
        network,
        lessons.images,
        recipe,
        noise=lessons.noise,
        noisy_only=lessons.noisy_only,
        seed=lessons.seed,
        device=str(lessons.images.device),
        n_parts=1,
        progress=lambda share: None,
    )
    return time.perf_counter() - begun
