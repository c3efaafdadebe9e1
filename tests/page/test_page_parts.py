"""Parts of pages by themselves."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.evaluation.contract import Evaluation, NetworkSpec, Scores, Stage
from evoae_cli.outcome import Outcome
from evoae_cli.page.charts import Course, Mark, course_of, courses_svg, fitness_svg, front
from evoae_cli.page.diagram import architecture, chain_svg
from evoae_cli.page.failures import outcomes_of, reasons_of
from evoae_cli.page.figures import SERIES, inlined
from evoae_cli.page.paper import care_for, numbers_for
from evoae_cli.page.render import breakable
from evoae_cli.page.results import table_text
from evoae_cli.page.timeline import timeline_of
from evoae_cli.page.wording import duration, setting, short
from evoae_cli.study.store import Record


def record(
    worker: str,
    end: float,
    run_s: float,
    *,
    fitness: float = 10.0,
    reason: str = "",
    generation: int = 0,
    stage: Stage = "search",
    attempt: int = 1,
) -> Record:
    found = Evaluation(
        genotype="3x3conv2d:8",
        stage=stage,
        seed_index=0,
        outcome=Outcome.CRASHED if reason else Outcome.OK,
        reason=reason,
        scores=None if reason else Scores(mse=1 / fitness, psnr_db=1.0, psnr_pooled_db=1.0, ssim=0.1),
    )
    return Record(
        evaluation=found,
        generation=generation,
        number=0,
        worker=worker,
        attempt=attempt,
        run_s=run_s,
        finished_at=end,
    )


def test_a_timeline_has_each_evaluation_where_it_ran_and_each_fault_where_it_was() -> None:
    runs = [
        record("worker-10", 110, 10),
        record("worker-2", 130, 30, attempt=2),
        record("worker-2", 160, 20, reason="x"),
    ]
    events = [(105.0, "lost", "worker-2 (process 4711) was lost: killed by SIGKILL\nlog"), (120.0, "workers", "now 2")]
    found = timeline_of(runs, events)
    assert found.workers == ("worker-2", "worker-10")
    assert [(bar.worker, bar.begin, bar.length, bar.kind) for bar in found.bars] == [
        ("worker-10", 0, 10, "search"),
        ("worker-2", 0, 30, "search"),
        ("worker-2", 40, 20, "failed"),
    ]
    assert [bar.is_repeated for bar in found.bars] == [False, True, False]
    assert [(fault.worker, fault.at) for fault in found.faults] == [("worker-2", 5)]
    assert [(moment.at, moment.kind) for moment in found.moments] == [(20, "workers changed")]
    assert found.length == 60
    assert found.cuts == ()
    assert found.busy == pytest.approx(0.5)


def test_a_night_in_which_the_study_did_not_run_is_left_out_of_its_timeline() -> None:
    found = timeline_of([record("worker-1", 100, 100), record("worker-1", 50_100, 100)], [(50_000.0, "resumed", "")])
    assert found.length == pytest.approx(204)
    assert found.cuts == (100,)
    assert [bar.begin for bar in found.bars] == pytest.approx([0, 104])
    assert [moment.at for moment in found.moments] == pytest.approx([104])


def test_more_workers_than_can_be_drawn_are_counted() -> None:
    found = timeline_of([record(f"worker-{number}", 10, 5) for number in range(1, 61)], [])
    assert (len(found.workers), found.n_left_out) == (48, 12)
    assert len(found.bars) == 48


def test_a_study_without_evaluations_has_an_empty_timeline() -> None:
    found = timeline_of([], [(1.0, "interrupted", "asked to stop")])
    assert (found.workers, found.bars, found.length, found.busy) == ((), (), 0, 0)


def test_reasons_that_differ_in_numbers_alone_are_one() -> None:
    runs = [record("worker-1", 1, 1, reason=f"needs {n} GiB of 4.0") for n in (5, 61)]
    runs += [record("worker-1", 1, 1, reason="no such layer"), record("worker-1", 1, 1)]
    reasons, n_more = reasons_of(runs)
    assert [(reason.n, reason.text) for reason in reasons] == [(2, "needs 61 GiB of 4.0"), (1, "no such layer")]
    assert n_more == 0
    assert [(row.outcome, row.n, row.share) for row in outcomes_of(runs)] == [("crashed", 3, 0.75), ("ok", 1, 0.25)]


def test_only_so_many_reasons_are_shown_and_the_rest_is_counted() -> None:
    reasons, n_more = reasons_of([record("worker-1", 1, 1, reason="x" * n) for n in range(1, 31)])
    assert (len(reasons), n_more) == (12, 18)


def test_the_course_has_the_best_so_far_and_each_generation_s_mean_with_failures() -> None:
    runs = [
        record("w", 1, 1, fitness=30.0, generation=0),
        record("w", 1, 1, reason="x", generation=0),
        record("w", 1, 1, fitness=20.0, generation=1),
    ]
    found = course_of(runs)
    assert found.generations == (0, 1)
    assert found.best == pytest.approx((30.0, 30.0))
    assert found.mean == pytest.approx((15.0, 20.0))


@pytest.mark.parametrize(("generations", "ticks"), [((0,), ["0"]), ((0, 1, 2), ["0", "1", "2"])])
def test_the_axis_of_generations_has_whole_ones_alone(generations: tuple[int, ...], ticks: list[str]) -> None:
    drawn = fitness_svg([record("w", 1, 1, fitness=0.5, generation=number) for number in generations], None, "x")
    across = drawn[: drawn.index('id="x-matplotlib.axis_2"')]
    assert re.findall(r"<text[^>]*>([^<]+)</text>", across) == [*ticks, "generation"]


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), max_size=30))
def test_the_front_is_what_none_beats_in_both(points: list[tuple[int, int]]) -> None:
    marks = [Mark(cost=cost, fitness=float(fitness)) for cost, fitness in points]
    found = front(marks)
    for mark in marks:
        is_beaten = any(other.cost <= mark.cost and other.fitness >= mark.fitness and other != mark for other in marks)
        assert (mark in found) is not is_beaten
    assert found == sorted(found, key=lambda mark: mark.cost)


def test_the_paper_s_numbers_mean_what_arithmetic_says() -> None:
    """As they were read from the paper and its code."""
    found = {
        number.fitness: number.pooled_db for objective in ("denoise", "manifold") for number in numbers_for(objective)
    }
    expected = {6.10: 25.9, 6.02: 25.9, 1.8: 20.6, 9.05: 27.6, 1.17: 18.7, 3.42: 23.4, 0.36: 13.6}
    assert found == pytest.approx(expected, abs=0.06)
    assert [number.fitness_text for number in numbers_for("denoise")] == ["6.1", "6.02", "1.8 ± 1.52"]


def test_what_to_know_of_the_paper_s_numbers_is_about_what_they_are_for() -> None:
    """The sizes of its code follow from its layers (shared/reference.md, section 1)."""
    image, features = 96 * 96 * 3, 2 * 64
    two, three = features * 24 * 24, features * 12 * 12
    denoise, manifold = care_for(["denoise"]), care_for(["manifold", "manifold"])
    assert [line for line in denoise if "noise of variance" in line] == [denoise[-1]]
    assert f"{two:,} values after 2 reductions, {two / image:.1f} times" in manifold[-1]
    assert f"{three:,} after 3, {three / image:.2f} of the image's" in manifold[-1]
    assert denoise[:-1] == manifold[:-1]
    assert care_for(["denoise", "manifold"]) == (*denoise, manifold[-1])


@pytest.mark.parametrize(
    ("genotype", "is_manifold", "words"),
    [
        ("3x3conv2d:16", False, ["encoder module", "reduction", "result"]),
        ("3x3conv2d:8/reductions:2/skips:add,concat/residual", False, ["beside", ">+<", "− output"]),
        ("3x3conv2d:8/reductions:1/residual", True, ["linear code", "and back", "image again", "− output"]),
    ],
)
def test_an_architecture_is_drawn_with_all_its_parts(genotype: str, is_manifold: bool, words: list[str]) -> None:
    spec = NetworkSpec(
        channels=3, reductions=2, code_channels=12 if is_manifold else None, decoder="same", is_manifold=is_manifold
    )
    found = architecture(genotype, spec, 32)
    drawn = chain_svg(found, "chain")
    shapes = {block.out.text for block in found.blocks}
    assert [shape for shape in shapes if shape not in drawn] == []
    missing = [word for word in words if word not in drawn]
    assert missing == []
    assert f"{found.parameters:,} parameters" in drawn


def test_names_of_studies_may_be_in_any_script_and_are_no_formulas() -> None:
    course = Course(generations=(0, 1), best=(1.0, 2.0), mean=(1.0, 1.5))
    drawn = courses_svg([("\u7814\u7a76", course), ("_$x^2$ & <b>", course)], "courses")
    assert "\u7814\u7a76" in drawn
    assert "_$x^2$ &amp; &lt;b&gt;" in drawn


def test_an_svg_of_a_file_becomes_part_of_a_page() -> None:
    file = (
        '<?xml version="1.0"?><svg width="72pt" height="36pt" viewBox="0 0 72 36"><defs><clipPath id="a"/></defs>'
        '<g clip-path="url(#a)" style="fill: #010203"/><use xlink:href="#a"/></svg>'
    )
    found = inlined(file, "x", 'a "b" < c')
    assert found.startswith("<svg ")
    assert 'id="x-a"' in found
    assert "url(#x-a)" in found
    assert 'href="#x-a"' in found
    assert "var(--ink)" in found
    assert 'aria-label="a &#34;b&#34; &lt; c"' in found


def test_genotypes_break_between_their_parts_and_stay_whole_when_copied() -> None:
    text = table_text("5x5conv2d:16,dropout2d/reductions:2/skips:add,none")
    assert text == "16-5x5conv2d - dropout2d/reductions:2/skips:add,none"
    plain = str(breakable(text))
    for tag in ('<span class="nw">', "</span>", "<wbr>"):
        plain = plain.replace(tag, "")
    assert plain == text
    assert table_text("layer_of_mine:3") == "layer_of_mine:3"
    assert "&lt;" in breakable("<b>")


def test_values_read_as_people_write_them() -> None:
    assert [duration(s) for s in (0.64, 43.2, 192, 7500)] == ["0.6 s", "43 s", "3 min 12 s", "2 h 05 min"]
    assert [short(n) for n in (4_811, 77_266_944, 1.2e9)] == [("4,811", ""), ("77.3", "million"), ("1.2", "billion")]
    assert [setting(v) for v in (None, True, 0.004, (3, 5), (), "x")] == ["none", "yes", "0.004", "3, 5", "none", "x"]
    assert len(set(SERIES)) == 8
