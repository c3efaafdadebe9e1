"""What each layer of a genotype is in PyTorch."""

from collections.abc import Iterable
from functools import singledispatch

from torch import nn

from evoae_cli.genome.layers import DILATION, Conv2d, CustomLayer, DilatedConv2d, Dropout2d, Layer, SepConv2d

DROPOUT_P = 0.5
"""The paper's only dropout probability (its section 3)."""


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
    # Twice as far on both sides together is even, so both sides get the same.
    padding = DILATION * (layer.kernel - 1) // 2
    return [nn.Conv2d(n_in, layer.filters, layer.kernel, padding=padding, dilation=DILATION), _relu()]


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
