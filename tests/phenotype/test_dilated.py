"""Layers as PyTorch modules, where PyTorch alone is not enough."""

import pytest
import torch
from torch import Tensor

from evoae_cli.phenotype.layers import Dilated


def gradients(layer: Dilated, x: Tensor) -> list[Tensor]:
    """Of input, weights and bias."""
    for size in (12, 14, 16, 18, 20):
        # What is freed here lies behind what is used next, so nobody reads beyond an end unseen.
        torch.full((1 << size,), float("nan"))
    return list(torch.autograd.grad(layer(x).float().square().mean(), [x, *layer.parameters()]))


@pytest.mark.parametrize("n_in", [3, 16, 17, 24, 40])
def test_a_dilated_layer_learns_in_16_bits_what_it_learns_in_32(n_in: int) -> None:
    torch.manual_seed(0)
    layer = Dilated(n_in, 8, 3).to(memory_format=torch.channels_last)
    x = torch.randn(2, n_in, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
    exact = gradients(layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gradients(layer, x.detach().bfloat16().requires_grad_())
    for found, expected in zip(rounded, exact, strict=True):
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.02 * float(expected.abs().max()))
