"""Which denoisers are compared on what, and in which order their rows are made."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from evoae_cli.bench.comparison import Common
from evoae_cli.bench.evolved import timed_settings
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.classical import METHODS
from evoae_cli.evaluation.noise import Noise
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.study.resolve import resolve

CLASSICAL = ("noisy", *METHODS, "BM3D")


class Way(NamedTuple):
    """How an evolved network came to be, and is used. Those that differ in `views` alone are one search."""

    space: str
    views: int = 1
    """Of an image, that the network sees."""
    is_noisy_only: bool = False
    """Whether the search was given noisy images alone."""


EVOLVED = {
    "evolved paper": Way("paper"),
    "evolved skip": Way("skip"),
    "evolved skip, 2 views": Way("skip", views=2),
    "evolved skip, noisy only": Way("skip", is_noisy_only=True),
}
_SKIP_FIRST = sorted(EVOLVED, key=lambda name: EVOLVED[name].space != "skip")
RIVALS = ("paper's form", "DnCNN", "U-Net")
NAMES = (*CLASSICAL, *RIVALS, *EVOLVED)
"""The rows in the order of the table."""

NOISES = ("1/3", "gaussian:25")
ARCHITECTURE = "5x5conv2d:64,3x3conv2d:64"


@dataclass(frozen=True, kw_only=True)
class Plan(Common):
    """What is compared, and how."""

    noises: tuple[str, ...] = NOISES
    """Each a variance on [-1, 1], as `1/3`, or as `--noise` of a search has it."""
    only: tuple[str, ...] = NAMES
    train_for_s: float | None = None
    """For the hand-made networks; by default the time of the finalist of `evolved skip`."""
    architecture: str = ARCHITECTURE
    """Of `paper's form`."""

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        super().__post_init__()
        if self.train_for_s is not None and not 0 < self.train_for_s < float("inf"):
            raise UsageError(f"--train-for {self.train_for_s:g} is no time for a training; give seconds above 0")
        parse_genotype(self.architecture)
        for text in self.noises:
            self.noise(text)

    def config(self, noise: str, seed: int, space: str = "skip") -> dict[str, Any]:
        """Settings of a search that is given clean images."""
        spelling = {"noise": noise} if ":" in noise else {"sigma2": noise}
        return self._timed(seed, space, data=self.data, **spelling)

    def noisy_config(self, images: Path, seed: int, space: str) -> dict[str, Any]:
        """Settings of a search that is given `images`, which are noisy."""
        return self._timed(seed, space, data=str(images), noisy_only=True)

    def _timed(self, seed: int, space: str, **own: Any) -> dict[str, Any]:
        own |= {"seed": seed, "space": space, "patch": self.patch}
        return timed_settings("denoise", self.budget_s, {**dict(self.settings), **own})

    def noise(self, text: str) -> Noise:
        """The noise that a text means. Raises UsageError for one that the classical methods cannot be told."""
        found = resolve("denoise", self.config(text, 0)).corruption
        if found is None or found.std is None:
            raise UsageError(f"--noise {text} has no one standard deviation; use a variance as 1/3, or gaussian:25")
        return found


@dataclass(frozen=True)
class Task:
    """One row to come."""

    name: str
    noise: str
    seed: int | None
    budget_s: float | None


def tasks_of(plan: Plan, tell: Callable[[str], None]) -> list[Task]:
    """The rows of a plan in the order in which they are made: rivals need to know how long a finalist was trained.

    Raises UsageError where BM3D is asked for alone and not installed.
    """
    classical = [name for name in CLASSICAL if name in plan.only]
    if "BM3D" in classical and find_spec("bm3d") is None:
        if plan.only != NAMES:
            raise UsageError("--only BM3D needs the package bm3d; install it: pip install bm3d")
        classical.remove("BM3D")
        tell("BM3D is left out; for it: pip install bm3d")
    tasks = [Task(name, noise, None, None) for noise in plan.noises for name in classical]
    trained = [name for name in (*_SKIP_FIRST, *RIVALS) if name in plan.only]
    return tasks + [
        Task(name, noise, seed, plan.budget_s) for noise in plan.noises for seed in plan.seeds for name in trained
    ]
