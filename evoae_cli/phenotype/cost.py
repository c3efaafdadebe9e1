"""What a network costs, by arithmetic alone: no torch, no allocation."""

import msgspec

from evoae_cli.evaluation.contract import NetworkSpec, Recipe
from evoae_cli.genome.genotype import Genotype
from evoae_cli.phenotype.layout import layout
from evoae_cli.phenotype.steps import Step, steps_of

_BYTES = {"float32": 4, "bfloat16": 2}


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


def cost(genotype: Genotype, spec: NetworkSpec, side: int) -> Cost:
    """Parameters, operations and code size for images of `side` x `side` pixels; equal to the real network's."""
    steps = list(steps_of(layout(genotype, spec), spec.channels, side))
    return Cost(
        parameters=sum(step.parameters for step in steps),
        operations=sum(step.operations for step in steps),
        code_values=next(step.n_out for step in steps if step.is_code),
        values=sum(step.n_out + step.n_inside for step in steps),
        steps=len(steps),
    )


def training_bytes(genotype: Genotype, spec: NetworkSpec, recipe: Recipe) -> int:
    """Estimated peak memory of one training step beyond what the process holds already, in bytes.

    It follows what lives at once: forward, where values gather for the backward pass, and back, where gradients come
    and those values go. Within 30 % of what PyTorch allocates on a CPU with AVX-512 in one thread (measured over the
    default search space); more threads, and cuDNN on a GPU, may set aside more to work in.
    """
    plan = layout(genotype, spec)
    steps = [step for step in steps_of(plan, spec.channels, recipe.crop) if step.kind != "code"]
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
    n_before = 0
    for step, after in zip(steps, afters, strict=True):
        workspace = per_value * max(step.blocked) if is_reordered else 0
        # Joined features are copied, while those that the dilation made are still there.
        workspace += per_value * n_before if step.takes_skip is not None else 0
        peak = max(peak, held + per_value * (step.n_out + step.n_inside) + workspace)
        held += _kept(step, after, recipe)
        n_before = step.n_out

    # The output, in half precision once more as float32, and the gradients of the loss and of tanh.
    held += image if is_half else 0
    peak = max(peak, held + 2 * image)
    held -= image if is_half else 0

    first_weights = next(i for i, step in enumerate(steps) if step.parameters)
    # The gradient of joined features lives until the encoder's stage has taken its part of it.
    joined = {}
    for i in range(len(steps) - 1, first_weights - 1, -1):
        step = steps[i]
        gradient_out = per_value * step.n_out
        # Nothing before the first weights needs a gradient.
        gradient_in = per_value * step.n_in if i > first_weights else 0
        if step.takes_skip is not None:
            joined[step.takes_skip] = gradient_out
            held += gradient_out
        elif step.has_relu or step.feeds_skip is not None:
            peak = max(peak, held + 2 * gradient_out)
        elif step.kind == "pool":
            peak = max(peak, held + gradient_in)
        held -= _kept(step, afters[i], recipe)
        workspace = per_value * sum(step.blocked) if is_reordered else 0
        # The gradient of the weights, and two copies in the orders that it is made and added up in.
        workspace += 3 * 4 * step.parameters
        peak = max(peak, held + gradient_out + gradient_in + workspace)
        if step.feeds_skip is not None:
            held -= joined.pop(step.feeds_skip)
    return peak


def _kept(step: Step, after: Step | None, recipe: Recipe) -> int:
    """Bytes that a step leaves behind for the backward pass."""
    per_value = _BYTES[recipe.precision] * recipe.batch_size
    # A ReLU keeps its result and all but these what they take in; in half precision also their weights, cast.
    is_let_go = after is not None and after.kind in ("dropout", "concat", "add")
    kept = per_value * ((step.n_out if step.has_relu or not is_let_go else 0) + step.n_inside)
    if step.kind == "pool":
        kept += 8 * recipe.batch_size * step.n_out  # the place of each maximum, as int64
    return kept + (2 * step.parameters if recipe.precision == "bfloat16" else 0)
