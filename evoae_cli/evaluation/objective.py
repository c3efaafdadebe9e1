"""What an autoencoder is asked to do: remove noise (denoise), or only pass the image through its code (manifold).

Images are [n, channels, H, W] float32 on [-1, 1]; noise may leave that range, and is not clipped.
"""

import torch
from torch import Tensor

from evoae_cli.evaluation.contract import Split, derive_seed
from evoae_cli.evaluation.noise import Noise


def halves(pairs: Tensor, memory_format: torch.memory_format = torch.channels_last) -> tuple[Tensor, Tensor]:
    """The noisy and the clean images, each [n, C, H, W], of pairs [n, 2C, H, W]."""
    noisy, clean = pairs.chunk(2, dim=1)
    return noisy.contiguous(memory_format=memory_format), clean.contiguous(memory_format=memory_format)


def corrupt(clean: Tensor, noise: Noise | None, generator: torch.Generator) -> Tensor:
    """`clean` with noise, each image at a strength of its own where `noise` is a range; `clean` itself without noise.

    `generator` lives on the device of `clean`. The result has the memory format of `clean`.
    """
    if noise is None:
        return clean
    if not noise.is_range:
        return _corrupted(clean, noise, noise.low, generator)
    shares = torch.rand((len(clean), 1, 1, 1), device=clean.device, generator=generator)
    return _corrupted(clean, noise, noise.low + (noise.high - noise.low) * shares, generator)


def fixed_noisy(clean: Tensor, noise: Noise, study_seed: int, split: Split) -> Tensor:
    """The patches `clean` of `split` with the study's noise, which is drawn on the CPU: the same on every device.

    Patch i has number i modulo their count of `noise.strengths`. Drawn patch by patch, so that it does not depend on
    how many patches follow.
    """
    generator = torch.Generator().manual_seed(derive_seed(study_seed, "noise", split))
    strengths = noise.strengths
    if noise.kind == "gaussian":
        # Without the image, which then need not leave its device.
        drawn = torch.empty(clean.shape, dtype=torch.float32)
        for i, patch in enumerate(drawn):
            patch.normal_(0.0, strengths[i % len(strengths)] / 127.5, generator=generator)
        return clean + drawn.to(clean.device)
    noisy = [
        _corrupted(patch, noise, strengths[i % len(strengths)], generator)
        for i, patch in enumerate(torch.split(clean.cpu(), 1))
    ]
    return torch.cat(noisy).to(clean.device)


def noise_levels(clean: Tensor, noise: Noise, generator: torch.Generator) -> list[tuple[Tensor, Tensor, float]]:
    """Clean images, the same with noise, and its standard deviation on the [-1, 1] scale, for each strength in turn.

    `clean` is shared out to `noise.strengths` in equal parts. The standard deviation is measured on these images where
    it depends on them: for all but Gaussian noise.
    """
    strengths, levels = noise.strengths, []
    for strength, part in zip(strengths, torch.tensor_split(clean, len(strengths)), strict=True):
        noisy = _corrupted(part, noise, strength, generator)
        std = strength / 127.5 if noise.kind == "gaussian" else float((noisy - part).double().square().mean().sqrt())
        levels.append((part, noisy, std))
    return levels


def _corrupted(clean: Tensor, noise: Noise, strength: float | Tensor, generator: torch.Generator) -> Tensor:
    """`clean` with noise of `strength`: a number for all images, or [n, 1, 1, 1]."""
    # Drawn in a contiguous tensor: filling a strided one takes the CPU's element-by-element path, many times slower.
    is_nhwc = clean.is_contiguous(memory_format=torch.channels_last)
    laid_out = clean.permute(0, 2, 3, 1) if is_nhwc else clean
    match noise.kind:
        case "gaussian":
            noisy = _normal(laid_out, strength / 127.5, generator).add_(laid_out)
        case "poisson":
            # A pixel's expected count is its value on [0, 1] times the count at white.
            counts = torch.poisson((laid_out + 1).div_(2).clamp_min_(0).mul_(strength), generator=generator)
            noisy = counts.div_(strength).mul_(2).sub_(1)
        case "salt-pepper":
            drawn = torch.empty_like(laid_out).uniform_(generator=generator)
            noisy = torch.where(drawn < strength / 2, -1.0, laid_out)
            noisy = torch.where(drawn >= 1 - strength / 2, 1.0, noisy)
        case "speckle":
            # x + x n on [0, 1], where x is (clean + 1) / 2.
            noisy = _normal(laid_out, strength, generator).mul_(laid_out + 1).add_(laid_out)
    return noisy.permute(0, 3, 1, 2) if is_nhwc else noisy


def _normal(like: Tensor, std: float | Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.empty(like.shape, device=like.device, dtype=like.dtype)
    if isinstance(std, float):
        return noise.normal_(0.0, std, generator=generator)
    return noise.normal_(generator=generator).mul_(std)
