"""Whether what a denoiser took away from noisy images looks like noise: only then did it leave the image alone."""

import torch
from torch import Tensor

from evoae_cli.evaluation.contract import Residual


def residual_of(noisy: Tensor, output: Tensor) -> Residual:
    """How large `noisy - output` is, and how it correlates within itself and with the output's edges.

    Images are [n, C, H, W] on [-1, 1].

    Noise that was taken away whole, and nothing else with it, does not correlate: neighbours that do are detail that
    was blurred, or noise that is not independent; a residual that is larger at edges has parts of them. The second
    tells nothing of noise that grows with the light.
    """
    # Importing scikit-image takes time and memory that a worker needs nowhere else.
    from evoae_cli.evaluation.classical import LEAST_STD, estimated_std

    with torch.inference_mode():
        residual = noisy - output.float()
        residual = residual - residual.mean(dim=(2, 3), keepdim=True)
        noise = 2 * estimated_std(noisy)
        return Residual(
            neighbours=_neighbours(residual),
            edges=_edges(residual, output.float()),
            share=float(residual.square().mean().sqrt()) / noise if noise > 2 * LEAST_STD else None,
        )


def _neighbours(residual: Tensor) -> float:
    across = (residual[..., 1:] * residual[..., :-1]).mean()
    down = (residual[..., 1:, :] * residual[..., :-1, :]).mean()
    variance = residual.square().mean()
    return float((across + down) / 2 / variance) if variance > 0 else 0.0


def _edges(residual: Tensor, output: Tensor) -> float:
    """Correlation over all pixels between the size of the residual and the gradient, each a mean of channels."""
    size = residual.abs().mean(1)[..., 1:, 1:].flatten()
    across, down = (output[..., 1:, 1:] - output[..., 1:, :-1]), (output[..., 1:, 1:] - output[..., :-1, 1:])
    gradient = (across.square() + down.square()).mean(1).sqrt().flatten()
    size, gradient = size - size.mean(), gradient - gradient.mean()
    scale = (size.square().mean() * gradient.square().mean()).sqrt()
    return float((size * gradient).mean() / scale) if scale > 0 else 0.0
