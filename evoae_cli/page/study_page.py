"""The page of one study: everything that it shows, worked out, for a template to lay out."""

import shlex
from typing import Any

import msgspec
from markupsafe import Markup

from evoae_cli.counted import several
from evoae_cli.evaluation.picturefile import MODEL_PICTURES
from evoae_cli.page import charts, failures, howto, paper, pictures, results
from evoae_cli.page.charts import Cost, Line
from evoae_cli.page.diagram import Architecture, chain_svg, read_architecture
from evoae_cli.page.gather import Facts
from evoae_cli.page.headline import Tile, headline_of, level_of, tiles_of
from evoae_cli.page.timeline import Timeline, timeline_of, timeline_svg
from evoae_cli.page.wording import db, number, whole
from evoae_cli.study.locate import BEST, shortest_name

_COST_OF_OBJECTIVE: dict[str, Cost] = {"parameters": "parameters", "operations": "operations", "code": "code_values"}
_MOST_OF_FRONT = 25
_STATES = {
    "running": "is running; this page shows how far it was",
    "stopping": "is stopping; this page shows how far it was",
    "interrupted": "was interrupted; this page shows how far it was",
    "failed": "has failed; this page shows how far it was",
    "time-up": "ended as its time was up",
    "exhausted": "ended as there was nothing left to train",
    "done": "is done",
}


class FrontRow(msgspec.Struct, frozen=True, kw_only=True):
    """One architecture of the front."""

    name: str
    fitness: str
    psnr: str
    parameters: str
    operations: str
    code: str


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its caption."""

    svg: Markup
    caption: str


class StudyPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the template gets."""

    title: str
    headline: str
    facts: Facts
    state: str
    tiles: tuple[Tile, ...]
    gallery: pictures.Gallery | None
    no_gallery: str
    """Why there are no pictures."""
    gallery_note: str
    groups: tuple[results.Group, ...]
    no_random: str
    """Why there are no rows of random search, where there could be."""
    fitness: Plot | None
    no_fitness: str
    chain: Markup | None
    architecture: Architecture | None
    no_architecture: str
    costs: tuple[Plot, ...]
    front: tuple[FrontRow, ...]
    n_front_left_out: int
    timeline: Timeline
    timeline_plot: Plot | None
    outcomes: tuple[failures.OutcomeRow, ...]
    reasons: tuple[failures.Reason, ...]
    n_reasons_left_out: int
    lost: tuple[str, ...]
    warnings: tuple[str, ...]
    settings: tuple[howto.SettingRow, ...]
    devices: tuple[howto.DeviceRow, ...]
    versions: dict[str, str]
    images: str
    lines: tuple[howto.CopyLine, ...]
    paper: tuple[paper.PaperNumber, ...]
    own_pooled: str
    """The winner's pooled PSNR on test; empty where there is none."""
    is_noisy_only: bool


def study_page(facts: Facts) -> StudyPage:
    """Work out the page of one study."""
    about, best = facts.about, facts.about["best"]
    found = read_architecture(facts.model) if facts.model is not None else "It is drawn once there is a model."
    drawn = found if isinstance(found, Architecture) else None
    gallery = pictures.gallery_of(facts)
    timeline = timeline_of(facts.runs, facts.events)
    reasons, n_more = failures.reasons_of(facts.runs)
    level = level_of(about["references"]["val"])
    test = (best or {}).get("test")
    return StudyPage(
        title=facts.title,
        headline=headline_of(facts),
        facts=facts,
        state=_STATES.get(about["state"], about["state"]),
        tiles=tiles_of(facts),
        gallery=gallery,
        no_gallery=_no_gallery(facts),
        gallery_note=pictures.gallery_note(facts),
        groups=results.groups_of(facts),
        no_random=_no_random(facts),
        fitness=_fitness(facts, level),
        no_fitness=_no_fitness(facts),
        chain=None if drawn is None else Markup(chain_svg(drawn, "chain")),
        architecture=drawn,
        no_architecture="" if drawn is not None else str(found),
        costs=_costs(facts, level),
        front=tuple(_front_row(row) for row in about["front"][:_MOST_OF_FRONT]),
        n_front_left_out=max(0, len(about["front"]) - _MOST_OF_FRONT),
        timeline=timeline,
        timeline_plot=_timeline(timeline),
        outcomes=failures.outcomes_of(facts.runs),
        reasons=reasons,
        n_reasons_left_out=n_more,
        lost=tuple(text.splitlines()[0] for text in about["lost_workers"][-10:]),
        warnings=tuple(about["warnings"][-20:]),
        settings=howto.settings_of(facts),
        devices=howto.devices_of(facts),
        versions=dict(facts.record.get("versions", {})),
        images=str(facts.record.get("images", "")),
        lines=howto.lines_of(facts),
        paper=paper.numbers_for(about["objective"]),
        own_pooled=db(test["psnr_pooled_db"]) if test and test["psnr_pooled_db"] is not None else "",
        is_noisy_only=facts.is_noisy_only,
    )


