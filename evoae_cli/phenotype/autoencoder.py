"""What a genotype becomes: the paper's convolutional autoencoder (its section 3), built from one evolved module."""

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.layers import Dropout2d, Layer

DROPOUT_P = 0.5
"""The paper's only dropout probability (its section 3)."""


class Reduction(nn.Module):
    """[n, f, h, w] -> [n, 2f, h/2, w/2]: a 1x1 convolution that doubles the filters, then a 2x2 max pool, stride 2."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(filters, 2 * filters, 1)
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Halve height and width, double the channels."""
        doubled = self.conv(x)  # [n, 2f, h, w]
        pooled: Tensor = self.pool(doubled)  # [n, 2f, h/2, w/2]
        return pooled


class Dilation(nn.Module):
    """[n, f, h, w] -> [n, f/2, 2h, 2w]: a 1x1 convolution that halves the filters, a 2x2 transposed one of stride 2."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        half = halved(filters)
        self.conv = nn.Conv2d(filters, half, 1)
        self.transposed = nn.ConvTranspose2d(half, half, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Double height and width, halve the channels."""
        narrowed = self.conv(x)  # [n, f/2, h, w]
        widened: Tensor = self.transposed(narrowed)  # [n, f/2, 2h, 2w]
        return widened


class Autoencoder(nn.Module):
    """Encoder, code, decoder; every stage holds the evolved module with weights of its own.

    The encoder repeats (module, reduction), the decoder (module, dilation); a 1x1 convolution to the image's channels
    and tanh end it. The paper leaves open how a decoder stage is ordered. Here the module comes first, then a dilation
    that halves the filters: that gives the 6,043 parameters of `3x3conv2d:16` on RGB with one reduction, and the 12,779
    with two. There is no activation besides the module's ReLU and the final tanh.

    With `code_channels` the code is made by a 1x1 convolution, and another one undoes it before the decoder.

    Images are [n, channels, H, W] on [-1, 1], with H and W divisible by 2**reductions.
    """

    metadata: dict[str, Any]
    """What `model.json` says of a loaded network."""

    def __init__(self, module: tuple[Layer, ...], spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec

        encoder: list[nn.Module] = []
        width = spec.channels
        for _ in range(spec.reductions):
            layers, width = _layers(module, width)
            encoder.append(nn.Sequential(*layers, Reduction(width)))
            width *= 2
        self.encoder = nn.Sequential(*encoder)

        self.to_code: nn.Module = nn.Identity()
        self.from_code: nn.Module = nn.Identity()
        if spec.code_channels is not None:
            self.to_code = nn.Conv2d(width, spec.code_channels, 1)
            self.from_code = nn.Conv2d(spec.code_channels, width, 1)

        decoder: list[nn.Module] = []
        for _ in range(spec.reductions):
            layers, width = _layers(module if spec.decoder == "same" else module[::-1], width)
            decoder.append(nn.Sequential(*layers, Dilation(width)))
            width = halved(width)
        self.decoder = nn.Sequential(*decoder)
        self.output = nn.Conv2d(width, spec.channels, 1)

    def encode(self, x: Tensor) -> Tensor:
        """[n, C, H, W] -> code [n, c, H/2**r, W/2**r]. Raises UsageError for a size that cannot be halved r times."""
        check_size(x.shape[-2], x.shape[-1], self.spec.reductions)
        features = self.encoder(x)  # [n, 2f, H/2**r, W/2**r]
        code: Tensor = self.to_code(features)  # [n, c, H/2**r, W/2**r]
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Code [n, c, h, w] -> images [n, C, h * 2**r, w * 2**r] on [-1, 1]."""
        features = self.from_code(code)  # [n, 2f, H/2**r, W/2**r]
        features = self.decoder(features)  # [n, f/2, H, W]
        return torch.tanh(self.output(features))  # [n, C, H, W]

    def forward(self, x: Tensor) -> Tensor:
        """[n, C, H, W] -> reconstruction [n, C, H, W] on [-1, 1]."""
        return self.decode(self.encode(x))


def build(genotype: Genotype, spec: NetworkSpec) -> Autoencoder:
    """The network of a genotype, with fresh weights from torch's global generator."""
    return Autoencoder(genotype.module, spec)


def halved(filters: int) -> int:
    """Filters after a dilation: half, rounded down, at least one."""
    return max(filters // 2, 1)


def check_size(height: int, width: int, reductions: int) -> None:
    """Raise UsageError, naming the nearest sizes, unless both sides can be halved `reductions` times."""
    step = 2**reductions
    if height % step or width % step or not height or not width:
        smaller, larger = ([_multiple(side, step, up) for side in (height, width)] for up in (False, True))
        sizes = dict.fromkeys((f"{smaller[0]}x{smaller[1]}", f"{larger[0]}x{larger[1]}"))
        raise UsageError(
            f"images of {height}x{width} pixels cannot be halved {reductions} times; "
            f"nearest sizes (height x width): {' or '.join(sizes)}"
        )


def code_channels_for(channels: int, reductions: int, ratio: Fraction) -> int:
    """Channels of a code with `ratio` times as many values as the image.

    The code is 2**r times smaller than the image on each side. Raises UsageError, naming the possible ratios, where
    `ratio` gives no whole number of channels.
    """
    whole = channels * 4**reductions
    code_channels = ratio * whole
    if code_channels.denominator != 1 or code_channels < 1:
        possible = ", ".join(f"1/{n}" for n in range(2, whole + 1) if whole % n == 0)
        raise UsageError(
            f"--code-ratio {ratio} gives {float(code_channels):g} code channels ({channels}-channel images, "
            f"{reductions} reduction{'s' * (reductions > 1)}); possible are {possible} and other multiples of 1/{whole}"
        )
    return int(code_channels)


def _layers(module: tuple[Layer, ...], width: int) -> tuple[list[nn.Module], int]:
    """One copy of the module for `width` input channels, and its output channels."""
    layers: list[nn.Module] = []
    for layer in module:
        if isinstance(layer, Dropout2d):
            layers.append(nn.Dropout2d(DROPOUT_P))
            continue
        k = layer.kernel
        if k % 2 == 0:
            # Height and width stay: an even kernel needs one pixel more after than before.
            layers.append(nn.ZeroPad2d(((k - 1) // 2, k // 2, (k - 1) // 2, k // 2)))
        layers.append(nn.Conv2d(width, layer.filters, k, padding=k // 2 if k % 2 else 0))
        # In place: a convolution's backward pass needs its input, not its output, and this halves the activations.
        layers.append(nn.ReLU(inplace=True))
        width = layer.filters
    return layers, width


def _multiple(side: int, step: int, up: bool) -> int:
    return max((side + step - 1 if up else side) // step * step, step)
