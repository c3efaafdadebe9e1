"""The rows of a reproduction as the paper's tables, and as those that are fair to both sides. Pure."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from evoae_cli.baseline.intervals import difference
from evoae_cli.baseline.protocols import FAIR, TITLES
from evoae_cli.bench.report import markdown_table
from evoae_cli.bench.reproduction_plan import SEARCHES
from evoae_cli.bench.results import Row, mean_text
from evoae_cli.page.paper import NUMBERS, PAPER_BATCHES


def tables(rows: Sequence[Row], acceptable_db: float) -> str:
    """All tables for which there are rows, each under a title."""
    parts: tuple[tuple[str, Callable[[Sequence[Row]], str | None]], ...] = (
        ("What the paper reports, on STL-10", _reported),
        ("Tables 1 and 2: evolution and random architectures", _as_paper),
        ("Evolution less chance, best against best, dB on test", _fair),
        ("What needs no training, on the same test images", _untrained),
        ("5 epochs of each candidate in place of 2", _epochs),
        ("Table 3: modules with dropout", _dropouts),
        (f"The smallest code that keeps {acceptable_db:.1f} dB, pooled", lambda rows: _codes(rows, acceptable_db)),
    )
    made = [(title, part(rows)) for title, part in parts]
    return "\n\n".join(f"**{title}**\n\n{table}" for title, table in made if table is not None)


def _reported(rows: Sequence[Row]) -> str | None:
    """The paper's own numbers, as printed, and the pooled PSNR that they stand for."""
    if not rows:
        return None
    cells = [(one.objective, one.entry, one.fitness_text, f"{one.pooled_db:.1f}") for one in NUMBERS]
    return markdown_table(("", "entry", "fitness", "pooled PSNR"), cells)


def _as_paper(rows: Sequence[Row]) -> str | None:
    cells = []
    for search in SEARCHES:
        for row in _of(rows, "search", search.name):
            cells.append((search.name, f"evolution, seed {row.seed}", *_scored(row)))
        for row in _of(rows, "paper", search.name):
            spread = row.more["spread"]
            cells.append(
                (
                    search.name,
                    f"{spread['n']} random, mean ± sd, seed {row.seed}",
                    f"{_paper(spread['fitness_mean'])} ± {_paper(spread['fitness_sd'])}",
                    _pooled_of_mean(spread["fitness_mean"]),
                    "-",
                    _collapsed(spread["collapsed"]),
                    *("-", "-"),
                )
            )
            cells.append((search.name, f"best of {spread['n']} random, trained again, seed {row.seed}", *_scored(row)))
    columns = ("search", "what", "fitness / 16, val", "pooled PSNR, test", "PSNR, test", "architecture")
    return markdown_table((*columns, "parameters", "values in the code"), cells) if cells else None


def _fair(rows: Sequence[Row]) -> str | None:
    cells = []
    for search in SEARCHES:
        best = {row.seed: row for row in _of(rows, "search", search.name)}
        there = [*_of(rows, "chance", search.name), *_of(rows, "paper", search.name)]
        for protocol in (*FAIR, "paper"):
            found = sorted((row for row in there if row.name == protocol and row.seed in best), key=_seed)
            if found:
                sides = [best[row.seed] for row in found], found
                less = [evolved.psnr_db - row.psnr_db for evolved, row in zip(*sides, strict=True)]
                cells.append((search.name, TITLES[protocol], *_paired(less), *map(_trained_epochs, sides)))
    columns = ("search", "chance", "evolution is better by", "95 % interval", "sure", "each seed")
    return markdown_table((*columns, "its epochs", "chance's"), cells) if cells else None


def _seed(row: Row) -> int:
    return row.seed or 0


def _trained_epochs(rows: Sequence[Row]) -> str:
    """Of all candidates, before one was chosen, in the mean of the seeds."""
    return f"{fmean(row.more['trained_epochs'] for row in rows):,.0f}"


def _untrained(rows: Sequence[Row]) -> str | None:
    """Evolution's best and the classical methods, the best first, over the seeds for which all are there."""
    cells = []
    for search in SEARCHES:
        found: dict[str, list[Row]] = {}
        for row in _of(rows, "untrained", search.name):
            found.setdefault(row.name, []).append(row)
        if not found:
            continue
        found["evolution"] = _of(rows, "search", search.name)
        seeds = set.intersection(*({row.seed for row in there} for there in found.values()))
        methods = [(name, [row for row in there if row.seed in seeds]) for name, there in found.items() if seeds]
        for name, there in sorted(methods, key=lambda one: -fmean(row.psnr_db for row in one[1])):
            pooled = mean_text([row.more["test"]["psnr_pooled_db"] for row in there], 2)
            shown = mean_text([row.psnr_db for row in there], 2), mean_text([row.ssim for row in there], 3)
            cells.append((search.name, name, pooled, *shown, str(len(there))))
    columns = ("search", "what", "pooled PSNR, test", "PSNR, test", "SSIM, test", "seeds")
    return markdown_table(columns, cells) if cells else None


