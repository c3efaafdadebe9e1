"""The paper's own numbers, and how they were obtained, so that nobody compares what cannot be compared."""

import math
from collections.abc import Iterable

import msgspec

from evoae_cli.evaluation.contract import Objective

TITLE = "Distributed Evolution of Deep Autoencoders (Hajewski, Oliveira and Xing, 2020)"
PAPER_BATCHES = 16
"""The paper's code sums the error over so many batches of its validation images."""


class PaperNumber(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the paper's tables."""

    objective: Objective
    entry: str
    fitness: float
    """As printed: 1 / (sum of the mean squared errors of 16 batches)."""
    sd: float | None = None
    """Standard deviation, as printed."""

    @property
    def fitness_text(self) -> str:
        """As printed."""
        return f"{self.fitness:g}" if self.sd is None else f"{self.fitness:g} ± {self.sd:g}"

    @property
    def mse(self) -> float:
        """Mean squared error on the [-1, 1] scale that the fitness stands for."""
        return 1 / (PAPER_BATCHES * self.fitness)

    @property
    def pooled_db(self) -> float:
        """PSNR of that error, in dB."""
        return -10 * math.log10(self.mse / 4)


NUMBERS = (
    PaperNumber(objective="denoise", entry="best of a search with 2 epochs each", fitness=6.10),
    PaperNumber(objective="denoise", entry="best of a search with 5 epochs each", fitness=6.02),
    PaperNumber(objective="denoise", entry="30 random architectures, mean", fitness=1.8, sd=1.52),
    PaperNumber(objective="manifold", entry="2 reductions, best of the search", fitness=9.05),
    PaperNumber(objective="manifold", entry="2 reductions, random, mean", fitness=1.17, sd=1.22),
    PaperNumber(objective="manifold", entry="3 reductions, best of the search", fitness=3.42),
    PaperNumber(objective="manifold", entry="3 reductions, random, mean", fitness=0.36, sd=0.30),
)

_CARE = (
    "Its fitness is 1 / (sum of the mean squared errors of 16 validation batches), so about 1 / (16 × MSE): what "
    "this page calls fitness is about 16 times as large for the same network.",
    "Dropout stayed on while it validated, as its code never switches to evaluation mode; here it is off.",
    "Its validation images were drawn anew for every candidate, from those that others had been trained on; here "
    "train, validation and test are fixed, and test is read once.",
    "Its images are STL-10's, of 96×96 pixels, after 20 (denoising) or 40 (manifold) epochs of final training.",
)
"""What to know before comparing; all but the third column of the table are as printed or follow by arithmetic."""
_CARE_FOR: dict[Objective, str] = {
    "denoise": "Its text has noise of variance 1/3, its code adds normal noise divided by 3, so of variance 1/9, on "
    "the [-1, 1] scale: about 4.8 dB less noise.",
    "manifold": "With 64 filters and images of 96×96×3 its code is 73,728 values after 2 reductions, 2.7 times as "
    "many as the image has, and 18,432 after 3, 0.67 of the image's: its reductions by 75 % and 87.5 % count one axis "
    "alone. Here every page states the true size of the code.",
}

CONCLUSION = (
    "So only the pooled PSNR, the PSNR of the mean squared error over all images, may be set beside figures from "
    "here, and only with care: with the same images and the same noise it says something, otherwise only roughly "
    "where both lie."
)


def care_for(objectives: Iterable[Objective]) -> tuple[str, ...]:
    """What to know before comparing with the paper's entries for what studies are for."""
    return (*_CARE, *(_CARE_FOR[objective] for objective in dict.fromkeys(objectives)))


def numbers_for(objective: str) -> tuple[PaperNumber, ...]:
    """The paper's entries for what a study is for."""
    return tuple(number for number in NUMBERS if number.objective == objective)
