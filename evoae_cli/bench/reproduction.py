"""The paper's experiments in small, on photographs: its tables, its figures, and what a fair comparison says of them.

A run that was interrupted goes on where it stopped, if it is given the same --out and --studies. It takes hours: see
docs/reproduction.md for what came of it.
"""

import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from evoae_cli.baseline.comparison import Side
from evoae_cli.baseline.summary import BaselineSummary
from evoae_cli.bench.evolved import parsed_settings, searched, told_warnings
from evoae_cli.bench.report import one_line_errors, options, tell, this_machine
from evoae_cli.bench.reproduction_figures import write_figures
from evoae_cli.bench.reproduction_plan import N_DROPOUTS, Plan, Search, Task, tasks_of
from evoae_cli.bench.reproduction_tables import tables
from evoae_cli.bench.results import Results, Row, Setup
from evoae_cli.interface import random_baseline, resume, train
from evoae_cli.page.charts import course_of
from evoae_cli.study.locate import is_study
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settings import OF_SEARCH
from evoae_cli.study.setup import prepare
from evoae_cli.study.store import Store
from evoae_cli.study.summary import summary

_KEPT = ("fitness", "mse", "psnr_db", "psnr_pooled_db", "ssim")


class Repetition:
    """Makes the rows of a plan."""

    def __init__(self, plan: Plan, results: Results) -> None:
        self._plan = plan
        self._results = results

    def run(self, task: Task) -> list[Row]:
        """The rows of a task, from the results if they are there. Raises EvoaeError where a study cannot go on."""
        found = self._there(task)
        if not found:
            begun = time.monotonic()
            found = getattr(self, f"_{task.kind}")(task)
            for row in found:
                more = row.more | {"date": date.today().isoformat(), "took_s": round(time.monotonic() - begun)}
                self._results.add(msgspec.structs.replace(row, more=more))
        return found

    def _there(self, task: Task) -> list[Row]:
        case = task.case or task.search.name
        return [
            row for row in self._results.rows if (row.more["kind"], row.case, row.seed) == (task.kind, case, task.seed)
        ]

    def _row(self, task: Task, name: str, found: dict[str, Any], **more: Any) -> Row:
        """The row of a study's best, as `found` has it; the figures are those on test."""
        best = found["best"]
        val, test = ({key: scores.get(key) for key in _KEPT} for scores in (best, best["test"]))
        return Row(
            name=name,
            case=task.case or task.search.name,
            seed=task.seed,
            psnr_db=test["psnr_db"],
            ssim=test["ssim"],
            parameters=best["parameters"],
            genotype=best["genotype"],
            n_values=best["code_values"],
            search_s=found["active_s"],
            settings=dict(self._plan.settings),
            more={"kind": task.kind, "val": val, "test": test, **more},
        )

    def _search(self, task: Task) -> list[Row]:
        folder = self._plan.folder(task.search.name, task.seed)
        found = searched(task.search.objective, self._plan.settings_of(task.search, task.seed), folder)
        store = Store.read(folder)
        try:
            candidates = list(store.records("search"))
        finally:
            store.close()
        course = course_of(candidates)
        dropouts = sorted(
            {(row.evaluation.fitness, row.evaluation.genotype) for row in candidates if _drops(row.evaluation.genotype)}
        )
        about = {
            "n_trained": found["counts"]["trained"],
            "best": course.best,
            "mean": course.mean,
            "dropouts": [genotype for _, genotype in reversed(dropouts)][:N_DROPOUTS],
            "finalists": [[one["genotype"], one["fitness"]] for one in found["finalists"]],
            "references": found["references"]["test"],
        }
        return [self._row(task, "evolution", found, **about)]

    def _chance(self, task: Task) -> list[Row]:
        found = self._compared(task, task.search.protocols)
        sides = [side for side in found.studies if side.part.protocol != "evolution"]
        return [self._side(task, side) for side in sides]

    def _paper(self, task: Task) -> list[Row]:
        found = self._compared(task, ("paper",))
        assert found.random is not None
        (side,) = [side for side in found.studies if side.part.protocol == "paper"]
        row = self._side(task, side)
        return [msgspec.structs.replace(row, more=row.more | {"spread": msgspec.to_builtins(found.random)})]

    def _compared(self, task: Task, protocols: Sequence[str]) -> BaselineSummary:
        against = self._plan.folder(task.search.name, task.seed)
        folder = self._plan.folder(task.kind, task.search.name, task.seed)
        with told_warnings():
            return random_baseline(
                against=against,
                study=folder,
                protocols=protocols,
                samples=self._plan.n_samples,
                progress=sys.stderr.isatty(),
            )

    def _side(self, task: Task, side: Side) -> Row:
        return self._row(task, side.part.protocol, summary(Path(side.study)), n_trained=side.n_candidates)

    def _code(self, task: Task) -> list[Row]:
        found = self._trained(task, self._winner(task.search, task.seed), code_ratio=task.case)
        return [self._row(task, "code", found)]

    def _dropout(self, task: Task) -> list[Row]:
        """The best modules with dropout that the searches met, trained to the end."""
        met = [row.more["dropouts"] for row in self._results.rows if _is_search(row, task.search)]
        chosen = list(dict.fromkeys(genotype for one in zip(*met, strict=False) for genotype in one))[:N_DROPOUTS]
        return [self._row(task, "dropout", self._trained(task, genotype)) for genotype in chosen]

    def _trained(self, task: Task, genotype: str, **settings: Any) -> dict[str, Any]:
        """The summary of the training of one architecture, as long as a finalist's."""
        folder = self._plan.folder(task.kind, task.case or genotype, task.seed)
        of_search = self._plan.settings_of(task.search, task.seed)
        left_out = (*OF_SEARCH, "epochs", "final_epochs")
        own = {name: value for name, value in of_search.items() if name not in left_out}
        with told_warnings():
            if not is_study(folder):
                folder.parent.mkdir(parents=True, exist_ok=True)
                return train(
                    task.search.objective,
                    genotype=genotype,
                    study=folder,
                    progress=False,
                    **(own | settings | {"epochs": of_search["final_epochs"]}),
                ).summary
            return resume(folder, progress=False).summary

    def _winner(self, search: Search, seed: int) -> str:
        return next(row.genotype for row in self._results.rows if _is_search(row, search) and row.seed == seed)


