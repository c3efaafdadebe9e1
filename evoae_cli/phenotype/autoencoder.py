"""What a genotype becomes: the paper's convolutional autoencoder (its section 3), and with skips a U-Net."""

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import Genotype
from evoae_cli.phenotype.lapped import LappedTransform
from evoae_cli.phenotype.layers import networks_of, reach_of
from evoae_cli.phenotype.layout import Layout, layout


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
    """[n, f, h, w] -> [n, g, 2h, 2w]: 1x1 convolution to g filters (the paper: f/2), 2x2 transposed one of stride 2."""

    def __init__(self, filters: int, n_up: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(filters, n_up, 1)
        self.transposed = nn.ConvTranspose2d(n_up, n_up, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Double height and width, and change the number of channels."""
        narrowed = self.conv(x)  # [n, g, h, w]
        widened: Tensor = self.transposed(narrowed)  # [n, g, 2h, 2w]
        return widened


class Stage(nn.Sequential):
    """The layers of a module, and behind them what halves or doubles height and width."""

    def __init__(self, layers: list[nn.Module], change: nn.Module) -> None:
        super().__init__(*layers, change)

    @property
    def layers(self) -> list[nn.Module]:
        """[n, f, h, w] -> [n, g, h, w], one after the other."""
        return list(self)[:-1]

    @property
    def change(self) -> nn.Module:
        """[n, g, h, w] -> [n, g', h/2, w/2] or [n, g', 2h, 2w]."""
        return self[-1]


class Autoencoder(nn.Module):
    """Encoder, code, decoder; every stage holds the evolved module with weights of its own.

    The encoder repeats (module, reduction), the decoder (module, dilation, skip if there is one); where a skip joins at
    full resolution the module follows once more. A 1x1 convolution to the image's channels ends it, and tanh; or, of a
    residual network, that is taken off its input. There is no activation besides the module's ReLU and the final tanh.

    With `code_channels` the code is made by a 1x1 convolution, and another one undoes it before the decoder.

    In a residual network for manifold learning the code is a lapped transform's. All that is said above then works on
    the image that comes back from it: its output is what that image lacks, and is taken off it.

    Images are [n, channels, H, W] on [-1, 1], with H and W multiples of `step`.
    """

    metadata: dict[str, Any]
    """What `model.json` says of a loaded network."""

    def __init__(self, plan: Layout, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.plan = plan
        self.transform = None if plan.transform is None else LappedTransform(spec.channels, plan.transform)
        self.encoder = nn.Sequential(
            *(Stage(networks_of(plan.layers, stage.n_in), Reduction(stage.width)) for stage in plan.encoder)
        )
        self.to_code: nn.Module = nn.Identity()
        self.from_code: nn.Module = nn.Identity()
        if plan.code_channels is not None:
            self.to_code = nn.Conv2d(plan.n_features, plan.code_channels, 1)
            self.from_code = nn.Conv2d(plan.code_channels, plan.n_features, 1)
        self.decoder = nn.Sequential(
            *(
                Stage(networks_of(plan.decoder_layers, stage.n_in), Dilation(stage.width, stage.n_up))
                for stage in plan.decoder
            )
        )
        self.last: nn.Module = nn.Identity()
        if plan.last is not None:
            self.last = nn.Sequential(*networks_of(plan.decoder_layers, plan.last[0]))
        self.output = nn.Conv2d(plan.n_last, spec.channels, 1)

    def begin(self, mean: Tensor, components: Tensor) -> None:
        """Make it the linear code of these (see `LappedTransform.begin`), to which training adds the rest."""
        assert self.transform is not None
        self.transform.begin(mean, components)
        for parameter in self.output.parameters():
            nn.init.zeros_(parameter)

    @property
    def step(self) -> int:
        """Pixels of the image to one value of the code along a side: both sides of an image are multiples of it."""
        return self.plan.step

    @property
    def has_skips(self) -> bool:
        """Whether anything passes the code by, so that the image cannot be decoded from the code alone."""
        is_passed = self.plan.is_residual or any(stage.skip != "none" for stage in self.plan.decoder)
        return is_passed and self.transform is None

    @property
    def reach(self) -> int:
        """How far, in pixels, an output can depend on an input."""
        reach = reach_of([self.last]) + (0 if self.transform is None else self.transform.reach)
        # A reduction and a dilation mix 2x2 pixels of the finer resolution.
        for exponent, stage in enumerate(_stages(self.encoder)):
            reach += (reach_of(stage.layers) + 1) << exponent
        for exponent, stage in enumerate(reversed(_stages(self.decoder))):
            reach += (2 * reach_of(stage.layers) + 1) << exponent
        return reach

    def encode(self, x: Tensor) -> Tensor:
        """[n, C, H, W] -> code [n, c, H/2**r, W/2**r]. Raises UsageError for a size that cannot be halved r times."""
        check_size(x.shape[-2], x.shape[-1], self.step)
        return self._encoded(x)[0] if self.transform is None else self.transform.encode(x)

    def decode(self, code: Tensor) -> Tensor:
        """Code [n, c, h, w] -> images [n, C, h * 2**r, w * 2**r] on [-1, 1].

        Raises UsageError where the code alone does not make an image: see `has_skips`.
        """
        if self.has_skips:
            raise UsageError(
                "this network passes features by its code, so a code cannot be decoded; use a manifold model"
            )
        if self.transform is not None:
            return self._finished(self.transform.decode(code))
        return torch.tanh(self._decoded(code, []))  # [n, C, H, W]

    def forward(self, x: Tensor) -> Tensor:
        """[n, C, H, W] -> reconstruction [n, C, H, W] on [-1, 1]."""
        check_size(x.shape[-2], x.shape[-1], self.step)
        return self._finished(x if self.transform is None else self.transform(x))

    def _finished(self, x: Tensor) -> Tensor:
        """What all but the transform make of an image [n, C, H, W]."""
        code, passed = self._encoded(x)
        output = self._decoded(code, passed)  # [n, C, H, W]
        return x - output if self.plan.is_residual else torch.tanh(output)

    def _encoded(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The code, and what each stage made before its reduction: [n, f, H/2**i, W/2**i] for i = 0, 1, ..."""
        passed = []
        for stage in _stages(self.encoder):
            for layer in stage.layers:
                x = layer(x)  # [n, f, H/2**i, W/2**i]
            passed.append(x)
            x = stage.change(x)  # [n, 2f, H/2**(i+1), W/2**(i+1)]
        return self.to_code(x), passed

    def _decoded(self, code: Tensor, passed: list[Tensor]) -> Tensor:
        """What the output's convolution makes of a code, and of what the encoder's stages pass by it."""
        x = self.from_code(code)  # [n, 2f, H/2**r, W/2**r]
        for stage, plan in zip(_stages(self.decoder), self.plan.decoder, strict=True):
            x = stage(x)  # [n, g, H/2**i, W/2**i], i = r-1, ..., 1, 0
            if plan.skip == "add":
                x = x + passed.pop()
            elif plan.skip == "concat":
                x = torch.cat([x, passed.pop()], dim=1)
            elif passed:
                passed.pop()
        output: Tensor = self.output(self.last(x))  # [n, C, H, W]
        return output


def build(genotype: Genotype, spec: NetworkSpec) -> Autoencoder:
    """The network of a genotype, with fresh weights from torch's global generator."""
    return Autoencoder(layout(genotype, spec), spec)


def check_size(height: int, width: int, step: int) -> None:
    """Raise UsageError, naming the nearest sizes, unless both sides are multiples of `step`, a power of two."""
    if height % step or width % step or not height or not width:
        smaller, larger = ([_multiple(side, step, up) for side in (height, width)] for up in (False, True))
        sizes = dict.fromkeys((f"{smaller[0]}x{smaller[1]}", f"{larger[0]}x{larger[1]}"))
        raise UsageError(
            f"images of {height}x{width} pixels cannot be halved {step.bit_length() - 1} times; "
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


def _stages(stages: nn.Sequential) -> list[Stage]:
    return [stage for stage in stages if isinstance(stage, Stage)]


def _multiple(side: int, step: int, up: bool) -> int:
    return max((side + step - 1 if up else side) // step * step, step)
