"""The page of several studies beside each other: of searches, or of a search and random architectures."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from evoae_cli.baseline.summary import BaselineSummary
from evoae_cli.page import charts, howto, paper, results
from evoae_cli.page.figures import SERIES
from evoae_cli.page.gather import Facts
from evoae_cli.page.headline import headline_of
from evoae_cli.page.pictures import Gallery
from evoae_cli.page.study_page import Plot
from evoae_cli.page.together import exam_of, together
from evoae_cli.page.wording import db, duration, number, setting, whole

_MOST_DRAWN = len(SERIES)
"""Studies in one figure: more colours cannot be told apart."""


class FigureRow(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of every study."""

    name: str
    values: tuple[str, ...]
    best: int = -1
    """Which of them is the best; -1 where that means nothing."""


class StudyPart(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one study by itself."""

    title: str
    folder: str
    headline: str
    gallery: Gallery | None
    groups: tuple[results.Group, ...]
    is_noisy_only: bool


class ComparisonPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the template gets."""

    title: str
    lead: str
    notes: tuple[str, ...]
    """What to know before comparing."""
    chance: tuple[str, ...]
    """How much better evolution is than chance, and how bad chance is."""
    chance_title: str
    names: tuple[str, ...]
    figures: tuple[FigureRow, ...]
    gallery: Gallery | None
    """The same test images through each model that was scored on the same."""
    gallery_note: str
    parts: tuple[StudyPart, ...]
    random: tuple[results.Group, ...]
    """What chance found, and what else was measured; of a comparison with random search."""
    courses: Plot | None
    fronts: Plot | None
    settings: tuple[FigureRow, ...]
    lines: tuple[howto.CopyLine, ...]
    paper: tuple[paper.PaperNumber, ...]
    own_pooled: tuple[tuple[str, str], ...]
    is_noisy_only: bool


def comparison_page(studies: Sequence[Facts], baseline: BaselineSummary | None = None) -> ComparisonPage:
    """Work out the page of several studies; `baseline` is the comparison with random search that they are from."""
    notes = _notes(studies)
    are_alike = not notes
    if baseline is not None:
        # What it measured besides is of the test images of its first study.
        exam, measured = exam_of(studies[0]), {"comparison": baseline}
        studies = [msgspec.structs.replace(f, **measured) if exam_of(f) == exam else f for f in studies]
    pictures = together(studies)
    colours = _colours(studies)
    titles = " and ".join(facts.title for facts in studies) if len(studies) < 4 else f"{len(studies)} studies"
    return ComparisonPage(
        title=titles if baseline is None else _title(baseline),
        lead=_lead(studies, baseline),
        notes=notes,
        chance=() if baseline is None else tuple(results.random_lines(baseline)),
        chance_title="Evolution less random search, best against best on test"
        if baseline is not None and baseline.verdicts
        else "What chance finds",
        names=tuple(facts.title for facts in studies),
        figures=_figures(studies, are_alike),
        gallery=pictures.gallery,
        gallery_note=pictures.note,
        parts=tuple(_part(facts, pictures.own.get(place)) for place, facts in enumerate(studies)),
        random=() if baseline is None else results.random_groups(baseline, studies[0].about["references"]),
        courses=_courses(studies, colours),
        fronts=_fronts(studies, colours),
        settings=_settings(studies),
        lines=tuple(line for facts in studies for line in howto.loading_of(facts, f"Load {facts.title}")),
        paper=tuple(
            entry
            for objective in dict.fromkeys(f.about["objective"] for f in studies)
            for entry in paper.numbers_for(objective)
        ),
        own_pooled=tuple(_pooled(studies)),
        is_noisy_only=all(facts.is_noisy_only for facts in studies),
    )


def _title(baseline: BaselineSummary) -> str:
    return "Random architectures" if baseline.against is None else "Evolution and random search"


def _lead(studies: Sequence[Facts], baseline: BaselineSummary | None) -> str:
    if baseline is not None:
        about = f"beside {baseline.against}" if baseline.against else "without a search to compare with"
        return f"Random architectures for {baseline.objective}, {about}; the comparison is {baseline.state}."
    tested = [(facts, _test(facts)) for facts in studies]
    known = [(facts, test) for facts, test in tested if test is not None and test["psnr_db"] is not None]
    if len(known) < 2 or _notes(studies):
        return "Each study by its own figures."
    ranked = sorted(known, key=lambda item: -item[1]["psnr_db"])
    (first, best), (second, other) = ranked[:2]
    apart = best["psnr_db"] - other["psnr_db"]
    return (
        f"On the same test images {first.title} has {best['psnr_db']:.2f} dB, {apart:.2f} dB more than {second.title}."
    )


def _notes(studies: Sequence[Facts]) -> tuple[str, ...]:
    """In what the studies' tests differ, so that their figures are not of the same images; empty where in nothing."""
    exams = [exam_of(facts) for facts in studies]
    differing = [name for name in exams[0] if len({exam[name] for exam in exams}) > 1]
    if not differing:
        return ()
    return (
        f"These studies differ in {', '.join(differing)}, so they were not tested on the same images with the same "
        "noise: their figures must not be compared as if they were.",
    )


def _test(facts: Facts) -> dict[str, Any] | None:
    found: dict[str, Any] | None = (facts.about["best"] or {}).get("test")
    return found


def _final_epochs(facts: Facts) -> str:
    """`20`, or `8 to 20` where time was not left for all of each training; what is set, where none has been made."""
    trained = [final["epochs"] for final in facts.about["finalists"] if "fitness" in final]
    if not trained:
        return setting(facts.settings.get("final_epochs"))
    least, most = min(trained), max(trained)
    return str(most) if least == most else f"{least} to {most}"


def _figures(studies: Sequence[Facts], are_alike: bool) -> tuple[FigureRow, ...]:
    tests = [_test(facts) or {} for facts in studies]
    bests = [facts.about["best"] or {} for facts in studies]
    psnr = [test.get("psnr_db") for test in tests]
    ssim = [test.get("ssim") for test in tests]
    fitness = [test.get("fitness") for test in tests]
    rows = []
    if any(value is not None for value in psnr):
        rows.append(FigureRow(name="PSNR on test, dB", values=tuple(map(db, psnr)), best=_best(psnr, are_alike)))
        rows.append(
            FigureRow(name="SSIM on test", values=tuple(number(v, 3) for v in ssim), best=_best(ssim, are_alike))
        )
    rows += [
        FigureRow(name="fitness on test", values=tuple(map(number, fitness)), best=_best(fitness, are_alike)),
        FigureRow(name="fitness on validation", values=tuple(number(best.get("fitness")) for best in bests)),
        FigureRow(name="parameters", values=tuple(whole(best.get("parameters")) for best in bests)),
        FigureRow(name="values in the code", values=tuple(whole(best.get("code_values")) for best in bests)),
        FigureRow(
            name="architectures trained", values=tuple(f"{facts.about['counts']['trained']:,}" for facts in studies)
        ),
        FigureRow(name="epochs of each", values=tuple(setting(facts.settings.get("epochs")) for facts in studies)),
        FigureRow(name="epochs of finalists", values=tuple(map(_final_epochs, studies))),
        FigureRow(
            name="epochs of all candidates",
            values=tuple(
                f"{facts.about['counts']['trained'] * facts.settings.get('epochs', 0):,}" for facts in studies
            ),
        ),
        FigureRow(name="time", values=tuple(duration(facts.about["active_s"]) for facts in studies)),
        FigureRow(name="state", values=tuple(facts.about["state"] for facts in studies)),
        FigureRow(
            name="best architecture",
            values=tuple(results.table_text(best["genotype"]) if best else "–" for best in bests),
        ),
    ]
    return tuple(rows)


def _best(values: Sequence[float | None], are_alike: bool) -> int:
    known = [value for value in values if value is not None]
    return values.index(max(known)) if are_alike and len(known) > 1 else -1


def _part(facts: Facts, gallery: Gallery | None) -> StudyPart:
    return StudyPart(
        title=facts.title,
        folder=str(facts.folder),
        headline=headline_of(facts),
        gallery=gallery,
        groups=results.groups_of(msgspec.structs.replace(facts, comparison=None)),
        is_noisy_only=facts.is_noisy_only,
    )


def _colours(studies: Sequence[Facts]) -> dict[int, str]:
    """The colour of each study that is drawn, the same in all figures; those first that have a course to draw.

    All are of the kind that most are of, as the fitness of another is another quantity.
    """
    begun = [place for place, facts in enumerate(studies) if facts.candidates]
    kinds = Counter(_kind(studies[place]) for place in begun)
    drawable = [place for place in begun if _kind(studies[place]) == kinds.most_common(1)[0][0]]
    drawn = sorted(drawable, key=lambda place: not _has_course(studies[place]))[:_MOST_DRAWN]
    return dict(zip(sorted(drawn), SERIES, strict=False))


def _kind(facts: Facts) -> tuple[str, bool]:
    """What its fitness is of."""
    return facts.about["objective"], facts.is_noisy_only


def _has_course(facts: Facts) -> bool:
    return len({record.generation for record in facts.history}) > 1


def _courses(studies: Sequence[Facts], colours: dict[int, str]) -> Plot | None:
    drawn = {place: studies[place] for place in colours if _has_course(studies[place])}
    if not drawn:
        return None
    courses = [(facts.title, charts.course_of(facts.history)) for facts in drawn.values()]
    svg = charts.courses_svg(courses, "courses", [colours[place] for place in drawn])
    caption = "The best fitness so far on validation, and dotted the mean of each generation."
    return Plot(svg=Markup(svg), caption=caption + _drawn_note(list(drawn.values()), studies))


def _fronts(studies: Sequence[Facts], colours: dict[int, str]) -> Plot | None:
    drawn = {place: studies[place] for place in colours if charts.marks_of(studies[place].candidates, "parameters")}
    if not drawn:
        return None
    fronts = [(facts.title, facts.candidates) for facts in drawn.values()]
    svg = charts.fronts_svg(fronts, "parameters", "fronts", [colours[place] for place in drawn])
    caption = "Candidates on validation, and the front that no other of the same study beats in both."
    return Plot(svg=Markup(svg), caption=caption + _drawn_note(list(drawn.values()), studies))


def _drawn_note(drawn: Sequence[Facts], studies: Sequence[Facts]) -> str:
    """What to know of a figure with the studies `drawn`: there may be too many, or nothing to draw of some."""
    unlike = [facts for facts in studies if _kind(facts) != _kind(drawn[0])]
    n_left_out = len(studies) - len(drawn) - len(unlike)
    why = f"a figure shows at most {_MOST_DRAWN}, and none of which there is nothing to draw"
    note = f" {n_left_out:,} {'studies are' if n_left_out > 1 else 'study is'} left out: {why}." if n_left_out else ""
    if unlike:
        note += f" Left out, as fitness is another quantity there: {'; '.join(facts.title for facts in unlike)}."
    if len({facts.settings.get("epochs") for facts in drawn}) > 1:
        note += " Candidates of different studies were trained for different numbers of epochs."
    return note


def _settings(studies: Sequence[Facts]) -> tuple[FigureRow, ...]:
    """Those that are not the same in all."""
    names = dict.fromkeys(name for facts in studies for name in facts.settings)
    rows = [
        FigureRow(name=name, values=tuple(_shown(facts.settings.get(name)) for facts in studies))
        for name in names
        if name != "start_from"
    ]
    return tuple(row for row in rows if len(set(row.values)) > 1)


def _shown(value: Any) -> str:
    text = setting(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _pooled(studies: Sequence[Facts]) -> list[tuple[str, str]]:
    found = [(facts, _test(facts)) for facts in studies]
    return [
        (f"{facts.title}, on its own test images", db(test["psnr_pooled_db"]))
        for facts, test in found
        if test is not None and test["psnr_pooled_db"] is not None
    ]
