"""The front of a study with several objectives: the candidates that none dominates, as people see them. Pure."""

from collections.abc import Iterable, Sequence

from evoae_cli.evaluation.contract import Evaluation
from evoae_cli.strategy.pareto import Front, Point
from evoae_cli.strategy.population import preference
from evoae_cli.study.snapshot import ArchitectureRow

_FIELDS = {"code": "code_values"}
"""Objectives whose figure has another name in a row."""
_NOUNS = {"code": "code values"}


class Frontier:
    """Keeps the front of all candidates told to it, whatever their order; empty with one objective."""

    def __init__(self, objectives: Sequence[str]) -> None:
        self._objectives = objectives
        self._front: Front[ArchitectureRow] = Front()
        self.rows: tuple[ArchitectureRow, ...] = ()
        """The fittest first. Replaced whole, so that other threads may read it."""

    def add(self, row: ArchitectureRow) -> None:
        """A candidate was evaluated with success; told again, it changes nothing."""
        if len(self._objectives) > 1 and row not in self.rows and self._front.add(self._point(row), row):
            self.rows = tuple(sorted(self._front, key=row_key))

    def _point(self, row: ArchitectureRow) -> Point:
        return tuple(-row.fitness if name == "fitness" else _figure(row, name) for name in self._objectives)


def row_key(row: ArchitectureRow) -> tuple[float, int, str]:
    """The `preference` of a row."""
    return preference(row.fitness, row.parameters, row.genotype)


def row_of(found: Evaluation) -> ArchitectureRow | None:
    """What people want to know of a candidate; None where its evaluation failed."""
    if found.scores is None or found.fitness == 0.0:
        return None
    return ArchitectureRow(
        genotype=found.genotype,
        fitness=found.fitness,
        psnr_db=found.scores.psnr_db,
        parameters=found.parameters,
        operations=found.operations,
        code_values=found.code_values,
    )


def front_of(evaluations: Iterable[Evaluation], objectives: Sequence[str]) -> tuple[ArchitectureRow, ...]:
    """The front of evaluations of the search, the fittest first; empty with one objective."""
    frontier = Frontier(objectives)
    if len(objectives) > 1:
        for row in map(row_of, evaluations):
            if row is not None:
                frontier.add(row)
    return frontier.rows


def front_text(rows: Sequence[ArchitectureRow], objectives: Sequence[str]) -> str:
    """`front: 5 from 1,203 parameters/22.1 dB to 60,112/27.3 dB`, from the cheapest to the fittest; empty for none.

    Of several costs it names the first. Without clean images there is no PSNR, and it names the fitness.
    """
    costs = [name for name in objectives if name != "fitness"]
    if not rows or not costs:
        return ""
    cost = costs[0]
    fittest, cheapest = rows[0], min(rows, key=lambda row: (_figure(row, cost), -row.fitness))
    first = f"{_figure(cheapest, cost):,} {_NOUNS.get(cost, cost)}/{_quality(cheapest)}"
    if len(rows) == 1:
        return f"front: 1 of {first}"
    return f"front: {len(rows):,} from {first} to {_figure(fittest, cost):,}/{_quality(fittest)}"


def _quality(row: ArchitectureRow) -> str:
    return f"fitness {row.fitness:.1f}" if row.psnr_db is None else f"{row.psnr_db:.1f} dB"


def _figure(row: ArchitectureRow, objective: str) -> int:
    value: int = getattr(row, _FIELDS.get(objective, objective))
    return value
