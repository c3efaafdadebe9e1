"""The one architecture that a training is given: how it is read, and whether the settings leave room for it."""

from dataclasses import replace

from evoae_cli.errors import GenotypeError, UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.layers import CONVOLUTIONS
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.spaces import named_space
from evoae_cli.phenotype.layout import has_linear_code
from evoae_cli.study.config import StudyConfig

_N_SHOWN = 60
"""Characters of a genotype that an error repeats."""


def read_architecture(text: str, space: str, objective: Objective, reductions: int | None) -> Genotype:
    """The genotype in `text`, for the search space of that name, with its reductions written out where they are a gene.

    `reductions` are those that are asked for beside the text; without any there, they are the fewest. With a linear
    code they are not the genotype's.

    Raises UsageError for text that describes none, and where text and `reductions` disagree.
    """
    template = named_space(space)
    try:
        genotype = parse_genotype(text, further=template.further)
        if has_linear_code(genotype, is_manifold=objective == "manifold"):
            return template.completed(genotype)
        if reductions is not None and genotype.reductions not in (None, reductions):
            raise UsageError(
                f"--reductions {reductions} contradicts reductions:{genotype.reductions} of --genotype "
                f"{_shown(text)}; leave one of them out"
            )
        if template.reductions and reductions is not None:
            genotype = replace(genotype, reductions=reductions)
    except GenotypeError as error:
        raise UsageError(f"--genotype {_shown(text)!r}: {error}") from None
    return template.completed(genotype)


def check_architecture(genotype: Genotype, space: SearchSpace, config: StudyConfig) -> None:
    """Raise UsageError, with the option to change, where the settings leave no room for `genotype`.

    Its kernels, filters and number of layers are free: these only say what a search may choose from.
    """
    what, of_space = f"--genotype {_shown(genotype.text)}:", f"--space {config.space}"
    for layer in genotype.module:
        if isinstance(layer, CONVOLUTIONS) and layer.kind not in space.kinds:
            raise UsageError(f"{what} {layer.text} is no layer of {of_space}; use --space skip")
    if genotype.reductions is not None and not space.reductions:
        raise UsageError(
            f"{what} in {of_space} reductions are no gene; write --reductions {genotype.reductions} instead, "
            "or use --space skip"
        )
    if genotype.reductions is not None and genotype.reductions not in space.reductions:
        raise UsageError(
            f"{what} reductions:{genotype.reductions} is not possible with --code-ratio {config.code_ratio}, "
            f"--reductions {config.reductions} and {of_space}; use {', '.join(map(str, space.reductions))}"
        )
    if genotype.skips and not genotype.is_residual and not space.direct_skips:
        why = "manifold lets nothing pass by the code" if config.objective == "manifold" else f"not in {of_space}"
        raise UsageError(f"{what} skips without residual: {why}; leave skips out, or write /residual behind them")
    genes = (
        (f"repeats:{genotype.repeats}", [genotype.repeats], space.repeats),
        (f"skips:{','.join(genotype.skips)}", genotype.skips or ("none",), space.skips),
        ("residual", [genotype.is_residual], space.residual),
    )
    for gene, values, allowed in genes:
        if set(values) <= set(allowed):
            continue
        if gene == "residual":
            raise UsageError(f"{what} {_about_residual(genotype, config)}")
        remedy = "use --space skip" if config.space == "paper" else f"it has {', '.join(map(str, allowed))}"
        raise UsageError(f"{what} {gene} is not in {of_space}; {remedy}")


def _about_residual(genotype: Genotype, config: StudyConfig) -> str:
    """Why a genotype may not be residual here, or has to be."""
    if not genotype.is_residual:
        return f"all networks of --space {config.space} are residual; write /residual behind it"
    if config.objective == "manifold" and config.space != "paper":
        return "residual is not possible; in manifold it needs a --code-ratio and at most 4 --reductions"
    return f"residual is not in --space {config.space}; use --space skip"


def _shown(text: str) -> str:
    return text if len(text) <= _N_SHOWN else text[: _N_SHOWN - 3] + "..."
