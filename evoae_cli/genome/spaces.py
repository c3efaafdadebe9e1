"""The search spaces by their names: those that come with evoae, and how one of your own is found."""

import importlib
import sys

from evoae_cli.errors import GenotypeError, UsageError, first_line
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import SKIPS, Genotype, parse_genotype
from evoae_cli.genome.layers import CONVOLUTIONS
from evoae_cli.genome.space import SearchSpace

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

    The module is looked for as `import` does, and in the current folder. Raises UsageError, with the remedy, where
    there is none, and for what is no search space.
    """
    if name in SPACES:
        return SPACES[name]
    module, colon, attribute = name.partition(":")
    if module.endswith(".py") and colon:
        module = module.removesuffix(".py")
        raise UsageError(
            f"--space {name!r} names a file; name the module in it: {module.replace('/', '.')}:{attribute}"
        )
    if not colon or not attribute or not all(part.isidentifier() for part in module.split(".")):
        raise UsageError(
            f"--space {name!r} is unknown; use {', '.join(SPACES)}, or module:attribute for a space of your own"
        )
    try:
        found = getattr(_imported(module, name), attribute)
    except AttributeError:
        raise UsageError(f"--space {name}: {module} has no {attribute!r}; name the SearchSpace in it") from None
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


def _imported(module: str, space: str) -> object:
    # The current folder is where a person who names a module has it; a command's own path does not hold it.
    is_added = "" not in sys.path
    if is_added:
        sys.path.append("")
    try:
        return importlib.import_module(module)
    except UsageError as error:
        raise UsageError(f"--space {space}: {error}") from error
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise UsageError(f"--space {space}: {module} needs {error.name!r}, which is not installed") from error
        raise UsageError(
            f"the search space {space} is not found: {error}; run where {module.replace('.', '/')}.py lies, "
            "or put that folder into PYTHONPATH"
        ) from error
    except Exception as error:
        # It is a person's own program, so what it raises is theirs to mend.
        raise UsageError(f"--space {space}: {module} fails: {type(error).__name__}: {first_line(error)}") from error
    finally:
        if is_added:
            sys.path.remove("")
