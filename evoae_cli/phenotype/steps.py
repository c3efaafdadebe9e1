"""The network's operations on one image in their order: what each computes and puts out, by arithmetic alone."""

import math
from collections.abc import Iterator
from functools import lru_cache, singledispatch
from typing import Literal

import msgspec

from evoae_cli.genome.layers import Conv2d, CustomLayer, DilatedConv2d, Dropout2d, Layer, SepConv2d
from evoae_cli.phenotype.layout import Layout, Transform, width_after

_BLOCK = 16
"""Channels that oneDNN computes together on a CPU with AVX-512, padded with zeros; 8 on older ones."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the network on one image."""

    kind: Literal["convolution", "transposed", "pool", "dropout", "custom", "concat", "add", "code"]
    """`code` computes nothing: it marks the code where no convolution makes it."""
    parameters: int = 0
    operations: int = 0
    n_in: int
    """Values it takes in."""
    n_out: int
    """Values it puts out."""
    n_inside: int = 0
    """Values that it makes on the way."""
    blocked: tuple[int, int] = (0, 0)
    """Values that come in and go out in the order that oneDNN computes in: channels in blocks."""
    has_relu: bool = False
    is_code: bool = False
    feeds_skip: int | None = None
    """The stage of the encoder (0 is the finest) whose skip takes what it puts out."""
    takes_skip: int | None = None
    """The stage of the encoder whose skip joins here."""


def steps_of(plan: Layout, channels: int, side: int) -> Iterator[Step]:
    """The operations of `plan`'s network on an image of `side` x `side` pixels; see `Autoencoder` for the structure."""
    if plan.transform is not None:
        yield from _transform_steps(plan.transform, channels, side)
    skips = [stage.skip for stage in reversed(plan.decoder)]
    for number, stage in enumerate(plan.encoder):
        *before, end = _layers_steps(plan.layers, stage.n_in, side)
        yield from before
        yield end if skips[number] == "none" else msgspec.structs.replace(end, feeds_skip=number)
        yield _convolution(stage.width, 2 * stage.width, 1, side)
        side //= 2
        n_out = 2 * stage.width * side**2
        yield Step(kind="pool", n_in=4 * n_out, n_out=n_out)
    if plan.code_channels is not None:
        yield msgspec.structs.replace(_convolution(plan.n_features, plan.code_channels, 1, side), is_code=True)
        yield _convolution(plan.code_channels, plan.n_features, 1, side)
    else:
        n_code = plan.n_features * side**2
        yield Step(kind="code", n_in=n_code, n_out=n_code, is_code=plan.transform is None)
    for number, up in zip(reversed(range(plan.reductions)), plan.decoder, strict=True):
        yield from _layers_steps(plan.decoder_layers, up.n_in, side)
        yield _convolution(up.width, up.n_up, 1, side)
        yield _transposed(up.n_up, side)
        side *= 2
        if up.skip != "none":
            n_out = up.n_out * side**2
            yield Step(kind=up.skip, n_in=n_out, n_out=n_out, takes_skip=number)
    if plan.last is not None:
        yield from _layers_steps(plan.decoder_layers, plan.last[0], side)
    yield _convolution(plan.n_last, channels, 1, side)


def _transform_steps(transform: Transform, channels: int, side: int) -> Iterator[Step]:
    n_image, n_code = channels * side**2, transform.channels * (side // transform.block) ** 2
    weights = channels * transform.channels * (2 * transform.block) ** 2
    operations = weights * (side // transform.block) ** 2
    yield Step(kind="convolution", parameters=weights, operations=operations, n_in=n_image, n_out=n_code, is_code=True)
    yield Step(kind="transposed", parameters=weights, operations=operations, n_in=n_code, n_out=n_image)


def n_steps_of(layer: Layer, n_in: int, side: int) -> int:
    """How many of the operations are one layer's."""
    return len(_steps_of(layer, n_in, side))


def _layers_steps(layers: tuple[Layer, ...], n_in: int, side: int) -> Iterator[Step]:
    for position, layer in enumerate(layers):
        yield from _steps_of(layer, width_after(layers[:position], n_in), side)


@singledispatch
def _steps_of(layer: Layer, n_in: int, side: int) -> list[Step]:
    raise TypeError(f"{type(layer).__name__} is no layer that can be counted; derive it from CustomLayer")


@_steps_of.register
def _(layer: Conv2d, n_in: int, side: int) -> list[Step]:
    return [_convolution(n_in, layer.filters, layer.kernel, side, has_relu=True)]


@_steps_of.register
def _(layer: DilatedConv2d, n_in: int, side: int) -> list[Step]:
    return [_convolution(n_in, layer.filters, layer.kernel, side, has_relu=True)]


@_steps_of.register
def _(layer: SepConv2d, n_in: int, side: int) -> list[Step]:
    weights = n_in * layer.kernel**2
    depthwise = Step(
        kind="convolution",
        parameters=weights,
        operations=weights * side**2,
        n_in=n_in * side**2,
        n_out=n_in * side**2,
        blocked=_blocked(n_in, n_in, side, side),
    )
    return [depthwise, _convolution(n_in, layer.filters, 1, side, has_relu=True)]


@_steps_of.register
def _(layer: Dropout2d, n_in: int, side: int) -> list[Step]:
    return [Step(kind="dropout", n_in=n_in * side**2, n_out=n_in * side**2)]


@_steps_of.register
@lru_cache(maxsize=4096)
def _(layer: CustomLayer, n_in: int, side: int) -> list[Step]:
    from evoae_cli.phenotype.measured import Measured

    found, n_out = Measured(layer, n_in, side), layer.n_out(n_in) * side**2
    return [
        Step(
            kind="custom",
            parameters=found.parameters,
            operations=found.operations,
            n_in=n_in * side**2,
            n_out=n_out,
            n_inside=max(0, found.n_values - n_out),
        )
    ]


def _transposed(n: int, side: int) -> Step:
    """The dilation's transposed convolution, from `side` to twice that."""
    return Step(
        kind="transposed",
        parameters=4 * n * n + n,
        operations=4 * n * n * side**2,
        n_in=n * side**2,
        n_out=4 * n * side**2,
        blocked=_blocked(n, n, side, 2 * side),
    )


def _convolution(n_in: int, n_out: int, kernel: int, side: int, has_relu: bool = False) -> Step:
    weights = n_in * n_out * kernel**2
    return Step(
        kind="convolution",
        parameters=weights + n_out,
        operations=weights * side**2,
        n_in=n_in * side**2,
        n_out=n_out * side**2,
        blocked=_blocked(n_in, n_out, side, side),
        has_relu=has_relu,
    )


def _blocked(n_in: int, n_out: int, side_in: int, side_out: int) -> tuple[int, int]:
    # An image's few channels are read as they lie.
    return 0 if n_in <= 3 else _n_blocked(n_in) * side_in**2, _n_blocked(n_out) * side_out**2


def _n_blocked(channels: int) -> int:
    """Halfway between the channels and whole blocks of them: some convolutions are padded, others not."""
    return (channels + math.ceil(channels / _BLOCK) * _BLOCK) // 2
