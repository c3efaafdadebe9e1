"""How much of a photograph small codes keep: those of evolved autoencoders, principal components of blocks, and JPEG.

Searches and components see only --data, of which searches set a part aside for selection; --test is read here alone.
Codes are compared at the same number of values, and with 8 bits for each value; JPEG gets as many bytes as the evolved
model's codes then take.

A run that was interrupted goes on where it stopped, if it is given the same --out and --studies; rows of several runs
with one --out come into one table.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from evoae_cli.applying.codebytes import in_bytes
from evoae_cli.bench.comparison import Common, add_options, tell_row
from evoae_cli.bench.evolved import Evolved, evolved, timed_settings
from evoae_cli.bench.report import Report, formatted, one_line_errors, options
from evoae_cli.bench.results import TIMES, Results, Row, case_text, grouped, mean_text, times_of
from evoae_cli.bench.scored import ready
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.components import Components, components_of
from evoae_cli.evaluation.compression import BLOCK, BlockPCA, NoJpegError, jpeg
from evoae_cli.evaluation.imagefile import ImageFile
from evoae_cli.evaluation.metrics import scores
from evoae_cli.evaluation.resident import Resident
from evoae_cli.study.resolve import resolve

_RATIOS = ("1/4", "1/8")
_CHUNK = 8
"""Images that go through a network at once."""
_MARGINS = {"evolved": "block PCA", "evolved, 8 bits": "block PCA, 8 bits"}
"""Rows, and those that they are to beat."""
_COMPONENTS = ("block PCA", "block PCA, 8 bits")
NAMES = (*_COMPONENTS, "JPEG", "evolved, 8 bits", "evolved")
"""The rows in the order of the table."""


@dataclass(frozen=True, kw_only=True)
class Plan(Common):
    """What is compared."""

    ratios: tuple[str, ...] = _RATIOS
    """Values of a code for each value of the image."""
    only: tuple[str, ...] = NAMES

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be."""
        super().__post_init__()
        for ratio in self.ratios:
            resolve("manifold", self.config(ratio, 0))
            if not ratio.startswith("1/"):
                raise UsageError(f"--ratios {ratio} is not understood; write the share of the image's values as 1/4")

    def config(self, ratio: str, seed: int) -> dict[str, Any]:
        """Settings of a search."""
        own = {"data": self.data, "seed": seed, "patch": self.patch, "code_ratio": ratio}
        return timed_settings("manifold", self.budget_s, {**dict(self.settings), **own})


class Codings:
    """Makes the rows of a plan."""

    def __init__(self, plan: Plan, results: Results, images: ImageFile, clean: Tensor) -> None:
        self._plan = plan
        self._results = results
        self._images = images
        self._clean = clean
        self._shape = (clean.shape[2], clean.shape[3], clean.shape[1])
        self._fitted = functools.cache(self._components_for)
        self._model = functools.lru_cache(maxsize=1)(self._searched)

    def run(self, name: str, ratio: str, seed: int | None) -> Row:
        """One row, from the results if it is there. Raises EvoaeError if a search cannot go on."""
        budget_s = None if seed is None else self._plan.budget_s
        settings = {} if seed is None else dict(self._plan.settings)
        found = self._results.find(name, ratio, seed, budget_s, settings)
        if found is None:
            about = {"name": name, "case": ratio, "seed": seed, "budget_s": budget_s, "settings": settings}
            found = self._components(ratio, about) if seed is None else self._evolved(ratio, seed, about)
            self._results.add(found)
        return found

    def _components(self, ratio: str, about: dict[str, Any]) -> Row:
        n_values = Fraction(ratio) * BLOCK * BLOCK * self._shape[2]
        if n_values.denominator != 1:
            raise UsageError(f"--ratios {ratio} gives {float(n_values):g} values for a block of {BLOCK}x{BLOCK} pixels")
        components = self._fitted(int(n_values))
        pca = BlockPCA(components)
        # What has to be known to decode.
        about["parameters"] = sum(part.numel() for part in components)
        return self._coded(pca.encode(self._clean), pca.decode, about)

    def _components_for(self, n_values: int) -> Components:
        resident = Resident(self._images, "cpu", self._plan.patch, n_val=1, n_test=1, study_seed=0)
        return components_of(resident, BLOCK, n_values, study_seed=0)

    def _evolved(self, ratio: str, seed: int, about: dict[str, Any]) -> Row:
        found = self._model(ratio, seed)
        network = found.network
        with torch.inference_mode():
            codes = _in_chunks(network.encode, self._clean)
            if about["name"] == "JPEG":
                _, n_bytes = in_bytes(codes, self._shape)
                try:
                    coded = jpeg(self._clean, n_bytes)
                except NoJpegError as error:
                    raise UsageError(f"{error}, as codes of {ratio} have; leave JPEG out of --only") from error
                return self._row(coded.images, about | {"n_bytes": coded.n_bytes})
            about |= {
                "genotype": found.genotype,
                "parameters": found.parameters,
                "search_s": found.search_s,
                "train_s": found.train_s,
            }
            return self._coded(codes, functools.partial(_in_chunks, network.decode), about)

    def _searched(self, ratio: str, seed: int) -> Evolved:
        folder = self._plan.study_folder("manifold", ratio, seed)
        found = evolved("manifold", self._plan.config(ratio, seed), folder, self._plan.budget_s)
        ready(found.network)
        return found

    def _coded(self, codes: Tensor, decode: Callable[[Tensor], Tensor], about: dict[str, Any]) -> Row:
        """The row of codes [n, c, h, w], as they are or with 8 bits for each value."""
        about["n_values"] = codes[0].numel()
        about["n_bytes"] = 4.0 * codes[0].numel()
        if about["name"].endswith("8 bits"):
            codes, about["n_bytes"] = in_bytes(codes, self._shape)
        return self._row(decode(codes), about)

    def _row(self, output: Tensor, about: dict[str, Any]) -> Row:
        found = scores(output, self._clean)
        return Row(**about, psnr_db=found.psnr_db or 0.0, ssim=found.ssim or 0.0)


