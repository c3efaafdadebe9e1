"""What each layer of a genotype is in PyTorch."""

from collections.abc import Iterable
from functools import singledispatch

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from evoae_cli.genome.layers import DILATION, Conv2d, CustomLayer, DilatedConv2d, Dropout2d, Layer, SepConv2d

DROPOUT_P = 0.5
"""The paper's only dropout probability (its section 3)."""
_BLOCK = 16
"""Channels that a CPU's 16-bit convolutions take at once."""


class Dilated(nn.Conv2d):
    """A convolution whose taps are `DILATION` pixels apart; [n, f, h, w] -> [n, g, h, w].

    Of a 16-bit one in channels_last, PyTorch 2.14 on CPUs makes the weights' gradient from memory beyond the input
    where the channels are more than one block and fill no whole blocks, in images of 32 pixels and more: mostly NaN,
    the end of a training. So zeros fill them.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        # Twice as far on both sides together is even, so both sides get the same.
        super().__init__(n_in, n_out, kernel, padding=DILATION * (kernel - 1) // 2, dilation=DILATION)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; height and width stay."""
        weight = self.weight
        missing = -self.in_channels % _BLOCK
        if missing and self.in_channels > _BLOCK and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            x, weight = (F.pad(part, (0, 0, 0, 0, 0, missing)) for part in (x, weight))
        return F.conv2d(x, weight, self.bias, padding=self.padding, dilation=self.dilation)


def networks_of(layers: tuple[Layer, ...], n_in: int) -> list[nn.Module]:
    """`layers` one after the other for `n_in` channels, with fresh weights; each keeps height and width."""
    networks: list[nn.Module] = []
    for layer in layers:
        networks += _networks_of(layer, n_in)
        n_in = layer.n_out(n_in)
    return networks


def reach_of(networks: Iterable[nn.Module]) -> int:
    """How far, in pixels of their own resolution, `networks` one after the other look beyond a pixel."""
    kernels = (
        part
        for network in networks
        for part in network.modules()
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.MaxPool2d | nn.AvgPool2d)
    )
    return sum(max(_spans(kernel)) // 2 for kernel in kernels)


@singledispatch
def _networks_of(layer: Layer, n_in: int) -> list[nn.Module]:
    raise TypeError(f"{type(layer).__name__} is no layer that can be built; derive it from CustomLayer")


@_networks_of.register
def _(layer: CustomLayer, n_in: int) -> list[nn.Module]:
    return [layer.build(n_in)]


@_networks_of.register
def _(layer: Dropout2d, n_in: int) -> list[nn.Module]:
    return [nn.Dropout2d(DROPOUT_P)]


@_networks_of.register
def _(layer: Conv2d, n_in: int) -> list[nn.Module]:
    convolution = nn.Conv2d(n_in, layer.filters, layer.kernel, padding=_padding(layer.kernel))
    return [*_padding_before(layer.kernel), convolution, _relu()]


@_networks_of.register
def _(layer: SepConv2d, n_in: int) -> list[nn.Module]:
    depthwise = nn.Conv2d(n_in, n_in, layer.kernel, padding=_padding(layer.kernel), groups=n_in, bias=False)
    return [*_padding_before(layer.kernel), depthwise, nn.Conv2d(n_in, layer.filters, 1), _relu()]


@_networks_of.register
def _(layer: DilatedConv2d, n_in: int) -> list[nn.Module]:
    return [Dilated(n_in, layer.filters, layer.kernel), _relu()]


def _relu() -> nn.Module:
    # In place: a convolution's backward pass needs its input, not its output, and this halves the activations.
    return nn.ReLU(inplace=True)


def _padding(kernel: int) -> int:
    return kernel // 2 if kernel % 2 else 0


def _padding_before(kernel: int) -> list[nn.Module]:
    """Height and width stay: an even kernel needs one pixel more after than before."""
    if kernel % 2:
        return []
    return [nn.ZeroPad2d(((kernel - 1) // 2, kernel // 2, (kernel - 1) // 2, kernel // 2))]


def _spans(module: nn.Module) -> list[int]:
    """Pixels from one end of a kernel to the other, in height and width."""
    sizes, dilations = (
        value if isinstance(value, tuple) else (value, value)
        for value in (module.kernel_size, getattr(module, "dilation", 1))
    )
    return [dilation * (size - 1) + 1 for size, dilation in zip(sizes, dilations, strict=True)]