def _epochs(rows: Sequence[Row]) -> str | None:
    """What the longer training of candidates brings, seed by seed: those of one seed have the same images."""
    by_epochs = [
        {row.seed: row for row in _of(rows, "search", search.name)}
        for search in SEARCHES
        if search.objective == "denoise"
    ]
    short, long = by_epochs
    seeds = sorted(seed for seed in short if seed is not None and seed in long)
    if not seeds:
        return None
    cells = [
        ("PSNR on test, dB", *_paired([long[seed].psnr_db - short[seed].psnr_db for seed in seeds])),
        (
            "fitness / 16 on val",
            *_paired(
                [
                    (long[seed].more["val"]["fitness"] - short[seed].more["val"]["fitness"]) / PAPER_BATCHES
                    for seed in seeds
                ]
            ),
        ),
    ]
    return markdown_table(("", "5 epochs are better by", "95 % interval", "sure", "each seed"), cells)


def _paired(values: Sequence[float]) -> tuple[str, ...]:
    """Mean, interval, whether it leaves out 0, and each of paired differences."""
    found = difference(values)
    interval = "-" if found.low is None else f"{found.low:+.2f} to {found.high:+.2f}"
    each = ", ".join(f"{value:+.2f}" for value in values)
    return f"{found.mean:+.2f}", interval, "yes" if found.is_sure else "no", each


def _dropouts(rows: Sequence[Row]) -> str | None:
    found = [row for row in rows if row.more["kind"] == "dropout"]
    if not found:
        return None
    beside = [row for row in _of(rows, "search", found[0].case) if row.seed in {one.seed for one in found}]
    cells = [
        (f"{row.name}, seed {row.seed}", *_scored(row))
        for row in sorted((*beside, *found), key=lambda row: (_seed(row), row.name != "evolution", row.name))
    ]
    columns = ("from", "fitness / 16, val", "pooled PSNR, test", "PSNR, test", "architecture")
    return markdown_table((*columns, "parameters", "values in the code"), cells)


def _codes(rows: Sequence[Row], acceptable_db: float) -> str | None:
    """Each code over the seeds; the smallest is that of the fewest values whose mean is good enough."""
    by_case: dict[str, list[Row]] = {}
    for row in rows:
        if row.more["kind"] == "code":
            by_case.setdefault(row.case, []).append(row)
    if not by_case:
        return None
    pooled = {case: [row.more["test"]["psnr_pooled_db"] for row in found] for case, found in by_case.items()}
    good = [case for case, values in pooled.items() if fmean(values) >= acceptable_db]
    least = min(good, key=lambda case: (by_case[case][0].n_values or 0, -fmean(pooled[case])), default=None)
    cells = [
        (
            *(case, f"{found[0].n_values:,}", mean_text(pooled[case], 2)),
            *(mean_text([row.psnr_db for row in found], 2), mean_text([row.ssim for row in found], 3)),
            *(str(len(found)), "the smallest" * (case == least)),
        )
        for case, found in by_case.items()
    ]
    return markdown_table(("code", "values", "pooled PSNR, test", "PSNR, test", "SSIM, test", "seeds", ""), cells)


def _of(rows: Sequence[Row], kind: str, case: str) -> list[Row]:
    return [row for row in rows if (row.more["kind"], row.case) == (kind, case)]


def _scored(row: Row) -> tuple[str, ...]:
    return (
        _paper(row.more["val"]["fitness"]),
        f"{row.more['test']['psnr_pooled_db']:.2f}",
        f"{row.psnr_db:.2f}",
        f"`{row.genotype}`",
        f"{row.parameters:,}",
        f"{row.n_values:,}",
    )


def _pooled_of_mean(fitness: float) -> str:
    """What the paper's arithmetic makes of a mean of fitness: that of images on [-1, 1]."""
    return f"{10 * math.log10(4 * fitness):.2f} of the mean, val" if fitness > 0 else "-"


def _collapsed(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%} no better than a constant image"


def _paper(fitness: Any) -> str:
    """A fitness as the paper has it."""
    return "-" if fitness is None else f"{fitness / PAPER_BATCHES:.2f}"
