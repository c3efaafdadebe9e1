"""What a network costs, by arithmetic alone: no torch, no allocation."""

from collections.abc import Iterator

import msgspec

from evoae_cli.evaluation.contract import NetworkSpec, Recipe
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.layers import Dropout2d, Layer

_BYTES = {"float32": 4, "bfloat16": 2}


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of one network for one image size."""

    parameters: int
    operations: int
    """Multiply-accumulates of one forward pass over one image."""
    code_values: int
    """Numbers in the code of one image."""


class _Step(msgspec.Struct, frozen=True):
    """One operation of the network on one image."""

    parameters: int
    operations: int
    n_out: int
    """Values it puts out."""
    saved: float
    """Values kept for the backward pass, in units of the activations' type."""
    is_code: bool = False


def cost(genotype: Genotype, spec: NetworkSpec, side: int) -> Cost:
    """Parameters, operations and code size for images of `side` x `side` pixels; equal to the real network's."""
    steps = list(_steps(genotype, spec, side))
    return Cost(
        parameters=sum(step.parameters for step in steps),
        operations=sum(step.operations for step in steps),
        code_values=next(step.n_out for step in steps if step.is_code),
    )


def training_bytes(genotype: Genotype, spec: NetworkSpec, recipe: Recipe) -> int:
    """Estimated memory of one training step beyond what the process holds already, in bytes.

    Weights, their gradients and Adam's two moments in float32; the activations that the backward pass needs; and the
    largest pair of gradients that lives at once.
    """
    steps = list(_steps(genotype, spec, recipe.crop))
    weights = 4 * 4 * sum(step.parameters for step in steps)
    per_value = _BYTES[recipe.precision]
    saved = sum(step.saved for step in steps) * per_value
    gradients = 2 * max(step.n_out for step in steps) * per_value
    # Clean crops, noise, output and the loss's difference, in float32.
    batch = 4 * 4 * spec.channels * recipe.crop**2
    return int(weights + recipe.batch_size * (saved + gradients + batch))


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
        # The pool keeps the place of each maximum as int64: four times a bfloat16 value, twice a float32 one.
        n_pooled = width * side**2
        yield _Step(0, 0, n_pooled, saved=4 * n_pooled, is_code=False)
    if spec.code_channels is not None:
        yield msgspec.structs.replace(_convolution(width, spec.code_channels, 1, side), is_code=True)
        yield _convolution(spec.code_channels, width, 1, side)
    else:
        yield _Step(0, 0, width * side**2, saved=0, is_code=True)
    for _ in range(spec.reductions):
        yield from _module_steps(decoder_module, width, side)
        width = _width_after(decoder_module, width)
        half = max(width // 2, 1)
        yield _convolution(width, half, 1, side)
        n_in = half * side**2
        side *= 2
        yield _Step(4 * half * half + half, 4 * half * n_in, half * side**2, saved=half * side**2)
        width = half
    yield _convolution(width, spec.channels, 1, side)


def _module_steps(module: tuple[Layer, ...], width: int, side: int) -> Iterator[_Step]:
    for layer in module:
        if isinstance(layer, Dropout2d):
            yield _Step(0, 0, width * side**2, saved=width * side**2)
        else:
            yield _convolution(width, layer.filters, layer.kernel, side)
        width = _width_after((layer,), width)


def _width_after(module: tuple[Layer, ...], width: int) -> int:
    """Channels behind the module: its last convolution's filters, or those that came in."""
    return next((layer.filters for layer in reversed(module) if not isinstance(layer, Dropout2d)), width)


def _convolution(n_in: int, n_out: int, kernel: int, side: int) -> _Step:
    weights = n_in * n_out * kernel**2
    return _Step(weights + n_out, weights * side**2, n_out * side**2, saved=n_out * side**2)
