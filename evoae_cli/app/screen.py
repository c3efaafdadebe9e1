"""The live screen of a study: a pure function from a snapshot to something rich can draw.

Every line fits the width and the number of lines the height, so nothing wraps, scrolls or flickers.
"""

from rich.console import Group, RenderableType
from rich.text import Text

from evoae_cli.app.genotypes import fitted
from evoae_cli.app.wording import about, clock, db, shorten
from evoae_cli.counted import several
from evoae_cli.engine.protocol import HelperView, WorkerView
from evoae_cli.study.front import front_text
from evoae_cli.study.snapshot import ArchitectureRow, Counts, Snapshot

MAX_WIDTH = 120
"""Longer lines are hard to read across."""
_NARROW = 60
"""Below this the process id and the bars give way to the genotype."""
_FIXED_LINES = 10
"""Lines of the screen besides workers and architectures, blank ones and the cursor's included."""


def render(snapshot: Snapshot, width: int, height: int = 24) -> RenderableType:
    """The screen for one snapshot, at most `width` columns and, from 16 on, `height` lines."""
    width = max(min(width, MAX_WIDTH), 20)
    front = front_text(snapshot.front, snapshot.objectives)
    room = max(height - _FIXED_LINES, 6) - bool(front) - bool(snapshot.helpers)
    n_best = min(len(snapshot.best), max(room // 2, room - max(len(snapshot.workers), 1)), 5)
    lines = [_leading(snapshot, width), _place(snapshot, width), _progress(snapshot, width), Text()]
    lines += worker_lines(snapshot.workers, width, room - n_best)
    lines += _helpers(snapshot.helpers, width)
    title = "trainings" if snapshot.is_training else "best architectures"
    lines += [Text(), *_architectures(snapshot.best[:n_best], title, width)] if n_best else []
    lines += [Text(), *([Text(shorten(front, width))] if front else []), _counts(snapshot, width)]
    if snapshot.state == "stopping":
        lines.append(Text(shorten(_stopping(snapshot), width), style="yellow"))
    return Group(*lines)


def leading_text(snapshot: Snapshot) -> str:
    """`noisy 12.3 dB -> best 25.1 dB (non-local means 25.6)`; with noisy images only, `best fitness 64.2`."""
    if snapshot.best and snapshot.best[0].psnr_db is None:
        return f"best fitness {snapshot.best[0].fitness:.2f}"
    before, best = (db(value) if value is not None else "... dB" for value in (snapshot.baseline_db, snapshot.best_db))
    text = f"{snapshot.baseline} {before} -> best {best}"
    if snapshot.references:
        text += f" ({strongest(snapshot.references)})"
    return text


def strongest(references: dict[str, float]) -> str:
    """The classical method that is hardest to beat, as `non-local means 25.6`."""
    name = max(references, key=lambda name: references[name])
    return f"{name} {references[name]:.1f}"


def counts_text(counts: Counts, *, is_training: bool = False) -> str:
    """`32 trained, 4 cached, 1 failed (1 oom)`; what was rejected or failed, and lost workers, only where any were.

    Without a search (`is_training`) nothing can be cached.
    """
    parts = [f"{counts.trained:,} trained"]
    if not is_training:
        parts.append(f"{counts.cache_hits + counts.in_flight_hits:,} cached")
    if counts.rejected:
        parts.append(f"{counts.rejected:,} rejected")
    if counts.failed:
        kinds = ((getattr(counts, kind), kind) for kind in ("diverged", "oom", "timeout", "crashed"))
        parts.append(f"{counts.failed:,} failed ({', '.join(f'{n} {kind}' for n, kind in kinds if n)})")
    if counts.lost_leases:
        parts.append(f"{several(counts.lost_leases, 'worker')} lost")
    return ", ".join(parts)


def _leading(snapshot: Snapshot, width: int) -> Text:
    text = leading_text(snapshot)
    return Text(shorten(text, width), style="bold")


def _place(snapshot: Snapshot, width: int) -> Text:
    """Which study, and where in it we are."""
    where = {
        "preparing": "preparing",
        "search": f"generation {snapshot.generation} of {snapshot.n_generations}",
        "finalists": "training the finalists",
        "training": "training",
        "test": "scoring on test",
        "finished": "finished",
    }[snapshot.phase]
    right = f"  {where}, {clock(snapshot.elapsed_s)}"
    study = shorten(snapshot.study, max(width - len(right), 0))
    return Text.assemble((study, "cyan"), right.rjust(width - len(study)))[:width]


def _progress(snapshot: Snapshot, width: int) -> Text:
    if snapshot.phase == "preparing" or not snapshot.n_expected:
        right = "  0 done"
    else:
        left = f", {about(snapshot.remaining_s)} left" if snapshot.remaining_s is not None else ""
        right = f"  {snapshot.n_done:,} of {snapshot.n_expected:,}{left}"
    return Text.assemble(_bar(snapshot.share, max(width - len(right), 0)), right)[:width]


def _bar(share: float, width: int) -> Text:
    n_full = round(min(max(share, 0.0), 1.0) * width)
    return Text.assemble(("━" * n_full, "green"), ("─" * (width - n_full), "bright_black"))


def worker_lines(workers: tuple[WorkerView, ...], width: int, room: int) -> list[Text]:
    """One line each, for as many as there is room for: device, process id, what it trains, how far and how long."""
    if not workers:
        return [Text("starting workers", style="dim")]
    shown = workers if len(workers) <= room else workers[: room - 1]
    device_width = min(max(len(worker.device) for worker in shown), 12)
    lines = []
    for worker in shown:
        left = f"{shorten(worker.device, device_width):<{device_width}} "
        if width >= _NARROW:
            left += f"{f'pid {worker.pid}' if worker.pid else '':<11} "
        is_training = bool(worker.task) and worker.state in ("training", "draining")
        right = f" {clock(worker.running_s):>7}" if is_training else " " * 8
        bar_width = 10 if width >= _NARROW else 0
        task_width = max(width - len(left) - len(right) - bar_width - 1, 0)
        doing = f"last: {worker.task}" if worker.state == "draining" else worker.task
        task = fitted(doing, task_width) if is_training else worker.state
        style = "" if is_training else "dim"
        line = Text.assemble((left, "dim"), (f"{task:<{task_width}} ", style))
        line.append_text(_bar(worker.progress, bar_width) if is_training else Text(" " * bar_width))
        lines.append(line.append(right)[:width])
    if len(shown) < len(workers):
        lines.append(Text(f"... and {len(workers) - len(shown)} more", style="dim"))
    return lines


def _helpers(helpers: tuple[HelperView, ...], width: int) -> list[Text]:
    """The hosts that help, in one line; none where there are none."""
    if not helpers:
        return []
    hosts = [f"{host.name} {several(host.n_workers, 'worker')}, {several(host.n_tasks, 'task')}" for host in helpers]
    return [Text(shorten(f"helped by {'; '.join(hosts)}", width), style="dim")]


def _architectures(best: tuple[ArchitectureRow, ...], title: str, width: int) -> list[Text]:
    is_wide = width >= _NARROW
    numbers = f" {'fitness':>8} {'dB':>6}" + (f" {'parameters':>11}" if is_wide else "")
    title = shorten(title, width - len(numbers))
    lines = [Text(f"{title:<{width - len(numbers)}}{numbers}", style="dim")]
    for number, row in enumerate(best, start=1):
        right = f" {row.fitness:>8.1f} {_figure(row.psnr_db):>6}" + (f" {row.parameters:>11,}" if is_wide else "")
        left_width = width - len(right)
        left = f"{number} {fitted(row.genotype, left_width - 2)}"
        lines.append(Text(f"{left:<{left_width}}{right}", style="bold" if number == 1 else "")[:width])
    return lines


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _counts(snapshot: Snapshot, width: int) -> Text:
    text = counts_text(snapshot.counts, is_training=snapshot.is_training)
    return Text(shorten(text, width), style="red" if snapshot.counts.failed else "")


def _stopping(snapshot: Snapshot) -> str:
    n = sum(bool(worker.task) for worker in snapshot.workers)
    return f"stopping: waiting for {several(n, 'evaluation')}; Ctrl-C again ends at once"