def _drops(genotype: str) -> bool:
    return "dropout2d" in genotype


def _is_search(row: Row, search: Search) -> bool:
    return row.more["kind"] == "search" and row.case == search.name


def repeat(plan: Plan, out: Path | None) -> Results:
    """Make all rows of a plan, those in `out` excepted.

    Raises UsageError or EvoaeError in one line: see `Results`, `interface.search` and `interface.random_baseline`.
    """
    first = plan.searches[0]
    images = prepare(resolve(first.objective, plan.settings_of(first, plan.seeds[0])), tell).images
    data = str(Path(plan.data).absolute()) if Path(plan.data).is_dir() else plan.data
    setup = Setup(benchmark="reproduction", data=data, test=images.fingerprint, machine=this_machine())
    results = Results(out, setup)
    repetition, tasks = Repetition(plan, results), tasks_of(plan)
    for number, task in enumerate(tasks, 1):
        rows = repetition.run(task)
        mean = fmean(row.psnr_db for row in rows) if rows else float("nan")
        case = f", {task.case}" if task.case else ""
        tell(f"{number} of {len(tasks)}: {task.kind}, {task.search.name}{case}, seed {task.seed}: {mean:.2f} dB")
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Repeat the experiments and print the tables."""
    parser = options(__doc__)
    parser.add_argument("--data", required=True, help="folder of photographs")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2), help="default 0 1 2")
    parser.add_argument("--samples", type=int, default=30, help="random architectures of the paper's protocol (30)")
    parser.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="setting of all studies")
    parser.add_argument("--studies", type=Path, default=Path("runs/reproduction"), help="their folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the rows here, and make only those not there")
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="draw Figures 5, 6, 8 and 9 into this folder")
    parser.add_argument("--acceptable", type=float, default=25.0, metavar="DB", help="PSNR that a code must keep (25)")
    given = parser.parse_args(argv)
    with one_line_errors():
        plan = Plan(
            data=given.data,
            studies=given.studies,
            seeds=tuple(given.seeds),
            n_samples=given.samples,
            settings=tuple(parsed_settings(given.config).items()),
        )
        results = repeat(plan, given.out)
        if given.figures is not None:
            write_figures(plan, results.rows, given.figures)
    if given.json:
        print(msgspec.json.encode({"setup": results.setup, "rows": results.rows}).decode())
    else:
        print(results.setup.machine.line() + "\n\n" + tables(results.rows, given.acceptable))


if __name__ == "__main__":
    main()
