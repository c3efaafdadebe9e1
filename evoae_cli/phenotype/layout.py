"""The network as a plan: which stages there are and how many channels flow between them, by arithmetic alone.

The network is built and its cost is counted from this one plan.
"""

from dataclasses import dataclass
from functools import reduce

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import Genotype, Skip
from evoae_cli.genome.layers import Layer


@dataclass(frozen=True)
class EncoderStage:
    """The layers, `n_in` -> `width` channels; then a reduction, `width` -> 2 `width` and half the height and width."""

    n_in: int
    width: int


@dataclass(frozen=True)
class DecoderStage:
    """The layers, `n_in` -> `width`; a dilation to `n_up` and twice the height and width; then the skip, to `n_out`."""

    n_in: int
    width: int
    n_up: int
    skip: Skip
    n_out: int


@dataclass(frozen=True)
class Transform:
    """A linear code of `channels` values for each block of `block` x `block` pixels, and the way back from it."""

    block: int
    channels: int


@dataclass(frozen=True)
class Layout:
    """What a genotype becomes for images of some number of channels."""

    transform: Transform | None
    """What comes before all others: the image goes through this code, and they get what comes back."""
    layers: tuple[Layer, ...]
    """Of each encoder stage."""
    decoder_layers: tuple[Layer, ...]
    """Of each decoder stage, and of `last`."""
    encoder: tuple[EncoderStage, ...]
    """Finest first."""
    n_features: int
    """Channels between encoder and decoder."""
    code_channels: int | None
    """Channels of the code after a 1x1 convolution; None where the features or the transform's values are the code."""
    decoder: tuple[DecoderStage, ...]
    """Coarsest first."""
    last: tuple[int, int] | None
    """Where a skip of the finest stage joins, the layers once more, from and to these channels. As everywhere else, the
    layers then see what a skip brought; without it there are none left behind the last dilation, as in the paper."""
    n_last: int
    """Channels that the output's 1x1 convolution takes."""
    is_residual: bool

    @property
    def reductions(self) -> int:
        """How often height and width are halved, beside the transform."""
        return len(self.encoder)

    @property
    def step(self) -> int:
        """Pixels of the image to one value of the code along a side: both sides of an image are multiples of it."""
        return 1 << self.reductions if self.transform is None else self.transform.block


def layout(genotype: Genotype, spec: NetworkSpec) -> Layout:
    """The plan of a genotype's network.

    The paper leaves open how a decoder stage is ordered. Here the layers come first, then a dilation that halves the
    filters: that gives the 6,043 parameters of `3x3conv2d:16` on RGB with one reduction, and the 12,779 with two. With
    a skip at every stage it is the U-Net (Ronneberger et al., 2015) with the module in place of its convolutions.

    Raises UsageError where the code cannot have its size with the genotype's reductions, or, of a residual network for
    manifold learning, has none, or blocks that cannot be halved as often.
    """
    reductions = spec.reductions if genotype.reductions is None else genotype.reductions
    skips = genotype.skips_of(reductions)
    layers = genotype.layers
    decoder_layers = layers if spec.decoder == "same" else layers[::-1]

    encoder, width = [], spec.channels
    for _ in range(reductions):
        encoder.append(EncoderStage(n_in=width, width=width_after(layers, width)))
        width = 2 * encoder[-1].width

    decoder, n_features = [], width
    for stage, skip in zip(reversed(encoder), reversed(skips), strict=True):
        inner = width_after(decoder_layers, width)
        n_up = stage.width if skip == "add" else halved(inner)
        n_out = n_up + stage.width if skip == "concat" else n_up
        decoder.append(DecoderStage(n_in=width, width=inner, n_up=n_up, skip=skip, n_out=n_out))
        width = n_out

    transform = _transform(genotype, spec)
    last = None if skips[0] == "none" else (width, width_after(decoder_layers, width))
    return Layout(
        transform=transform,
        layers=layers,
        decoder_layers=decoder_layers,
        encoder=tuple(encoder),
        n_features=n_features,
        code_channels=_code_channels(spec, reductions) if transform is None else None,
        decoder=tuple(decoder),
        last=last,
        n_last=width if last is None else last[1],
        is_residual=genotype.is_residual,
    )


def has_linear_code(genotype: Genotype, *, is_manifold: bool) -> bool:
    """Whether the study's reductions are those of a linear code, and the genotype's those of the network behind it."""
    return is_manifold and genotype.is_residual


def width_after(layers: tuple[Layer, ...], n_in: int) -> int:
    """Channels behind `layers` for `n_in` channels."""
    return reduce(lambda width, layer: layer.n_out(width), layers, n_in)


def halved(filters: int) -> int:
    """Filters after a dilation: half, rounded down, at least one."""
    return max(filters // 2, 1)


def _transform(genotype: Genotype, spec: NetworkSpec) -> Transform | None:
    """In a residual network for manifold learning: what it takes its output off has to come from the code."""
    if not has_linear_code(genotype, is_manifold=spec.is_manifold):
        return None
    if spec.code_channels is None:
        raise UsageError(f"{genotype.text}: residual needs a code of some size; leave it out, or give --code-ratio")
    if (genotype.reductions or 0) > spec.reductions:
        raise UsageError(
            f"{genotype.text} halves more often than its code's {spec.reductions} times; raise --reductions"
        )
    return Transform(block=1 << spec.reductions, channels=spec.code_channels)


def _code_channels(spec: NetworkSpec, reductions: int) -> int | None:
    """As many that the code has the size that `spec` gives it with its own number of reductions."""
    if spec.code_channels is None:
        return None
    channels, rest = divmod(spec.code_channels << 2 * reductions, 1 << 2 * spec.reductions)
    if rest or not channels:
        raise UsageError(
            f"a code of {spec.code_channels} channels after {spec.reductions} reductions has no whole number of "
            f"channels after {reductions}; use more reductions or a larger --code-ratio"
        )
    return channels
