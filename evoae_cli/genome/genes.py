"""The genes beside the module: how they are drawn, changed and inherited. The paper has none of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.random import Generator

from evoae_cli.draws import draw, one_of
from evoae_cli.genome.genotype import Genotype, Skip
from evoae_cli.genome.space import SearchSpace


def random_genes(space: SearchSpace, rng: Generator) -> dict[str, Any]:
    """A random value for each gene that varies, as arguments of `Genotype`."""
    reductions = _any_of(space.reductions, rng) if space.reductions else None
    repeats = _any_of(space.repeats, rng)
    skips = tuple(_any_of(space.skips, rng) for _ in range(reductions or 0))
    is_residual = _any_of(space.residual, rng)
    return {
        "reductions": reductions,
        "repeats": repeats,
        "skips": _allowed(skips, is_residual, space),
        "is_residual": is_residual,
    }


def mutated(genotype: Genotype, space: SearchSpace, rng: Generator) -> Genotype:
    """`genotype` with one of the genes that vary, each as likely, at another of its values."""
    changes: list[Callable[[], Genotype]] = []
    if len(space.reductions) > 1:
        changes.append(lambda: _with_other_reductions(genotype, space, rng))
    if len(space.repeats) > 1:
        changes.append(lambda: replace(genotype, repeats=_another_of(space.repeats, genotype.repeats, rng)))
    if len(space.skips) > 1 and (genotype.is_residual or space.direct_skips):
        changes.append(lambda: _with_another_skip(genotype, space, rng))
    if len(space.residual) > 1:
        changes.append(lambda: _with_other_output(genotype, space))
    return one_of(changes, rng)() if changes else genotype


def crossed(first: Genotype, second: Genotype, space: SearchSpace, rng: Generator) -> dict[str, Any]:
    """Each gene that varies from either parent, as likely, as arguments of `Genotype`.

    A stage that only one parent has takes that one's skip.
    """
    reductions = _either(first.reductions, second.reductions, len(space.reductions), rng)
    skips: list[Skip] = []
    for stage in range(reductions or 0):
        of_parents = [_skips(parent)[stage] for parent in (first, second) if stage < (parent.reductions or 0)]
        skips.append(_either(of_parents[0], of_parents[-1], len(space.skips), rng))
    repeats = _either(first.repeats, second.repeats, len(space.repeats), rng)
    is_residual = _either(first.is_residual, second.is_residual, len(space.residual), rng)
    return {
        "reductions": reductions,
        "repeats": repeats,
        "skips": _allowed(tuple(skips), is_residual, space),
        "is_residual": is_residual,
    }


def _with_other_reductions(genotype: Genotype, space: SearchSpace, rng: Generator) -> Genotype:
    """Stages are added, with a random skip, or taken away at the coarse end."""
    assert genotype.reductions is not None
    reductions = _another_of(space.reductions, genotype.reductions, rng)
    n_added = max(0, reductions - genotype.reductions)
    added = tuple(_any_of(space.skips, rng) for _ in range(n_added))
    skips = (_skips(genotype) + added)[:reductions]
    return replace(genotype, reductions=reductions, skips=_allowed(skips, genotype.is_residual, space))


def _with_another_skip(genotype: Genotype, space: SearchSpace, rng: Generator) -> Genotype:
    skips = list(_skips(genotype))
    stage = draw(len(skips), rng)
    skips[stage] = _another_of(space.skips, skips[stage], rng)
    return replace(genotype, skips=tuple(skips))


def _with_other_output(genotype: Genotype, space: SearchSpace) -> Genotype:
    is_residual = not genotype.is_residual
    return replace(genotype, is_residual=is_residual, skips=_allowed(genotype.skips, is_residual, space))


def _allowed(skips: tuple[Skip, ...], is_residual: bool, space: SearchSpace) -> tuple[Skip, ...]:
    """`skips`, or none where a network that is not residual may have none."""
    return skips if is_residual or space.direct_skips else ()


def _skips(genotype: Genotype) -> tuple[Skip, ...]:
    return genotype.skips_of(genotype.reductions or 0)


def _any_of(choices: tuple[Any, ...], rng: Generator) -> Any:
    """A random choice; no draw where there is but one."""
    return one_of(choices, rng) if len(choices) > 1 else choices[0]


def _another_of(choices: tuple[Any, ...], now: Any, rng: Generator) -> Any:
    return one_of([choice for choice in choices if choice != now], rng)


def _either(first: Any, second: Any, n_choices: int, rng: Generator) -> Any:
    """One of two parents' values; no draw where the space has but one value."""
    return one_of((first, second), rng) if n_choices > 1 else first
