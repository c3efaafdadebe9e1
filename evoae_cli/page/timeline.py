"""What each worker did and when, with its faults: first as plain values, then drawn."""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from evoae_cli.outcome import Outcome
from evoae_cli.page.figures import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    N_VECTORS,
    ORANGE,
    PAPER,
    SKY,
    VERMILLION,
    WIDTH,
    drawing,
    svg_of,
)
from evoae_cli.study.store import Record

_MOST_WORKERS = 48
"""Rows that are drawn."""
_LEAST_GAP_S = 30.0
"""Nobody worked for so long, and for a twentieth of the whole: the study was not running, and the time is left out."""
_GAP_SHARE = 0.02
"""What is left of such a gap, as a share of the time that is shown."""

Kind = Literal["search", "final", "test", "failed"]
_COLOURS: dict[Kind, str] = {"search": SKY, "final": BLUE, "test": GREEN, "failed": VERMILLION}
_TITLES: dict[Kind, str] = {
    "search": "candidate",
    "final": "finalist",
    "test": "scoring alone",
    "failed": "failed evaluation",
}
_LOST = re.compile(r"(\S+) \(process")
_MARKS = {"resumed": "resumed", "interrupted": "interrupted", "workers": "workers changed", "failed": "study failed"}
"""Kinds of events that are drawn as lines across all workers."""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation."""

    worker: str
    begin: float
    """Seconds from the beginning, without the time in which the study did not run."""
    length: float
    kind: Kind
    is_repeated: bool
    """Whether workers were lost while they ran it before."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was lost."""

    worker: str
    at: float


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that concerns all workers."""

    at: float
    kind: str
    """As people read it."""


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn."""

    workers: tuple[str, ...]
    bars: tuple[Bar, ...]
    faults: tuple[Fault, ...]
    moments: tuple[Moment, ...]
    cuts: tuple[float, ...]
    """Where time was left out."""
    length: float
    n_left_out: int
    """Workers beyond those that are drawn."""

    @property
    def is_picture(self) -> bool:
        """Whether there are too many bars to draw each as a shape."""
        return len(self.bars) > N_VECTORS

    @property
    def busy(self) -> float:
        """Share of the workers' time in which they ran evaluations."""
        total = self.length * len(self.workers)
        return sum(bar.length for bar in self.bars) / total if total else 0.0


def timeline_of(runs: Sequence[Record], events: Sequence[tuple[float, str, str]]) -> Timeline:
    """The bars of all evaluations, and the faults of the diary."""
    spans = [(record.finished_at - record.run_s, record.finished_at) for record in runs]
    clock = _Clock(spans)
    lost = [(at, match[1]) for at, kind, text in events if kind == "lost" and (match := _LOST.match(text))]
    names = sorted({record.worker for record in runs} | {worker for _, worker in lost}, key=_in_order)
    shown = names[:_MOST_WORKERS]
    bars = [
        Bar(
            worker=record.worker,
            begin=clock(begin),
            length=clock(end) - clock(begin),
            kind=_kind(record),
            is_repeated=record.attempt > 1,
        )
        for record, (begin, end) in zip(runs, spans, strict=True)
        if record.worker in shown
    ]
    return Timeline(
        workers=tuple(shown),
        bars=tuple(bars),
        faults=tuple(Fault(worker=worker, at=clock(at)) for at, worker in lost if worker in shown),
        moments=tuple(Moment(at=clock(at), kind=_MARKS[kind]) for at, kind, _ in events if kind in _MARKS),
        cuts=tuple(clock.cuts),
        length=clock.length,
        n_left_out=len(names) - len(shown),
    )


