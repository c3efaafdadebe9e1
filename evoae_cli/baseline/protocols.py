"""The ways in which random architectures are drawn and trained: the paper's, and three that are fair to both sides."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from evoae_cli.evaluation.contract import Rival
from evoae_cli.genome.genotype import Genotype

Protocol = Literal["paper", "uniform", "lengths", "one-layer"]
"""`paper`: each architecture is trained to the final budget, and there is no search (section 5). The others train as
many epochs as the search that they are compared with, and the same finalists' trainings behind them:
`uniform` draws from the paper's distribution, `lengths` draws modules as long as evolution's were, and `one-layer`
tries all modules of one layer, among which the paper's winners are."""
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
FAIR = PROTOCOLS[1:]
"""Those that need a search to be fair to."""

N_SAMPLES = 30
"""The paper's number of random architectures (section 5)."""
MOST_SAMPLES = 10_000
MOST_LAYERS = 10
"""The paper's random architectures have U{1..10} layers (section 5)."""

HAND_MADE: dict[str, Rival] = {"dncnn": "DnCNN", "unet": "U-Net"}
"""Networks that people made, by the names that `--references` takes."""

TITLES: dict[Protocol, str] = {
    "paper": "random, as the paper",
    "uniform": f"random, 1 to {MOST_LAYERS} layers",
    "lengths": "random, same lengths",
    "one-layer": "modules of one layer",
}
"""What they are called in tables."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a search has trained, which a fair comparison trains too."""

    lengths: tuple[int, ...]
    """Layers in the module of each candidate."""
    epochs: int
    """Of each candidate."""
    n_finalists: int
    final_epochs: int
    """Of the finalist that was trained the longest."""

    @property
    def total(self) -> int:
        """Epochs of all candidates together."""
        return len(self.lengths) * self.epochs


def settings_of(
    protocol: Protocol, settings: Mapping[str, Any], drawn: list[Genotype], spent: Spent | None
) -> dict[str, Any]:
    """The settings of the study that trains what was drawn: its start, which nothing is evolved from.

    Where there are fewer architectures than the search had candidates, each is trained the longer, at most as long as
    a finalist: so as many epochs are trained in all.
    """
    own: dict[str, Any] = {
        "population": len(drawn),
        "generations": 0,
        "mode": "generational",
        "keep_duplicates": False,
        "objectives": ("fitness",),
        "start_from": tuple(genotype.text for genotype in drawn),
    }
    if spent is None:
        # The best of them is trained once more, so that luck in one training is not taken for quality.
        return {**settings, **own, "epochs": settings["final_epochs"], "finalists": 1}
    epochs = min(max(spent.epochs, -(-spent.total // len(drawn))), max(spent.epochs, spent.final_epochs))
    trained = {"epochs": epochs, "finalists": spent.n_finalists, "final_epochs": spent.final_epochs}
    return {**settings, **own, **trained}


def layers_of(protocol: Protocol, most_of_search: int) -> int:
    """The most layers that a module may have."""
    return MOST_LAYERS if protocol in ("paper", "uniform") else most_of_search
