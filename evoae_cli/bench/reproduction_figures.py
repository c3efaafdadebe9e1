"""The figures of a reproduction: fitness over generations, and what its models make of photographs."""

from collections import defaultdict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch

from evoae_cli.bench.reproduction_plan import SEARCHES, Plan, Search
from evoae_cli.bench.results import Row
from evoae_cli.bench.showable import Column, sheet, shown_crops, shown_noisy
from evoae_cli.evaluation.contract import Objective
from evoae_cli.evaluation.noise import gaussian
from evoae_cli.page.figures import SERIES
from evoae_cli.study.locate import is_study
from evoae_cli.study.model import load_model
from evoae_cli.wholefile import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_figures(plan: Plan, rows: Sequence[Row], folder: Path) -> None:
    """Draw what there are rows and models for into `folder`, over what is there.

    `fitness.png` is the paper's Figure 5; `denoised.jpg` Figure 6; `reconstructed.jpg` Figures 8 and 9.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "fitness.png", _fitness(rows))
    clean = shown_crops()
    drawn: tuple[tuple[Objective, str, list[Column]], ...] = (
        ("denoise", "denoised.jpg", [("clean", clean), ("noisy", shown_noisy(clean, gaussian(3**-0.5)))]),
        ("manifold", "reconstructed.jpg", [("image", clean)]),
    )
    for objective, name, columns in drawn:
        networks = {one.name: _network(plan, one) for one in plan.searches if one.objective == objective}
        if all(networks.values()):
            with torch.inference_mode():
                outputs = [(title, network(columns[-1][1])) for title, network in networks.items() if network]
            write_whole(folder / name, sheet(columns + outputs))


def _network(plan: Plan, search: Search) -> torch.nn.Module | None:
    """The model of a search with the first seed; None where its study is not there."""
    folder = plan.folder(search.name, plan.seeds[0])
    return load_model(folder).network if is_study(folder) else None


def _fitness(rows: Sequence[Row]) -> bytes:
    """Best and mean fitness by generation, each the mean over the seeds, with the seeds' own bests behind."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.6, 4.2), dpi=130, layout="constrained")
    denoise, manifold = figure.subplots(1, 2)
    for search, colour in zip(SEARCHES, SERIES, strict=False):
        found = [row.more for row in rows if row.more["kind"] == "search" and row.case == search.name]
        if found:
            axes = denoise if search.objective == "denoise" else manifold
            _course(axes, search.name, found, colour)
    for axes in (denoise, manifold):
        axes.set_xlabel("generation")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("fitness on validation (1 / MSE)")
        axes.grid(color="#DDDDDD", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        # Above the axes: within them it would lie over one curve or another.
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize="small")
    stream = BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _course(axes: "Axes", name: str, found: Sequence[dict[str, Any]], colour: str) -> None:
    """One search: `found` has the generations that evaluated anything, and what was best and mean then, per seed."""
    for one in found:
        axes.plot(one["generations"], one["best"], color=colour, linewidth=0.8, alpha=0.4)
    for part, style in (("best", "-"), ("mean", ":")):
        by_generation: defaultdict[int, list[float]] = defaultdict(list)
        for one in found:
            for generation, fitness in zip(one["generations"], one[part], strict=True):
                by_generation[generation].append(fitness)
        # Only where all seeds have a value is their mean one of the same searches.
        points = sorted((at, fmean(values)) for at, values in by_generation.items() if len(values) == len(found))
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=2, linestyle=style, label=f"{name}: {part}")
