"""What comparisons on photographs have in common: images, seeds, the time of searches, and where results are kept."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from evoae_cli.bench.evolved import parsed_settings
from evoae_cli.bench.report import tell, this_machine
from evoae_cli.bench.results import Results, Row, Setup
from evoae_cli.bench.scored import centre_crops, fingerprint
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.imagefile import ImageFile
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.setup import prepare

STEP = 8
"""What the sides of the crops are a multiple of, so that every network can halve them, and blocks fill them."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """What is compared on what."""

    data: str
    test: Path
    studies: Path
    seeds: tuple[int, ...] = (0, 1, 2)
    budget_s: float = 600.0
    """For one search, its finalists included."""
    patch: int = 96
    """Side of the images that are compared on: centre crops."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Of the searches, and of the recipe that all networks are trained by."""

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        if self.patch % STEP:
            raise UsageError(f"--patch {self.patch} cannot be halved as often as networks do; use a multiple of {STEP}")
        if min(self.seeds) < 0:
            raise UsageError(f"--seeds {' '.join(map(str, self.seeds))}: a seed is a whole number of at least 0")
        if not 0 < self.budget_s < float("inf"):
            raise UsageError(f"--budget {self.budget_s:g} is no time for a search; give seconds above 0")

    @classmethod
    def from_options(cls, given: argparse.Namespace, **others: Any) -> Self:
        """From what `add_options` has added. Raises UsageError for what cannot be."""
        return cls(
            data=given.data,
            test=given.test,
            studies=given.studies,
            seeds=tuple(given.seeds) if given.seed is None else (given.seed,),
            budget_s=given.budget,
            patch=given.patch,
            settings=tuple(parsed_settings(given.config).items()),
            **others,
        )

    def study_folder(self, *parts: object) -> Path:
        """Where the study of a row lies."""
        name = "-".join(map(str, (*parts, f"{self.budget_s:g}s")))
        return self.studies / "".join(letter if letter.isalnum() or letter == "." else "-" for letter in name)

    def open(self, benchmark: str, config: StudyConfig, out: Path | None) -> tuple[Results, ImageFile, Tensor]:
        """The results so far, the images as a search with `config` has them, and the test images on [-1, 1].

        Raises UsageError, mostly ImageError, where images or results cannot be used.
        """
        machine = this_machine()
        images = prepare(config, tell).images
        clean = centre_crops(self.test, self.patch, images)
        setup = Setup(
            benchmark=benchmark,
            data=str(Path(self.data).absolute()) if Path(self.data).is_dir() else self.data,
            test=fingerprint(clean),
            machine=machine,
        )
        return Results(out, setup), images, clean


def add_options(parser: argparse.ArgumentParser, studies: str) -> None:
    """The options of all comparisons; `studies` is where searches lie by default."""
    common = Common(data="", test=Path(), studies=Path(studies))
    parser.add_argument("--data", required=True, help="folder of photographs to learn from and select by")
    parser.add_argument("--test", required=True, type=Path, help="folder of photographs to compare on")
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seeds", nargs="+", type=int, default=common.seeds, help="default 0 1 2")
    seeds.add_argument("--seed", type=int, help="a single one")
    parser.add_argument("--budget", type=float, default=common.budget_s, metavar="S", help="seconds a search (600)")
    parser.add_argument("--patch", type=int, default=common.patch, help="side of the crops to compare on (default 96)")
    parser.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="setting of all searches")
    parser.add_argument("--studies", type=Path, default=common.studies, help=f"their folder (default {studies})")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the rows here, and make only those not there")


def tell_row(number: int, n_rows: int, row: Row) -> None:
    """Say that a row is there."""
    seed = "" if row.seed is None else f", seed {row.seed}"
    tell(f"{number} of {n_rows}: {row.name}, {row.case}{seed}: {row.psnr_db:.2f} dB")
