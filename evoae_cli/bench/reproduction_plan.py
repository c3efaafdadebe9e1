"""What of the paper's experiments is repeated in small: its searches, chance, dropout, and ever smaller codes."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from evoae_cli.baseline.protocols import FAIR, MOST_SAMPLES, Protocol
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.page.paper import NUMBERS
from evoae_cli.study.resolve import resolve

SCALED: dict[str, Any] = {
    # Half of the paper's filters: a fourth of the work, and still 17 choices of a layer.
    "preset": "paper",
    "filters": (4, 8, 16, 32),
    "patch": 32,
    "crop": 32,
    "train_images": 1200,
    "val_images": 120,
    "test_images": 120,
    # As many steps in an epoch as 1,200 of STL-10's images would be with batches of 16, half of the paper's 141.
    "batch_size": 16,
    "population": 8,
    "generations": 8,
    "final_epochs": 20,
}
"""The paper's settings, section 5, as far as they are not its own."""


@dataclass(frozen=True)
class Search:
    """One of the paper's searches."""

    name: str
    objective: Objective
    settings: dict[str, Any]
    protocols: tuple[Protocol, ...] = ()
    """What chance gets beside it, for every seed."""
    is_as_paper: bool = False
    """Whether random architectures are trained to the final budget beside it, for every seed."""
    ratios: tuple[str, ...] = ()
    """Codes with which its winner is trained, for every seed."""


SEARCHES = (
    Search("denoise, 2 epochs", "denoise", {"epochs": 2}, FAIR, is_as_paper=True),
    Search("denoise, 5 epochs", "denoise", {"epochs": 5}),
    Search(
        "manifold, 2 reductions",
        "manifold",
        {"reductions": 2, "code_ratio": "1/4"},
        FAIR,
        is_as_paper=True,
        # A position of the code has one value at least: after two reductions a 16th of the image's positions is left.
        ratios=("1/4", "1/8", "1/16"),
    ),
    Search(
        "manifold, 3 reductions",
        "manifold",
        {"reductions": 3, "code_ratio": "1/8"},
        is_as_paper=True,
        ratios=("1/4", "1/8", "1/16", "1/32", "1/64"),
    ),
)
"""Those of Tables 1 to 3: candidates trained for 2 or 5 epochs, and codes of d/4 and d/8 values."""
(ACCEPTABLE_DB,) = (number.pooled_db for number in NUMBERS if number.entry == "3 reductions, best of the search")
"""Pooled PSNR of the paper's smaller code."""
N_DROPOUTS = 2
"""Modules with dropout that are trained to the end."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is repeated on which images."""

    data: str
    studies: Path
    searches: tuple[Search, ...] = SEARCHES
    """The first is the one whose modules with dropout are trained."""
    seeds: tuple[int, ...] = (0, 1, 2)
    n_samples: int = 30
    """Random architectures of the paper's protocol."""
    settings: tuple[tuple[str, Any], ...] = ()
    """In place of those of `SCALED`."""

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        if not 2 <= self.n_samples <= MOST_SAMPLES:
            raise UsageError(f"--samples {self.n_samples} is out of range; use 2 to {MOST_SAMPLES}")
        for search, seed in product(self.searches, self.seeds):
            for name, _ in self.settings:
                if name in search.settings:
                    raise UsageError(f"--config {name}: what is repeated decides that itself; leave it out")
            resolve(search.objective, self.settings_of(search, seed))

    def settings_of(self, search: Search, seed: int) -> dict[str, Any]:
        """Settings of a study."""
        return SCALED | dict(self.settings) | search.settings | {"data": self.data, "seed": seed}

    def folder(self, *parts: object) -> Path:
        """Where the study of a row lies."""
        name = "-".join(map(str, parts))
        return self.studies / "".join(letter if letter.isalnum() else "-" for letter in name.replace(", ", "-"))


Kind = Literal["search", "chance", "paper", "code", "dropout"]
"""What a task makes: a search; chance at as many epochs; the paper's random architectures; trainings of the winner with
smaller codes; and of modules with dropout."""


@dataclass(frozen=True)
class Task:
    """What gives one or more rows."""

    kind: Kind
    search: Search
    seed: int
    ratio: str = ""
    """Of a code."""

    @property
    def case(self) -> str:
        """What its rows are about."""
        return f"{self.search.name}, {self.ratio}" if self.ratio else self.search.name


def tasks_of(plan: Plan) -> list[Task]:
    """All tasks, in the order in which they can be done; what takes longest comes last."""
    return [
        *(Task("search", search, seed) for seed, search in product(plan.seeds, plan.searches)),
        *(Task("chance", search, seed) for seed, search in product(plan.seeds, plan.searches) if search.protocols),
        *(Task("dropout", plan.searches[0], seed) for seed in plan.seeds),
        *(
            Task("code", search, seed, ratio)
            for seed, search in product(plan.seeds, plan.searches)
            for ratio in search.ratios
        ),
        *(Task("paper", search, seed) for seed, search in product(plan.seeds, plan.searches) if search.is_as_paper),
    ]
