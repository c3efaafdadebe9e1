"""The paper's experiments in small, on photographs: its tables, its figures, and what a fair comparison says of them.

A run that was interrupted goes on where it stopped, if it is given the same --out and --studies. It takes hours: see
docs/reproduction.md for what came of it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from evoae_cli.baseline.comparison import Side
from evoae_cli.baseline.plan import is_baseline, read_plan
from evoae_cli.baseline.rivalfile import RivalRow
from evoae_cli.baseline.summary import BaselineSummary
from evoae_cli.bench.evolved import check_same, parsed_settings, searched, told_warnings
from evoae_cli.bench.report import one_line_errors, tell, this_machine
from evoae_cli.bench.reproduction_figures import write_figures
from evoae_cli.bench.reproduction_plan import ACCEPTABLE_DB, N_DROPOUTS, Kind, Plan, Task, tasks_of
from evoae_cli.bench.reproduction_tables import tables
from evoae_cli.bench.results import Results, Row, Setup, plain
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.interface import random_baseline, resume, train
from evoae_cli.page.charts import course_of
from evoae_cli.study.locate import is_study
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settings import OF_SEARCH
from evoae_cli.study.setup import prepare
from evoae_cli.study.store import Store
from evoae_cli.study.summary import summary
from evoae_cli.study.trainsettings import resolve_training

_KEPT = ("fitness", "mse", "psnr_db", "psnr_pooled_db", "ssim")


class Repetition:
    """Makes the rows of a plan."""

    def __init__(self, plan: Plan, results: Results) -> None:
        self._plan = plan
        self._results = results
        self._makers: dict[Kind, Callable[[Task], list[Row]]] = {
            "search": self._search,
            "chance": self._chance,
            "paper": self._paper,
            "code": self._code,
            "dropout": self._dropout,
        }

    def run(self, task: Task) -> list[Row]:
        """The rows of a task, from the results if they are there. Raises EvoaeError where a study cannot go on."""
        found = self._there(task)
        # A full disk, or a stop, may have kept some of them only.
        if len(found) < self._n_rows(task):
            begun = time.monotonic()
            for row in self._makers[task.kind](task):
                if not self._has(row):
                    more = row.more | {"date": date.today().isoformat(), "took_s": round(time.monotonic() - begun)}
                    self._results.add(msgspec.structs.replace(row, more=more))
            found = self._there(task)
        return found

    def _has(self, row: Row) -> bool:
        return any(_key(row) == _key(there) for there in self._results.rows)

    def _n_rows(self, task: Task) -> int:
        if task.kind == "chance":
            return len(task.search.protocols)
        return len(self._dropouts_of(task)) if task.kind == "dropout" else 1

    def _there(self, task: Task) -> list[Row]:
        wanted = (task.kind, task.case, task.seed)
        found = [row for row in self._results.rows if (row.more["kind"], row.case, row.seed) == wanted]
        for row in found:
            self._results.check_settings(row, self._settings(task))
        return found

    def _settings(self, task: Task) -> dict[str, Any]:
        """Those that a row depends on and that this run decides."""
        return dict(self._plan.settings) | ({"samples": self._plan.n_samples} if task.kind == "paper" else {})

    def _row(self, task: Task, name: str, found: dict[str, Any], **more: Any) -> Row:
        """The row of a study's best, as `found` has it; the figures are those on test."""
        best = found["best"]
        if not best or not best["test"]:
            raise _stopped(found["study"])
        val, test = ({key: scores.get(key) for key in _KEPT} for scores in (best, best["test"]))
        return Row(
            name=name,
            case=task.case,
            seed=task.seed,
            psnr_db=test["psnr_db"],
            ssim=test["ssim"],
            parameters=best["parameters"],
            genotype=best["genotype"],
            n_values=best["code_values"],
            search_s=found["active_s"],
            settings=self._settings(task),
            more={"kind": task.kind, "val": val, "test": test, **more},
        )

    def _search(self, task: Task) -> list[Row]:
        found = self._study(task)
        store = Store.read(Path(found["study"]))
        try:
            candidates = list(store.records("search"))
            trained = [record.evaluation for record in store.records("search", is_whole=True)]
        finally:
            store.close()
        course = course_of(candidates)
        dropouts = sorted(
            {(one.fitness, one.genotype) for one in trained if "dropout2d" in one.genotype and one.fitness > 0}
        )
        about = {
            "n_trained": found["counts"]["trained"],
            "trained_epochs": found["counts"]["trained"] * found["settings"]["epochs"],
            "generations": course.generations,
            "best": course.best,
            "mean": course.mean,
            "dropouts": [genotype for _, genotype in reversed(dropouts)][:N_DROPOUTS],
            "finalists": [[one["genotype"], one["fitness"]] for one in found["finalists"]],
            "references": found["references"]["test"],
        }
        return [self._row(task, "evolution", found, **about)]

    def _study(self, task: Task) -> dict[str, Any]:
        """The summary of the search that a task is about, which is run where it is not there."""
        folder = self._plan.folder(task.search.name, task.seed)
        return searched(task.search.objective, self._plan.settings_of(task.search, task.seed), folder)

    def _chance(self, task: Task) -> list[Row]:
        found = self._compared(task, task.search.protocols)
        sides = [side for side in found.studies if side.part.protocol != "evolution"]
        untrained = [rival for rival in found.rivals if rival.found.rival != "network"]
        # Those that say whether the task is done come last.
        return [*(self._untrained(task, rival) for rival in untrained), *(self._side(task, side) for side in sides)]

    def _untrained(self, task: Task, rival: RivalRow) -> Row:
        """What a method that needs no training did on the same test images."""
        scores = msgspec.to_builtins(rival.found.scores)
        return Row(
            name=rival.name,
            case=task.case,
            seed=task.seed,
            psnr_db=scores["psnr_db"],
            ssim=scores["ssim"],
            n_bytes=rival.found.n_bytes,
            settings=self._settings(task),
            more={"kind": "untrained", "test": {key: scores.get(key) for key in _KEPT}},
        )

    def _paper(self, task: Task) -> list[Row]:
        found = self._compared(task, ("paper",))
        assert found.random is not None
        (side,) = [side for side in found.studies if side.part.protocol == "paper"]
        row = self._side(task, side)
        return [msgspec.structs.replace(row, more=row.more | {"spread": msgspec.to_builtins(found.random)})]

    def _compared(self, task: Task, protocols: Sequence[str]) -> BaselineSummary:
        search = self._study(task)
        folder = self._plan.folder(task.kind, task.search.name, task.seed)
        n_samples = self._plan.n_samples if "paper" in protocols else None
        if is_baseline(folder):
            there = read_plan(folder)
            wanted = (n_samples or there.n_samples, tuple(protocols), plain(search["settings"]))
            if (there.n_samples, there.protocols, plain(there.settings)) != wanted:
                raise UsageError(f"{folder} is a comparison with another search; delete it, or give other --studies")
        with told_warnings():
            found = random_baseline(
                against=search["study"],
                study=folder,
                protocols=protocols,
                samples=n_samples,
                progress=sys.stderr.isatty(),
            )
        if found.state != "done":
            raise _stopped(folder)
        return found

    def _side(self, task: Task, side: Side) -> Row:
        counts = {"n_trained": side.n_candidates, "trained_epochs": side.epochs_in_all}
        return self._row(task, side.part.protocol, summary(Path(side.study)), **counts)

    def _code(self, task: Task) -> list[Row]:
        found = self._trained(task, self._searched(task).genotype, code_ratio=task.ratio)
        return [self._row(task, "code", found)]

    def _dropout(self, task: Task) -> list[Row]:
        """The fittest modules with dropout that the search met, trained to the end."""
        chosen = enumerate(self._dropouts_of(task), 1)
        return [self._row(task, f"dropout {number}", self._trained(task, one)) for number, one in chosen]

    def _dropouts_of(self, task: Task) -> list[str]:
        found: list[str] = self._searched(task).more["dropouts"]
        return found

    def _trained(self, task: Task, genotype: str, **settings: Any) -> dict[str, Any]:
        """The summary of the training of one architecture, as long as a finalist's."""
        folder = self._plan.folder(task.kind, task.case if task.ratio else genotype, task.seed)
        of_search = self._plan.settings_of(task.search, task.seed)
        left_out = (*OF_SEARCH, "epochs", "final_epochs")
        own = {name: value for name, value in of_search.items() if name not in left_out}
        own |= settings | {"epochs": of_search["final_epochs"]}
        objective = task.search.objective
        with told_warnings():
            if not is_study(folder):
                return train(objective, genotype=genotype, study=folder, progress=False, **own).summary
            check_same(folder, resolve_training(objective, own, genotype=genotype), ["genotype", *own])
            return resume(folder, progress=False).summary

    def _searched(self, task: Task) -> Row:
        """The row of the search that a task builds on."""
        (row,) = self._there(Task("search", task.search, task.seed))
        return row


