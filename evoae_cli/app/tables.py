"""What `show`, `list` and `workers` print, as lines: whole ones for a file or a pipe, else fitted to the terminal.

There `show` breaks genotypes, in the last column, between their parts, and the others, of one line each, leave parts
out. Text is broken between words, so that what is to be copied stays whole.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evoae_cli.app.closing import against, became_text, front_line, is_training, start_line
from evoae_cli.app.genotypes import broken, fitted
from evoae_cli.app.wording import by_strength_text, clock, db, wrapped
from evoae_cli.counted import several
from evoae_cli.engine.protocol import WorkerView
from evoae_cli.study.locate import BEST
from evoae_cli.study.snapshot import Counts

_N_FAILURES, _N_LOG_LINES = 5, 25
_LEAST = 7
"""Columns that a genotype keeps however narrow the terminal."""
_BESIDE = 24
"""Columns that a whole genotype is given beside the figures; where there are fewer, it stands below them."""


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = (), width: int | None = None) -> list[str]:
    """Rows as lines with aligned cells, those of the columns in `right` to the right; the last one is fitted."""
    if width is not None:
        rows = [[*row[:-1], fitted(row[-1], max(width - _taken(rows), _LEAST))] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(row)]
        return "  ".join(cells).rstrip()

    return [line(row) for row in rows]


def genotype_lines(rows: Sequence[Sequence[str]], right: Sequence[int] = (), width: int | None = None) -> list[str]:
    """As `columns`, with the genotypes of the last column whole: on as many lines as they need, or below their row."""
    if width is None:
        return columns(rows, right)
    left = width - _taken(rows)
    if left >= _BESIDE:
        parts = [broken(row[-1], left) for row in rows]
        return columns(
            [
                [*(row[:-1] if first else [""] * (len(row) - 1)), part]
                for row, of_row in zip(rows, parts, strict=True)
                for first, part in zip([True] + [False] * (len(of_row) - 1), of_row, strict=True)
            ],
            right,
        )
    figures = columns([row[:-1] for row in rows], right)
    below = [[f"    {part}" for part in broken(row[-1], width - 4)] for row in rows]
    return [line for row, genotype in zip(figures, below, strict=True) for line in (row, *genotype)]


def _taken(rows: Sequence[Sequence[str]]) -> int:
    """Columns before the last one, the gaps included."""
    return sum(max(map(len, column)) + 2 for column in [*zip(*rows, strict=True)][:-1])


def study_lines(summary: dict[str, Any], folder: Path, width: int | None = None) -> list[str]:
    """One study; `summary` is the object of `evoae show --json`."""
    preset, best, counts = summary["settings"]["preset"], summary["best"], summary["counts"]
    lines = [f"{folder}: {summary['objective']}, {summary['state']}, seed {summary['seed']}, preset {preset}"]
    lines += [f"noise: {summary['noise']}", ""]
    if is_training(summary):
        lines[1:1] = [start_line(summary) or f"trained from scratch: {summary['settings']['genotype']}"]
    if best is None:
        lines.append(Counts(**counts).nothing_yet(is_training=is_training(summary)))
    else:
        lines += [*_named("best: ", best["genotype"], "", width), *_score_lines(best)]
        if by_strength := by_strength_text(best["test"] or {}):
            lines.append(by_strength)
        lines.append(f"{best['parameters']:,} parameters, a code of {best['code_values']:,} values")
        lines.append(f"model: {folder / BEST}")
    for split in ("val", "test"):
        if summary["references"][split] is not None:
            lines.append(f"references on {split}: {against(summary, split)}")
    if summary["finalists"]:
        title = "trainings" if is_training(summary) else "finalists, ranked on val"
        lines += ["", title, *_finalist_lines(summary["finalists"], width)]
    if summary["front"]:
        lines += ["", front_line(summary), *_front_lines(summary["front"], width)]
    lines += _failure_lines(summary["failures"], width)
    if lost := summary["lost_workers"]:
        how, *printed = lost[-1].splitlines()
        lines += ["", f"{several(counts['lost_leases'], 'worker')} lost in mid-task; the last one:", f"  {how}"]
        lines += _printed(printed)
    proposed = "" if is_training(summary) else f"{counts['proposed']:,} proposed, "
    lines += ["", f"{proposed}{became_text(summary)}, {clock(summary['active_s'])}"]
    return [part for line in lines for part in wrapped(line, width)]


def workers_lines(workers: Sequence[WorkerView], width: int | None = None) -> list[str]:
    """One line for each worker: what it is, what it does and for how long."""
    rows = [["worker", "device", "process", "state", "done", "time", "task"]]
    for worker in workers:
        time = [f"{100 * worker.progress:.0f} %", clock(worker.running_s)] if worker.task else ["", ""]
        rows.append([worker.name, worker.device, str(worker.pid or ""), worker.state, *time, worker.task])
    return columns(rows, (2, 4, 5), width)


def _named(before: str, genotype: str, behind: str, width: int | None) -> list[str]:
    """A genotype in a line of text, broken between its parts where it has no room there."""
    if width is None or len(before) + len(genotype) <= width:
        return [before + genotype + behind]
    *parts, last = broken(genotype, width - len(before))
    indent = " " * len(before)
    return [
        *(f"{before if number == 0 else indent}{part}" for number, part in enumerate(parts)),
        indent + last + behind,
    ]


def history_lines(rows: Sequence[Sequence[Any]], width: int | None = None) -> list[str]:
    """Every evaluation, in the fixed order of `rows`: `[generation, genotype, outcome, fitness]`."""
    head = ["generation", "fitness", "outcome", "genotype"]
    return genotype_lines([head, *[[str(g), f"{f:.2f}", str(o), str(text)] for g, text, o, f in rows]], (0, 1), width)


def studies_lines(found: Sequence[tuple[str, dict[str, Any]]], width: int | None = None) -> list[str]:
    """One line for each study: name, objective, state, trained candidates and the best so far."""
    rows = [["study", "objective", "state", "trained", "best", "genotype"]]
    for study, summary in found:
        best = summary["best"] or {}
        scores = best.get("test") or best
        trained = f"{summary['counts']['trained']:,}"
        row = [study, summary["objective"], summary["state"], trained, db(scores.get("psnr_db"))]
        rows.append([*row, best.get("genotype", "")])
    return columns(rows, (3, 4), width)


def _failure_lines(failures: Sequence[dict[str, Any]], width: int | None) -> list[str]:
    """The last few evaluations that failed, each with its reason and what its worker had printed last."""
    if not failures:
        return []
    lines = ["", "failed evaluations" if len(failures) <= _N_FAILURES else f"the last {_N_FAILURES} failed evaluations"]
    for failure in failures[-_N_FAILURES:]:
        became = f": {failure['outcome']} ({failure['reason']})"
        lines += _named("  ", failure["genotype"], became, width)
        lines += _printed(failure["log"].splitlines())
    return lines


def _printed(log: Sequence[str]) -> list[str]:
    """What a worker printed last, set apart."""
    return [f"    | {line}" for line in log[-_N_LOG_LINES:]]


def _score_lines(best: dict[str, Any]) -> list[str]:
    rows = [["", "fitness", "PSNR", "pooled", "SSIM"]]
    for name, scores in (("val", best), ("test", best["test"])):
        if scores and "fitness" in scores:
            figures = [f"{scores['fitness']:.2f}", db(scores["psnr_db"]), db(scores["psnr_pooled_db"])]
            ssim = scores["ssim"]
            rows.append([name, *figures, "-" if ssim is None else f"{ssim:.3f}"])
    return columns(rows, right=(1, 2, 3, 4))


def _finalist_lines(finalists: Sequence[dict[str, Any]], width: int | None) -> list[str]:
    rows = []
    for number, final in enumerate(finalists, start=1):
        is_ok = "fitness" in final
        figures = [f"{final['fitness']:.2f}", db(final["psnr_db"])] if is_ok else [final["outcome"], final["reason"]]
        rows.append([str(number), *figures, f"{final['parameters']:,}", final["genotype"]])
    return genotype_lines([["", "fitness", "PSNR", "parameters", "genotype"], *rows], (0, 1, 2, 3), width)


def _front_lines(front: Sequence[dict[str, Any]], width: int | None) -> list[str]:
    """The candidates that none dominates, with the scores of their short training."""
    rows = [["fitness", "PSNR", "parameters", "operations", "code", "genotype"]]
    for row in front:
        costs = [f"{row[name]:,}" for name in ("parameters", "operations", "code_values")]
        rows.append([f"{row['fitness']:.2f}", db(row["psnr_db"]), *costs, row["genotype"]])
    return genotype_lines(rows, (0, 1, 2, 3, 4), width)
