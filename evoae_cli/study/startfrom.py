"""What a search starts from besides random architectures: known ones, and those that another study found good."""

from dataclasses import replace
from heapq import nsmallest

from evoae_cli.errors import GenotypeError, StudyError, UsageError
from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.strategy.population import preference
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.locate import find_study
from evoae_cli.study.store import Store

_N_SHOWN = 60
"""Characters of a name that an error repeats."""


def known_genotypes(config: StudyConfig, space: SearchSpace) -> tuple[Genotype, ...]:
    """What `start_from` names, in its order, each genotype once.

    An architecture stands for itself; a study for its finalists, the winner first, or, before it has any, for its best
    candidates, as many as it is to train to the end. Of one study at most as many as the population has places.

    Raises UsageError for a name that is neither, for a study without candidates, for a genotype outside
    `space`, and for more of them than the population has places.
    """
    found: dict[str, Genotype] = {}
    for name in config.start_from:
        for genotype in map(space.completed, _named(name, space)[: config.population]):
            try:
                space.check(genotype)
            except GenotypeError as error:
                of_study = "" if genotype.text == name else f" {genotype}:"
                raise UsageError(f"--start-from {_shown(name)}:{of_study} {error}") from None
            found.setdefault(genotype.key, genotype)
    if len(found) > config.population:
        raise UsageError(
            f"--start-from names {len(found)} architectures for a population of {config.population}; "
            f"name fewer or raise --population"
        )
    return tuple(found.values())


def _named(name: str, space: SearchSpace) -> list[Genotype]:
    try:
        return [parse_genotype(name, further=space.further)]
    except GenotypeError as error:
        reason = error
    try:
        folder, _ = find_study(name)
    except StudyError:
        raise UsageError(f"--start-from {_shown(name)!r} is no study, and no architecture: {reason}") from None
    store = Store.read(folder)
    try:
        texts: list[str] = store.meta("finalists") or _best_candidates(store)
        settings = store.meta("settings") or {}
    finally:
        store.close()
    if not texts:
        raise UsageError(f"--start-from {folder}: this study has found no architecture yet; name another")
    try:
        genotypes = [parse_genotype(text, further=space.further) for text in texts]
    except GenotypeError as error:
        raise UsageError(
            f"--start-from {folder}: {error}; search with --space {settings.get('space', 'skip')}, as that study"
        ) from None
    if not space.reductions:
        return genotypes
    # Where they are no gene, a genotype has its study's.
    return [replace(one, reductions=one.reductions or settings.get("reductions")) for one in genotypes]


def _best_candidates(store: Store) -> list[str]:
    settings = store.meta("settings") or {}
    good = (record.evaluation for record in store.records("search", is_whole=True) if record.evaluation.fitness > 0.0)
    ranked = nsmallest(
        settings.get("finalists", 1),
        good,
        key=lambda found: preference(found.fitness, found.parameters, found.genotype),
    )
    return [found.genotype for found in ranked]


def _shown(name: str) -> str:
    return name if len(name) <= _N_SHOWN else name[: _N_SHOWN - 3] + "..."
