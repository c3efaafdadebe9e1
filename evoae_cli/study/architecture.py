"""The one architecture that a training is given: how it is read, and whether the settings leave room for it."""

from dataclasses import replace

from evoae_cli.errors import GenotypeError, UsageError
from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.layers import CONVOLUTIONS
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.spaces import named_space
from evoae_cli.study.config import StudyConfig

_N_SHOWN = 60
"""Characters of a genotype that an error repeats."""


def read_architecture(text: str, space: str, reductions: int | None) -> Genotype:
    """The genotype in `text`, for the search space of that name, with its reductions written out where they are a gene.

    `reductions` are those that are asked for beside the text; without any there, they are the fewest.

    Raises UsageError for text that describes none, and where text and `reductions` disagree.
    """
    template = named_space(space)
    try:
        genotype = parse_genotype(text, further=template.further)
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
    genes = (
        (f"repeats:{genotype.repeats}", [genotype.repeats], space.repeats),
        (f"skips:{','.join(genotype.skips)}", genotype.skips or ("none",), space.skips),
        ("residual", [genotype.is_residual], space.residual),
    )
    for gene, values, allowed in genes:
        if set(values) <= set(allowed):
            continue
        if config.objective == "manifold" and genotype.is_residual and True not in space.residual:
            remedy = "in manifold it needs --space skip, a --code-ratio and at most 4 --reductions"
            raise UsageError(f"{what} {gene} is not possible; {remedy}")
        remedy = "use --space skip" if config.space == "paper" else f"it has {', '.join(map(str, allowed))}"
        raise UsageError(f"{what} {gene} is not in {of_space}; {remedy}")
    if genotype.skips and not genotype.is_residual and not space.direct_skips:
        raise UsageError(
            f"{what} manifold lets nothing pass by the code; leave skips out, or write /residual behind them"
        )


def _shown(text: str) -> str:
    return text if len(text) <= _N_SHOWN else text[: _N_SHOWN - 3] + "..."
