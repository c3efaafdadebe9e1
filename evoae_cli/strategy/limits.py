"""What an architecture costs, as the search sees it, and what it may cost at most."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from evoae_cli.errors import UsageError
from evoae_cli.genome.genotype import Genotype


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs of one architecture that can be limited, and be objectives."""

    parameters: int
    """Trainable numbers."""
    operations: int
    """Multiply-accumulates of one forward pass over one image."""
    code: int
    """Numbers in the code of one image."""


@dataclass(frozen=True)
class Limits:
    """The most that a candidate may cost; None: any amount. What costs more is rejected before it is trained."""

    costs: Callable[[Genotype], Costs]
    """What a genotype costs, by arithmetic: it is asked for every new proposal."""
    parameters: int | None = None
    operations: int | None = None
    code: int | None = None

    def admits(self, genotype: Genotype) -> bool:
        """Whether a genotype is within all limits."""
        return not self._excesses(genotype)

    def check(self, genotype: Genotype, what: str) -> None:
        """Raise UsageError, which calls the genotype `what`, where it is beyond a limit."""
        if excesses := self._excesses(genotype):
            raise UsageError(f"{what} has {_listed(excesses)}; {_remedy(excesses)}")

    def nothing_admitted(self, genotypes: Iterable[Genotype]) -> UsageError:
        """The error for a search none of whose smallest `genotypes` is within the limits: it names the nearest one."""
        _, _, excesses, nearest = min(
            (max(cost / limit for _, cost, limit in excesses), genotype.text, excesses, genotype)
            for genotype in genotypes
            if (excesses := self._excesses(genotype))
        )
        return UsageError(
            f"no architecture to start from is within the limits: the smallest, {nearest}, has {_listed(excesses)}; "
            f"{_remedy(excesses)}"
        )

    def _excesses(self, genotype: Genotype) -> list[tuple[str, int, int]]:
        """Each limit that a genotype is beyond: its name, the cost, the limit."""
        costs = self.costs(genotype)
        every = (
            ("parameters", costs.parameters, self.parameters),
            ("operations", costs.operations, self.operations),
            ("code", costs.code, self.code),
        )
        return [(name, cost, limit) for name, cost, limit in every if limit is not None and cost > limit]


def _listed(excesses: list[tuple[str, int, int]]) -> str:
    """`6,043 parameters where 5,000 are allowed`."""
    nouns = {"code": "code values"}
    return " and ".join(
        f"{cost:,} {nouns.get(name, name)} where {limit:,} are allowed" for name, cost, limit in excesses
    )


def _remedy(excesses: list[tuple[str, int, int]]) -> str:
    """`raise --max-parameters to 6043 or more`."""
    return "raise " + " and ".join(f"--max-{name} to {cost}" for name, cost, _ in excesses) + " or more"
