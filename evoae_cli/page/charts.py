"""The figures of studies: fitness over generations, and what fitness costs. Pure functions of plain values."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from evoae_cli.counted import several
from evoae_cli.page.figures import (
    BLUE,
    FAINT,
    GREEN,
    N_VECTORS,
    ORANGE,
    SERIES,
    SKY,
    VERMILLION,
    WIDTH,
    drawing,
    svg_of,
)
from evoae_cli.study.store import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Cost = Literal["parameters", "operations", "code_values"]
COST_LABELS: dict[Cost, str] = {
    "parameters": "parameters",
    "operations": "multiply-accumulates of one image",
    "code_values": "values in the code",
}
_SIZE = (WIDTH, 4.0)
_LEVEL_REACH = 2.0
"""Times the best fitness: a level above that would leave no room for what the figure is about."""
_MOST_DOTS = 40


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A level to compare with, across a figure."""

    name: str
    fitness: float


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Fitness by generation."""

    generations: tuple[int, ...]
    best: tuple[float, ...]
    """Best so far, up to each generation."""
    mean: tuple[float, ...]
    """Mean of what the generation evaluated; failures count as 0."""


def course_of(candidates: Sequence[Record]) -> Course:
    """Best and mean fitness of the search's candidates."""
    found: defaultdict[int, list[float]] = defaultdict(list)
    for record in candidates:
        found[record.generation].append(record.evaluation.fitness)
    generations = tuple(sorted(found))
    return Course(
        generations=generations,
        best=tuple(accumulate((max(found[number]) for number in generations), max)),
        mean=tuple(fmean(found[number]) for number in generations),
    )


def fits(level: Line, candidates: Sequence[Record]) -> bool:
    """Whether the level is drawn beside what the candidates reached."""
    return level.fitness <= _LEVEL_REACH * max(record.evaluation.fitness for record in candidates)


