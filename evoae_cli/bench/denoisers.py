"""How well denoisers do: classical ones, hand-made networks, and those that evolution found, on photographs.

Searches and trainings see only --data, of which they set a part aside for selection; --test is read here alone. All
methods clean the same centre crops with the same Gaussian noise, which is not clipped, and know its strength.

A run that was interrupted goes on where it stopped, if it is given the same --out and --studies; rows of several runs
with one --out come into one table.
"""

from collections.abc import Sequence
from pathlib import Path

from evoae_cli.bench.comparison import add_options, tell_row
from evoae_cli.bench.denoisers_plan import ARCHITECTURE, NAMES, NOISES, Plan, tasks_of
from evoae_cli.bench.denoisers_rows import Comparison
from evoae_cli.bench.report import Report, formatted, one_line_errors, options, tell
from evoae_cli.bench.results import TIMES, Results, Row, case_text, grouped, mean_text, times_of
from evoae_cli.evaluation.handmade import DNCNN_DEPTH, DNCNN_FILTERS, UNET_FILTERS
from evoae_cli.study.resolve import resolve


def measure(plan: Plan, out: Path | None = None) -> Report:
    """Make all rows of a plan, those in `out` excepted, and the table of them.

    Raises UsageError or EvoaeError in one line: see `Comparison` and `Results`.
    """
    tasks = tasks_of(plan, tell)
    config = resolve("denoise", plan.config(plan.noises[0], 0))
    results, _, clean = plan.open("denoisers", config, out)
    comparison = Comparison(plan, results, clean)
    comparison.check(tasks)
    for number, task in enumerate(tasks, 1):
        tell_row(number, len(tasks), comparison.run(task))
    return report_of(results, len(clean), plan.patch)


def report_of(results: Results, n_images: int, patch: int) -> Report:
    """The table of all rows, the seeds of a method in one."""
    rows = []
    for group in grouped(results.rows, NAMES):
        first = group[0]
        rows.append(
            (
                case_text(first),
                _title(first),
                mean_text([row.psnr_db for row in group], 2),
                mean_text([row.ssim for row in group], 3),
                mean_text([row.parameters for row in group], 0),
                mean_text([row.ms for row in group], 1),
                *times_of(group),
            )
        )
    return Report(
        benchmark="denoisers",
        goal="evolved skip above non-local means in 10 min, above BM3D in 60, at under a hundredth of BM3D's ms",
        columns=("noise", "method", "PSNR, dB", "SSIM", "parameters", "ms", *TIMES),
        rows=tuple(rows),
        figures={"images": n_images, "patch": patch, "setup": results.setup, "rows": results.rows},
    )


def _title(row: Row) -> str:
    if row.name == "DnCNN":
        return f"DnCNN, {DNCNN_DEPTH} layers of {DNCNN_FILTERS}"
    if row.name == "U-Net":
        return f"U-Net from {UNET_FILTERS} filters"
    return f"{row.name} `{row.genotype}`" if row.name == "paper's form" else row.name


def _named(text: str) -> str:
    """A row by any spelling of its case."""
    known = {name.lower(): name for name in NAMES} | {
        "unet": "U-Net",
        "nlm": "non-local means",
        "tv": "total variation",
    }
    return known.get(text.lower(), text)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    add_options(parser, "runs/denoisers")
    parser.add_argument("--noise", nargs="+", default=NOISES, help="variance on [-1, 1], or gaussian:25 (default both)")
    parser.add_argument(
        "--only", nargs="+", type=_named, choices=NAMES, default=NAMES, metavar="ROW", help=", ".join(NAMES)
    )
    parser.add_argument("--train-for", type=float, metavar="S", help="train rivals for so many seconds instead")
    parser.add_argument("--architecture", default=ARCHITECTURE, help=f"of paper's form (default {ARCHITECTURE})")
    given = parser.parse_args(argv)
    with one_line_errors():
        plan = Plan.from_options(
            given,
            noises=tuple(given.noise),
            only=tuple(name for name in NAMES if name in given.only),
            train_for_s=given.train_for,
            architecture=given.architecture,
        )
        report = measure(plan, given.out)
        print(formatted(report, report.figures["setup"].machine, given))


if __name__ == "__main__":
    main()
