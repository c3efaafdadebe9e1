"""The rows of a reproduction as the paper's tables, and as those that are fair to both sides. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from evoae_cli.baseline.intervals import difference
from evoae_cli.baseline.protocols import FAIR, TITLES
from evoae_cli.bench.report import markdown_table
from evoae_cli.bench.reproduction_plan import SEARCHES
from evoae_cli.bench.results import Row
from evoae_cli.page.paper import PAPER_BATCHES


def tables(rows: Sequence[Row], acceptable_db: float) -> str:
    """All tables for which there are rows, each under a title."""
    parts: tuple[tuple[str, Callable[[Sequence[Row]], str | None]], ...] = (
        ("Tables 1 and 2: evolution and random architectures", _as_paper),
        ("Evolution less chance, best against best, dB on test", _fair),
        ("5 epochs of each candidate in place of 2", _epochs),
        ("Table 3: modules with dropout", _dropouts),
        (f"The smallest code that keeps {acceptable_db:g} dB", lambda rows: _codes(rows, acceptable_db)),
    )
    made = [(title, part(rows)) for title, part in parts]
    return "\n\n".join(f"**{title}**\n\n{table}" for title, table in made if table is not None)


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
                    *("-", "-"),
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
        best = {row.seed: row.psnr_db for row in _of(rows, "search", search.name)}
        for protocol in FAIR:
            pairs = [
                (row.seed, best[row.seed] - row.psnr_db)
                for row in _of(rows, "chance", search.name)
                if row.name == protocol and row.seed in best
            ]
            if pairs:
                cells.append((search.name, TITLES[protocol], *_paired([less for _, less in sorted(pairs)])))
    columns = ("search", "chance", "evolution is better by", "95 % interval", "sure", "each seed")
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
    beside = [row for row in _of(rows, "search", found[0].case) if row.seed == found[0].seed]
    cells = [(row.more["kind"], *_scored(row)) for row in (*beside, *found)]
    columns = ("from", "fitness / 16, val", "pooled PSNR, test", "PSNR, test", "architecture")
    return markdown_table((*columns, "parameters", "values in the code"), cells)


def _codes(rows: Sequence[Row], acceptable_db: float) -> str | None:
    found = [row for row in rows if row.more["kind"] == "code"]
    if not found:
        return None
    good = [row for row in found if row.psnr_db >= acceptable_db]
    least = min(good, key=lambda row: row.n_values or 0, default=None)
    cells = [
        (row.case, f"{row.n_values:,}", f"{row.psnr_db:.2f}", f"{row.ssim:.3f}", "the smallest" * (row is least))
        for row in found
    ]
    return markdown_table(("code", "values", "PSNR, test", "SSIM, test", ""), cells)


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


def _collapsed(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%} no better than a constant image"


def _paper(fitness: Any) -> str:
    """A fitness as the paper has it."""
    return "-" if fitness is None else f"{fitness / PAPER_BATCHES:.2f}"
