"""What a network costs, by arithmetic alone: no torch, no allocation."""

import math
from collections.abc import Iterator
from typing import Literal

import msgspec

from evoae_cli.evaluation.contract import NetworkSpec, Recipe
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.layers import Dropout2d, Layer

_BYTES = {"float32": 4, "bfloat16": 2}
_BLOCK = 16
"""Channels that oneDNN computes together on a CPU with AVX-512, padded with zeros; 8 on older ones."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of one network for one image size."""

    parameters: int
    operations: int
    """Multiply-accumulates of one forward pass over one image."""
    code_values: int
    """Numbers in the code of one image."""
    values: int
    """Numbers that all operations of one forward pass over one image put out: what moves through memory."""
    steps: int
    """Operations (layers) of one forward pass: each takes its time to begin, however small it is."""


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the network on one image."""

    kind: Literal["convolution", "transposed", "pool", "dropout", "code"]
    """`code` computes nothing: it marks the code where no convolution makes it."""
    parameters: int = 0
    operations: int = 0
    n_in: int
    """Values it takes in."""
    n_out: int
    """Values it puts out."""
    blocked: tuple[int, int] = (0, 0)
    """Values that come in and go out in the order that oneDNN computes in: channels in blocks."""
    has_relu: bool = False
    is_code: bool = False


def cost(genotype: Genotype, spec: NetworkSpec, side: int) -> Cost:
    """Parameters, operations and code size for images of `side` x `side` pixels; equal to the real network's."""
    steps = list(_steps(genotype, spec, side))
    return Cost(
        parameters=sum(step.parameters for step in steps),
        operations=sum(step.operations for step in steps),
        code_values=next(step.n_out for step in steps if step.is_code),
        values=sum(step.n_out for step in steps),
        steps=len(steps),
    )


def training_bytes(genotype: Genotype, spec: NetworkSpec, recipe: Recipe) -> int:
    """Estimated peak memory of one training step beyond what the process holds already, in bytes.

    It follows what lives at once: forward, where values gather for the backward pass, and back, where gradients come
    and those values go. Within 30 % of what PyTorch allocates on a CPU with AVX-512 in one thread (measured over the
    default search space); more threads, and cuDNN on a GPU, may set aside more to work in.
    """
    steps = [step for step in _steps(genotype, spec, recipe.crop) if step.kind != "code"]
    afters = [*steps[1:], None]
    is_half = recipe.precision == "bfloat16"
    per_value = _BYTES[recipe.precision] * recipe.batch_size
    image = 4 * recipe.batch_size * spec.channels * recipe.crop**2
    # With one channel both orders are the same to PyTorch, which then takes channels_last.
    is_reordered = not recipe.channels_last and spec.channels > 1

    # Weights, their gradients, Adam's two moments and its scale; clean and noisy crops; the output of the step before.
    held = 4 * 5 * sum(step.parameters for step in steps) + 3 * image
    # In half precision the noisy crops, cast.
    held += image // 2 if is_half else 0
    peak = held
    for step, after in zip(steps, afters, strict=True):
        workspace = per_value * max(step.blocked) if is_reordered else 0
        peak = max(peak, held + per_value * step.n_out + workspace)
        held += _kept(step, after, recipe)

    # The output, in half precision once more as float32, and the gradients of the loss and of tanh.
    held += image if is_half else 0
    peak = max(peak, held + 2 * image)
    held -= image if is_half else 0

    first_weights = next(i for i, step in enumerate(steps) if step.parameters)
    for i in range(len(steps) - 1, first_weights - 1, -1):
        step = steps[i]
        gradient_out = per_value * step.n_out
        # Nothing before the first weights needs a gradient.
        gradient_in = per_value * step.n_in if i > first_weights else 0
        if step.has_relu:
            peak = max(peak, held + 2 * gradient_out)
        elif step.kind == "pool":
            peak = max(peak, held + gradient_in)
        held -= _kept(step, afters[i], recipe)
        workspace = per_value * sum(step.blocked) if is_reordered else 0
        # The gradient of the weights, and two copies in the orders that it is made and added up in.
        workspace += 3 * 4 * step.parameters
        peak = max(peak, held + gradient_out + gradient_in + workspace)
    return peak


def _kept(step: _Step, after: _Step | None, recipe: Recipe) -> int:
    """Bytes that a step leaves behind for the backward pass."""
    per_value = _BYTES[recipe.precision] * recipe.batch_size
    # A ReLU keeps its result and all but dropout what they take in; in half precision also their weights, cast.
    kept = per_value * step.n_out if step.has_relu or after is None or after.kind != "dropout" else 0
    if step.kind == "pool":
        kept += 8 * recipe.batch_size * step.n_out  # the place of each maximum, as int64
    return kept + (2 * step.parameters if recipe.precision == "bfloat16" else 0)


def _steps(genotype: Genotype, spec: NetworkSpec, side: int) -> Iterator[_Step]:
    """The network's operations in order; see `Autoencoder` for the structure."""
    decoder_module = genotype.module if spec.decoder == "same" else genotype.module[::-1]
    width = spec.channels
    for _ in range(spec.reductions):
        yield from _module_steps(genotype.module, width, side)
        width = _width_after(genotype.module, width)
        yield _convolution(width, 2 * width, 1, side)
        width *= 2
        side //= 2
        yield _Step(kind="pool", n_in=4 * width * side**2, n_out=width * side**2)
    if spec.code_channels is not None:
        yield msgspec.structs.replace(_convolution(width, spec.code_channels, 1, side), is_code=True)
        yield _convolution(spec.code_channels, width, 1, side)
    else:
        yield _Step(kind="code", n_in=width * side**2, n_out=width * side**2, is_code=True)
    for _ in range(spec.reductions):
        yield from _module_steps(decoder_module, width, side)
        width = _width_after(decoder_module, width)
        half = max(width // 2, 1)
        yield _convolution(width, half, 1, side)
        n_in = half * side**2
        side *= 2
        yield _Step(
            kind="transposed",
            parameters=4 * half * half + half,
            operations=4 * half * n_in,
            n_in=n_in,
            n_out=half * side**2,
            blocked=_blocked(half, half, side // 2, side),
        )
        width = half
    yield _convolution(width, spec.channels, 1, side)


def _module_steps(module: tuple[Layer, ...], width: int, side: int) -> Iterator[_Step]:
    for layer in module:
        if isinstance(layer, Dropout2d):
            yield _Step(kind="dropout", n_in=width * side**2, n_out=width * side**2)
        else:
            yield _convolution(width, layer.filters, layer.kernel, side, has_relu=True)
        width = _width_after((layer,), width)


def _width_after(module: tuple[Layer, ...], width: int) -> int:
    """Channels behind the module: its last convolution's filters, or those that came in."""
    return next((layer.filters for layer in reversed(module) if not isinstance(layer, Dropout2d)), width)


def _convolution(n_in: int, n_out: int, kernel: int, side: int, has_relu: bool = False) -> _Step:
    weights = n_in * n_out * kernel**2
    return _Step(
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