def timeline_svg(timeline: Timeline, name: str) -> str:
    """One row for each worker."""
    row = {worker: number for number, worker in enumerate(timeline.workers)}
    faults = f"{len(timeline.faults)} lost workers" if timeline.faults else "no worker lost"
    label = (
        f"Timeline of {len(timeline.workers)} workers and {len(timeline.bars):,} evaluations; {faults}, "
        f"busy {timeline.busy:.0%} of the time."
    )
    unit, seconds = _unit(timeline.length)
    from matplotlib.patches import Patch

    is_picture = timeline.is_picture
    with drawing(WIDTH, 1.3 + 0.28 * len(row)) as (figure, axes):
        for kind, colour in _COLOURS.items():
            for worker, number in row.items():
                own = [bar for bar in timeline.bars if bar.kind == kind and bar.worker == worker]
                if own:
                    axes.broken_barh(
                        [(bar.begin / seconds, bar.length / seconds) for bar in own],
                        (number - 0.36, 0.72),
                        facecolors=colour,
                        # The page's colours do not reach into a picture.
                        edgecolors=None if is_picture else [INK if bar.is_repeated else PAPER for bar in own],
                        linewidth=0 if is_picture else 0.8,
                        rasterized=is_picture,
                    )
        for cut in timeline.cuts:
            axes.axvspan(
                cut / seconds, (cut + _GAP_SHARE * timeline.length) / seconds, color=FAINT, alpha=0.35, linewidth=0
            )
        for number, moment in enumerate(timeline.moments):
            axes.axvline(
                moment.at / seconds, color=ORANGE, linewidth=1.2, linestyle=":", label="_" * (number > 0) + "see below"
            )
        if timeline.faults:
            axes.scatter(
                [fault.at / seconds for fault in timeline.faults],
                [row[fault.worker] for fault in timeline.faults],
                marker="X",
                s=46,
                color=VERMILLION,
                linewidths=0,
                zorder=3,
                rasterized=len(timeline.faults) > N_VECTORS,
                label="worker lost",
            )
        axes.set_yticks(range(len(row)), list(row))
        axes.set_ylim(len(row) - 0.4, -0.6)
        axes.set_xlim(0, timeline.length / seconds)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"{unit} that the study ran")
        there = {bar.kind for bar in timeline.bars}
        patches = [Patch(color=colour, label=_TITLES[kind]) for kind, colour in _COLOURS.items() if kind in there]
        others, _ = axes.get_legend_handles_labels()
        axes.legend(handles=[*patches, *others], loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6)
        return svg_of(figure, name, label)


class _Clock:
    """Seconds since the epoch -> seconds from the beginning, where long gaps in which nothing ran are left out."""

    def __init__(self, spans: Sequence[tuple[float, float]]) -> None:
        joined: list[list[float]] = []
        for begin, end in sorted(spans):
            if joined and begin <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], end)
            else:
                joined.append([begin, end])
        busy = sum(end - begin for begin, end in joined)
        self._stretches: list[tuple[float, float, float]] = []
        """Begin and end of each stretch that is shown, and where it begins there."""
        self.cuts: list[float] = []
        at = 0.0
        gap_s = max(_LEAST_GAP_S, busy / 20)
        for begin, end in joined:
            if self._stretches and begin - self._stretches[-1][1] <= gap_s:
                first, _, place = self._stretches.pop()
                at = place + end - first
                self._stretches.append((first, end, place))
                continue
            if self._stretches:
                self.cuts.append(at)
                at += _GAP_SHARE * busy
            self._stretches.append((begin, end, at))
            at += end - begin
        self.length = at

    def __call__(self, at: float) -> float:
        for begin, end, place in reversed(self._stretches):
            if at >= begin:
                return place + min(at, end) - begin
        return 0.0


def _kind(record: Record) -> Kind:
    found = record.evaluation
    if found.outcome is not Outcome.OK:
        return "failed"
    if found.stage == "search":
        return "search"
    return "final" if found.stage == "final" else "test"


def _in_order(worker: str) -> tuple[str, int]:
    """`worker-2` before `worker-10`."""
    stem, _, number = worker.rpartition("-")
    return (stem, int(number)) if number.isdigit() else (worker, 0)


def _unit(length: float) -> tuple[str, float]:
    if length < 180:
        return "seconds", 1.0
    return ("minutes", 60.0) if length < 3 * 3600 else ("hours", 3600.0)
