"""The search spaces by their names: those that come with evoae, and how one of your own is found."""

from evoae_cli.errors import GenotypeError, UsageError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import SKIPS, Genotype, parse_genotype
from evoae_cli.genome.layers import CONVOLUTIONS
from evoae_cli.genome.space import SearchSpace
from evoae_cli.named import named_value

SPACES = {
    # Section 3 of the paper: sequential networks, 17 layers to choose from.
    "paper": SearchSpace(),
    # What the paper calls the shortcoming of its approach, put right: everything beside the module evolves as well.
    "skip": SearchSpace(
        kinds=tuple(kind.kind for kind in CONVOLUTIONS),
        reductions=(1, 2, 3, 4),
        repeats=(1, 2, 3),
        skips=SKIPS,
        residual=(False, True),
    ),
}


def named_space(name: str) -> SearchSpace:
    """The search space of a name: `paper`, `skip`, or `module:attribute` for a value in a Python file of your own.

    Raises UsageError, with the remedy, where there is none, and for what is no search space.
    """
    if name in SPACES:
        return SPACES[name]
    found = named_value("--space", name, what="search space", known=SPACES)
    if not isinstance(found, SearchSpace):
        raise UsageError(f"--space {name} is a {type(found).__name__}, not a SearchSpace")
    return found


def genotype_of(text: str, spec: NetworkSpec) -> Genotype:
    """The genotype that `text` describes, with the layers of the search space that `spec` names.

    Raises GenotypeError for text that describes none, UsageError where the space, or a layer in it, is not found.
    """
    if spec.space is None:
        return parse_genotype(text)
    try:
        return parse_genotype(text, further=named_space(spec.space).further)
    except GenotypeError as error:
        raise UsageError(
            f"{text}: {error}; it was found in --space {spec.space}, whose layers must stay as they were"
        ) from None
