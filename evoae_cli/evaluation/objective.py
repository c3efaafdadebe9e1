"""What an autoencoder is asked to do: remove noise (denoise), or only pass the image through its code (manifold).

Images are [n, channels, H, W] float32 on [-1, 1].
"""

import torch
from torch import Tensor

from evoae_cli.evaluation.contract import Split, derive_seed


def noisy_and_clean(
    images: Tensor, is_paired: bool, std: float, generator: torch.Generator, memory_format: torch.memory_format
) -> tuple[Tensor, Tensor]:
    """What a network is given and what it should make of it, from crops as `Resident` gives them, in `memory_format`.

    Pairs bring both; to single images noise is added, as `corrupt` does.
    """
    if is_paired:
        return halves(images, memory_format)
    clean = images.contiguous(memory_format=memory_format)
    return corrupt(clean, std, generator), clean


def halves(pairs: Tensor, memory_format: torch.memory_format = torch.channels_last) -> tuple[Tensor, Tensor]:
    """The noisy and the clean images, each [n, C, H, W], of pairs [n, 2C, H, W]."""
    noisy, clean = pairs.chunk(2, dim=1)
    return noisy.contiguous(memory_format=memory_format), clean.contiguous(memory_format=memory_format)


def corrupt(clean: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """`clean` plus Gaussian noise of standard deviation `std`, not clipped; `clean` itself where `std` is 0 (manifold).

    `generator` lives on the device of `clean`. The result has the memory format of `clean`.
    """
    if std == 0.0:
        return clean
    n, channels, height, width = clean.shape
    # Drawn in a contiguous tensor: filling a strided one takes the CPU's element-by-element path, many times slower.
    if clean.is_contiguous(memory_format=torch.channels_last):
        noise = torch.empty((n, height, width, channels), device=clean.device, dtype=clean.dtype)
        return noise.normal_(0.0, std, generator=generator).permute(0, 3, 1, 2).add_(clean)
    noise = torch.empty((n, channels, height, width), device=clean.device, dtype=clean.dtype)
    return noise.normal_(0.0, std, generator=generator).add_(clean)


def fixed_noise(shape: tuple[int, ...], std: float, study_seed: int, split: Split) -> Tensor:
    """The study's noise for the patches of `split`, on the CPU: the same numbers on every device and in every process.

    Drawn patch by patch, so that it does not depend on how many patches follow.
    """
    generator = torch.Generator().manual_seed(derive_seed(study_seed, "noise", split))
    noise = torch.empty(shape, dtype=torch.float32)
    for patch in noise:
        patch.normal_(0.0, std, generator=generator)
    return noise