def _stopped(study: str | Path) -> EvoaeError:
    return EvoaeError(f"{study} was stopped; run the benchmark again to go on with it")


def _key(row: Row) -> tuple[object, ...]:
    """What a row is about."""
    return row.more["kind"], row.case, row.seed, row.name


def repeat(plan: Plan, out: Path | None) -> Results:
    """Make all rows of a plan, those in `out` excepted.

    Raises UsageError or EvoaeError in one line: see `Results`, `interface.search` and `interface.random_baseline`.
    """
    first = plan.searches[0]
    # The fingerprint is that of a split, so that of one seed, whichever are asked for.
    images = prepare(resolve(first.objective, plan.settings_of(first, 0)), tell).images
    data = str(Path(plan.data).absolute()) if Path(plan.data).is_dir() else plan.data
    setup = Setup(benchmark="reproduction", data=data, test=images.fingerprint, machine=this_machine())
    results = Results(out, setup)
    repetition, tasks = Repetition(plan, results), tasks_of(plan)
    for number, task in enumerate(tasks, 1):
        rows = repetition.run(task)
        mean = fmean(row.psnr_db for row in rows) if rows else float("nan")
        tell(f"{number} of {len(tasks)}: {task.kind}, {task.case}, seed {task.seed}: {mean:.2f} dB")
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Repeat the experiments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", required=True, help="folder of photographs")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2), help="default 0 1 2")
    parser.add_argument("--samples", type=int, default=30, help="random architectures of the paper's protocol (30)")
    parser.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="setting of all studies")
    parser.add_argument("--studies", type=Path, default=Path("runs/reproduction"), help="their folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the rows here, and make only those not there")
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="draw Figures 5, 6, 8 and 9 into this folder")
    acceptable = f"pooled PSNR that a code must keep ({ACCEPTABLE_DB:.1f}, that of the paper's smaller code)"
    parser.add_argument("--acceptable", type=float, default=ACCEPTABLE_DB, metavar="DB", help=acceptable)
    given = parser.parse_args(argv)
    with one_line_errors():
        plan = Plan(
            data=given.data,
            studies=given.studies,
            seeds=tuple(given.seeds),
            n_samples=given.samples,
            settings=tuple(parsed_settings(given.config).items()),
        )
        for folder in (given.studies, *[one for one in (given.figures, given.out and given.out.parent) if one]):
            _make(folder)
        results = repeat(plan, given.out)
        if given.json:
            print(msgspec.json.encode({"setup": results.setup, "rows": results.rows}).decode())
        else:
            print(results.setup.machine.line() + "\n\n" + tables(results.rows, given.acceptable))
        if given.figures is not None:
            write_figures(plan, results.rows, given.figures)


def _make(folder: Path) -> None:
    """Raise UsageError where results of hours could not be written in the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}; name another place") from error


if __name__ == "__main__":
    main()