def fitness_svg(candidates: Sequence[Record], level: Line | None, name: str) -> str:
    """All candidates by generation, the best so far and each generation's mean; failures lie at the bottom."""
    course = course_of(candidates)
    good = [record for record in candidates if record.evaluation.fitness > 0]
    failed = [record for record in candidates if record.evaluation.fitness == 0]
    rise = f"rises from {course.best[0]:.1f} to" if len(course.generations) > 1 else "has"
    label = (
        f"Fitness of {several(len(candidates), 'candidate')} over {several(len(course.generations), 'generation')}; "
        f"the best {rise} {course.best[-1]:.1f}."
    )
    with drawing(*_SIZE) as (figure, axes):
        axes.scatter(
            [record.generation for record in good],
            [record.evaluation.fitness for record in good],
            **_cloud(len(good)),
            color=_cloud_colour(len(good)),
            label="candidate",
        )
        if failed:
            axes.scatter(
                [record.generation for record in failed],
                [0.0] * len(failed),
                s=26,
                marker="x",
                color=VERMILLION,
                linewidths=1.4,
                rasterized=len(failed) > N_VECTORS,
                label="failed",
            )
        axes.plot(
            course.generations, course.best, color=ORANGE, linewidth=2, markersize=4, label="best", **_dots(course)
        )
        # A line through a single generation would not be seen.
        marker = "_" if len(course.generations) == 1 else ""
        axes.plot(
            course.generations, course.mean, color=GREEN, linewidth=1.6, linestyle="--", marker=marker, label="mean"
        )
        if level is not None and fits(level, candidates):
            _level(axes, level)
        axes.set_xlabel("generation")
        axes.set_ylabel("fitness on validation (1 / MSE)")
        _whole_numbers(axes)
        axes.set_ylim(bottom=0)
        _legend(axes, 5)
        return svg_of(figure, name, label)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One architecture in a plane of cost and fitness."""

    cost: int
    fitness: float


def marks_of(records: Sequence[Record], cost: Cost) -> list[Mark]:
    """What trained with success."""
    return [
        Mark(cost=getattr(record.evaluation, cost), fitness=record.evaluation.fitness)
        for record in records
        if record.evaluation.fitness > 0 and getattr(record.evaluation, cost) > 0
    ]


def front(marks: Sequence[Mark]) -> list[Mark]:
    """Those that no other beats in both, from the cheapest to the fittest."""
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (mark.cost, -mark.fitness)):
        if not kept or mark.fitness > kept[-1].fitness:
            kept.append(mark)
    return kept


def front_svg(candidates: Sequence[Record], finals: Sequence[Record], cost: Cost, level: Line | None, name: str) -> str:
    """Cost against fitness, with the front of the candidates, and the finalists after their longer training."""
    marks, ends = marks_of(candidates, cost), marks_of(finals, cost)
    best = front(marks)
    label = (
        f"Fitness against {COST_LABELS[cost]} of {len(marks):,} candidates; "
        f"{len(best)} of them lie on the Pareto front, from {best[0].cost:,} to {best[-1].cost:,}."
    )
    with drawing(*_SIZE) as (figure, axes):
        _scatter(axes, marks, color=_cloud_colour(len(marks)), label="candidate", **_cloud(len(marks)))
        _front(axes, best, color=ORANGE, markersize=5, label="Pareto front")
        if ends:
            _scatter(axes, ends, s=110, marker="*", color=VERMILLION, linewidths=0, label="finalist, trained longer")
        if level is not None and fits(level, candidates):
            _level(axes, level)
        _log_cost(axes, [mark.cost for mark in (*marks, *ends)])
        axes.set_xlabel(COST_LABELS[cost])
        axes.set_ylabel("fitness on validation (1 / MSE)")
        axes.set_ylim(bottom=0)
        _legend(axes, 4)
        return svg_of(figure, name, label)


def courses_svg(courses: Sequence[tuple[str, Course]], name: str, colours: Sequence[str] = SERIES) -> str:
    """The best fitness so far of several studies, by generation, each in its colour."""
    label = "Best fitness so far by generation of " + "; ".join(title for title, _ in courses) + "."
    with drawing(*_SIZE) as (figure, axes):
        for (title, course), colour in zip(courses, colours, strict=False):
            axes.plot(
                course.generations,
                course.best,
                color=colour,
                linewidth=2,
                marker="o",
                markersize=4,
                label=_label(title),
            )
            axes.plot(course.generations, course.mean, color=colour, linewidth=1.2, linestyle=":")
        axes.set_xlabel("generation (dotted: its mean)")
        axes.set_ylabel("fitness on validation (1 / MSE)")
        _whole_numbers(axes)
        axes.set_ylim(bottom=0)
        _legend(axes, 2)
        return svg_of(figure, name, label)


def fronts_svg(
    studies: Sequence[tuple[str, Sequence[Record]]], cost: Cost, name: str, colours: Sequence[str] = SERIES
) -> str:
    """Cost against fitness of the candidates of several studies, each with its front in its colour."""
    label = f"Fitness against {COST_LABELS[cost]}, with the Pareto fronts of " + "; ".join(t for t, _ in studies) + "."
    with drawing(*_SIZE) as (figure, axes):
        costs = []
        for (title, candidates), colour in zip(studies, colours, strict=False):
            marks = marks_of(candidates, cost)
            costs += [mark.cost for mark in marks]
            _scatter(axes, marks, color=colour, **_cloud(len(marks)))
            _front(axes, front(marks), color=colour, markersize=4, label=_label(title))
        _log_cost(axes, costs)
        axes.set_xlabel(COST_LABELS[cost])
        axes.set_ylabel("fitness on validation (1 / MSE)")
        axes.set_ylim(bottom=0)
        _legend(axes, 2)
        return svg_of(figure, name, label)


def _scatter(axes: "Axes", marks: Sequence[Mark], **style: Any) -> None:
    axes.scatter([mark.cost for mark in marks], [mark.fitness for mark in marks], **style)


def _front(axes: "Axes", best: Sequence[Mark], **style: Any) -> None:
    """The front as steps: until the next of it, none is better."""
    axes.plot(
        [mark.cost for mark in best],
        [mark.fitness for mark in best],
        linewidth=1.8,
        marker="o",
        drawstyle="steps-post",
        **style,
    )


def _cloud(n: int) -> dict[str, Any]:
    """How `n` candidates are drawn: the more, the smaller and the fainter, and many as one picture."""
    if n > N_VECTORS:
        return {"s": 9, "alpha": 0.4, "linewidths": 0, "rasterized": True}
    return {"s": 26, "alpha": 0.55, "linewidths": 0}


def _cloud_colour(n: int) -> str:
    """What can be seen on light and dark pages alike, where the colours of a picture stay as they are."""
    return SKY if n > N_VECTORS else BLUE


def _legend(axes: "Axes", n_columns: int) -> None:
    """Above the figure, with dots of one size however small those in the figure are."""
    from matplotlib.collections import PathCollection

    legend = axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=n_columns)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([40])
            handle.set_alpha(0.9)


def _dots(course: Course) -> dict[str, Any]:
    """A dot for each generation, where they are few enough to be told apart."""
    return {"marker": "o"} if len(course.generations) <= _MOST_DOTS else {}


def _level(axes: "Axes", level: Line) -> None:
    axes.axhline(level.fitness, color=FAINT, linewidth=1.2, linestyle=(0, (6, 3)))
    axes.annotate(
        level.name,
        (1, level.fitness),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        fontsize=9,
    )


def _log_cost(axes: "Axes", costs: Sequence[int]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    if costs and max(costs) < 30 * min(costs):
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    """`500`, `20k`, `3M`, `1G`."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def _label(title: str) -> str:
    """What a legend shows; it would leave out a name that begins with an underscore."""
    return f" {title}" if title.startswith("_") else title


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    # By itself it would take fractions rather than draw a single tick.
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    first, last = axes.dataLim.intervalx
    if first == last:
        axes.set_xlim(first - 0.5, last + 0.5)