def _in_chunks(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return torch.cat([function(part) for part in torch.split(images, _CHUNK)])


def measure(plan: Plan, out: Path | None = None) -> Report:
    """Make all rows of a plan, those in `out` excepted, and the table of them.

    Raises UsageError for images that JPEG cannot hold, and otherwise what `Codings.run` and `Results` raise.
    """
    config = resolve("manifold", plan.config(plan.ratios[0], 0))
    results, images, clean = plan.open("codes", config, out)
    if images.dtype != "uint8" or images.channels not in (1, 3):
        raise UsageError(f"images of {plan.data} are no 8-bit grey or colour images, which JPEG holds; give others")
    codings = Codings(plan, results, images, clean)
    tasks: list[tuple[str, str, int | None]] = [
        (name, ratio, None) for ratio in plan.ratios for name in _COMPONENTS if name in plan.only
    ]
    tasks += [
        (name, ratio, seed)
        for ratio in plan.ratios
        for seed in plan.seeds
        for name in reversed(NAMES)
        if name in plan.only and name not in _COMPONENTS
    ]
    for number, (name, ratio, seed) in enumerate(tasks, 1):
        tell_row(number, len(tasks), codings.run(name, ratio, seed))
    return report_of(results, len(clean), plan.patch)


def report_of(results: Results, n_images: int, patch: int) -> Report:
    """The table of all rows, the seeds of a method in one, and by how much evolved codes beat components."""
    groups = grouped(results.rows, NAMES)
    components = {(group[0].case, group[0].name): fmean(row.psnr_db for row in group) for group in groups}
    rows = []
    for group in groups:
        first = group[0]
        rival = components.get((first.case, _MARGINS.get(first.name, "")))
        margins = [row.psnr_db - rival for row in group] if rival is not None else []
        rows.append(
            (
                case_text(first),
                first.name,
                mean_text([row.n_values for row in group], 0),
                mean_text([row.n_bytes for row in group], 0),
                mean_text([row.psnr_db for row in group], 2),
                mean_text([row.ssim for row in group], 3),
                mean_text(margins, 2),
                mean_text([row.parameters for row in group], 0),
                *times_of(group),
            )
        )
    return Report(
        benchmark="codes",
        goal="evolved above block PCA at the same number of values",
        columns=(
            *("code", "method", "values", "bytes", "PSNR, dB", "SSIM", "over block PCA, dB", "parameters"),
            *TIMES,
        ),
        rows=tuple(rows),
        figures={"images": n_images, "patch": patch, "setup": results.setup, "rows": results.rows},
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    add_options(parser, "runs/codes")
    parser.add_argument("--ratios", nargs="+", default=_RATIOS, help="sizes of the code (default 1/4 1/8)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="ROW", help="; ".join(NAMES))
    given = parser.parse_args(argv)
    with one_line_errors():
        plan = Plan.from_options(given, ratios=tuple(given.ratios), only=tuple(given.only))
        report = measure(plan, given.out)
        print(formatted(report, report.figures["setup"].machine, given))


if __name__ == "__main__":
    main()