def _no_gallery(facts: Facts) -> str:
    if facts.about["best"] is None or not facts.about["best"].get("test"):
        return "Pictures are of test images, which are looked at once the winner is chosen."
    file = facts.folder / BEST / MODEL_PICTURES
    reason = (
        f"{file} cannot be read"
        if file.exists()
        else "The study was finished by a version of evoae that kept no pictures for this page"
    )
    line = shlex.join(["evoae", "resume", shortest_name(facts.folder)])
    return f"{reason}. While its images are there, this makes them: {line}"


def _no_random(facts: Facts) -> str:
    if facts.comparison is not None or facts.is_training:
        return ""
    if facts.part is not None:
        folder = facts.folder if facts.folder.name else facts.folder.absolute()
        line = shlex.join(["evoae", "report", shortest_name(folder.parent)])
        return f"This study is a part of a comparison with random search; the page of all its parts: {line}"
    if not facts.is_ended:
        return "Random search is missing, as only a search that has ended can be compared with it."
    return (
        f"Random search is missing, as none has been compared with this study; this adds it: {howto.chance_line(facts)}"
    )


def _fitness(facts: Facts, level: Line | None) -> Plot | None:
    n_all, n_behind = len(facts.candidates), len(facts.candidates) - len(facts.history)
    if not facts.history:
        return None
    which = f"{len(facts.history):,} of" if n_behind else "All"
    caption = (
        f"{which} {several(n_all, 'candidate')} on validation after "
        f"{several(facts.settings['epochs'], 'epoch')}, the best so far, and the mean of each generation, in which a "
        "failed one counts as 0."
    )
    if facts.settings.get("mode") == "async":
        caption += " The search has no generations; so many candidates as one would have stand for one."
    if n_behind:
        caption += f" The other {n_behind:,} were proposed behind one that there was no time for."
    if level is not None:
        there = "The dashed line is" if charts.fits(level, facts.history) else f"Far above, at {level.fitness:.1f}, is"
        caption += f" {there} {level.name}."
    return Plot(svg=Markup(charts.fitness_svg(facts.history, level, "fitness")), caption=caption)


def _no_fitness(facts: Facts) -> str:
    if not facts.is_training:
        return "No candidate has been evaluated yet."
    start, best = facts.about["start"], facts.about["best"]
    if start is not None and best is not None and "fitness" in start:
        return (
            f"One architecture was trained further, without a search: its fitness on validation went from "
            f"{start['fitness']:.2f} to {best['fitness']:.2f}."
        )
    return "One architecture was trained, without a search, so there are no generations."


def _costs(facts: Facts, level: Line | None) -> tuple[Plot, ...]:
    costs: list[Cost] = ["parameters"]
    for objective in facts.settings.get("objectives", ()):
        cost = _COST_OF_OBJECTIVE.get(objective)
        if cost is not None and cost not in costs:
            costs.append(cost)
    plots = []
    for cost in costs:
        marks = charts.marks_of(facts.candidates, cost)
        if marks:
            n = len(charts.front(marks))
            caption = (
                f"{n:,} of {several(len(marks), 'candidate')} cannot be beaten in both fitness and "
                f"{charts.COST_LABELS[cost]}. {_trained(facts)}"
            )
            svg = charts.front_svg(facts.candidates, facts.finals, cost, level, f"front-{cost}")
            plots.append(Plot(svg=Markup(svg), caption=caption))
    return tuple(plots)


def _trained(facts: Facts) -> str:
    """How long what a figure shows was trained."""
    of_candidates = several(facts.settings.get("epochs", 0), "epoch")
    if not facts.finals:
        return f"Candidates were trained {of_candidates}."
    of_finalists = several(facts.settings.get("final_epochs", 0), "epoch")
    return f"Finalists were trained up to {of_finalists}, candidates {of_candidates}."


def _front_row(row: dict[str, Any]) -> FrontRow:
    return FrontRow(
        name=results.table_text(row["genotype"]),
        fitness=number(row["fitness"]),
        psnr=db(row["psnr_db"]),
        parameters=whole(row["parameters"]),
        operations=whole(row["operations"]),
        code=whole(row["code_values"]),
    )


def _timeline(timeline: Timeline) -> Plot | None:
    if not timeline.bars:
        return None
    caption = f"{several(len(timeline.workers), 'worker')}, busy {timeline.busy:.0%} of the time with evaluations."
    if timeline.n_left_out:
        caption += f" {timeline.n_left_out:,} more are left out."
    caption += (
        f" {several(len(timeline.faults), 'time')} a worker was lost." if timeline.faults else " No worker was lost."
    )
    if any(bar.is_repeated for bar in timeline.bars) and not timeline.is_picture:
        caption += " A framed bar is an evaluation that was run again after its worker was lost."
    if timeline.moments:
        kinds = sorted({moment.kind for moment in timeline.moments})
        caption += f" Dotted lines: {', '.join(kinds)}."
    if timeline.cuts:
        caption += " Grey: the study did not run for a while, which is left out."
    return Plot(svg=Markup(timeline_svg(timeline, "timeline")), caption=caption)
