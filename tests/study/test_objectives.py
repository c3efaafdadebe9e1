"""Studies with limits, several objectives and known architectures, with workers that do as a script says."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scripted import SETTINGS, Script, course, created, opened, refuse
from scripted_study import scripted_study

from evoae_cli.errors import UsageError
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.cost import cost
from evoae_cli.strategy.pareto import fronts
from evoae_cli.strategy.search import N_BARREN
from evoae_cli.study.front import Frontier, front_of, front_text
from evoae_cli.study.plan import plan
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import prepare, search_space
from evoae_cli.study.snapshot import ArchitectureRow
from evoae_cli.study.startfrom import known_genotypes
from evoae_cli.study.store import Store
from evoae_cli.study.summary import history, read_snapshot, summary

MANY: dict[str, Any] = {"objectives": ("fitness", "parameters"), "max_parameters": 1000, "max_code": 2048}
MODES = ("generational", "async")


@pytest.fixture(scope="module", params=MODES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study with limits and two objectives that nothing disturbed; one worker, so that its course is settled."""
    with scripted_study(tmp_path_factory.mktemp("whole"), workers=1, mode=request.param, **MANY) as folder:
        yield folder


def mode_of(folder: Path) -> dict[str, Any]:
    settings = summary(folder)["settings"]
    return {"mode": settings["mode"], "workers": 1, **MANY}


def run_to_the_end(folder: Path, stop_after: int, **changes: Any) -> None:
    """Run a new study, stop it after each `stop_after` evaluations, and go on with it, until it ends."""
    study, n_runs = created(folder, **changes), 0
    while n_runs < 20:
        n_new, n_runs = 0, n_runs + 1

        def stop(event: Any, study: Any = study, n_runs: int = n_runs) -> None:
            nonlocal n_new
            n_new += event.kind == "evaluated"
            if n_new == stop_after:
                # What runs is lost, or is waited for.
                study.kill() if n_runs % 2 else study.request_stop()

        if study.run(stop).state != "interrupted":
            return
        study = opened(folder)
    pytest.fail("it never ended")


def test_what_is_beyond_a_limit_is_rejected_counted_and_never_trained(whole: Path) -> None:
    counts = summary(whole)["counts"]
    assert counts["rejected"] > 0
    assert counts["proposed"] == sum(counts[key] for key in ("trained", "cache_hits", "in_flight_hits", "rejected"))
    requests = prepare(resolve("denoise", SETTINGS), refuse).requests(whole)
    costs = [cost(parse_genotype(row[1]), requests.network, 32) for row in history(whole)]
    assert max(found.parameters for found in costs) <= 1000
    assert max(found.code_values for found in costs) <= 2048


def test_the_front_is_of_all_that_was_evaluated_and_the_finalists_are_of_it(whole: Path) -> None:
    store = Store.read(whole)
    found = [record.evaluation for record in store.records("search")]
    stored = store.meta("front")
    store.close()
    first = [found[i].genotype for i in fronts([(-one.fitness, one.parameters) for one in found])[0]]
    shown = summary(whole)
    front = [row["genotype"] for row in shown["front"]]
    assert sorted(front) == sorted(first)
    assert stored == front
    assert [row["fitness"] for row in shown["front"]] == sorted(
        (row["fitness"] for row in shown["front"]), reverse=True
    )
    assert front[0] == max(found, key=lambda one: one.fitness).genotype
    assert {final["genotype"] for final in shown["finalists"]} <= set(front)
    assert front[0] in {final["genotype"] for final in shown["finalists"]}
    last = read_snapshot(whole)
    assert [msgspec.to_builtins(row) for row in last.front] == shown["front"]
    assert last.counts.rejected == shown["counts"]["rejected"]


def test_stopped_again_and_again_it_comes_to_the_same_end(whole: Path, script: Script, tmp_path: Path) -> None:
    run_to_the_end(tmp_path / "study", 6, **mode_of(whole))
    assert course(tmp_path / "study") == course(whole)


def test_candidates_that_crashed_are_tried_again_and_the_accounts_stay_right(
    whole: Path, script: Script, tmp_path: Path
) -> None:
    folder, settings = tmp_path / "study", mode_of(whole)
    script.write({row[1]: "crashed" for row in history(whole)[1:3]})
    created(folder, **settings).run()
    assert summary(folder)["counts"]["crashed"] == 2
    script.write()
    opened(folder, is_retrying=True).run()
    counts = summary(folder)["counts"]
    assert counts["crashed"] == 0
    assert counts["proposed"] == sum(counts[key] for key in ("trained", "cache_hits", "in_flight_hits", "rejected"))
    # Without generations the retried ones are told later than they were.
    assert settings["mode"] == "async" or course(folder) == course(whole)


def test_the_result_in_python_has_the_front_and_one_objective_has_none(script: Script, tmp_path: Path) -> None:
    result = created(tmp_path / "many", generations=1, **MANY).run()
    assert [msgspec.to_builtins(row) for row in result.front] == result.summary["front"] != []
    assert result.front[0].fitness == max(row[3] for row in history(tmp_path / "many"))
    assert created(tmp_path / "one", generations=0).run().front == ()


def test_limits_that_leave_little_end_the_search_when_nothing_new_comes_up(script: Script, tmp_path: Path) -> None:
    said: list[str] = []
    study = created(tmp_path / "study", mode="async", generations=100_000, max_parameters=96, population=2)
    result = study.run(lambda event: said.append(event.line))
    assert result.state == "exhausted"
    assert sorted(row[1] for row in history(tmp_path / "study")) == [
        "dropout2d", "dropout2d,dropout2d", "dropout2d,dropout2d,dropout2d"
    ]  # fmt: skip
    assert f"the last {N_BARREN:,} proposals brought nothing new within the limits; the search ends here" in said


def test_a_search_begins_with_the_finalists_of_another_study_and_no_longer_needs_it(
    script: Script, whole: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(whole, other)
    ranked = list(dict.fromkeys(final["genotype"] for final in summary(whole)["finalists"]))
    named = "3x3conv2d:8, 3x3conv2d:4"
    folder = tmp_path / "study"
    study = created(folder, start_from=(named, str(other), ranked[0]), workers=1, generations=1)
    shutil.rmtree(other)
    texts = ["3x3conv2d:8,3x3conv2d:4", *ranked]
    assert list(study.config.start_from) == texts
    assert summary(folder)["settings"]["start_from"] == texts
    study.run(lambda event: study.request_stop() if event.kind == "evaluated" else None)
    opened(folder).run()
    start = [row[1] for row in history(folder) if row[0] == 0]
    assert start[: len(texts)] == texts
    assert len(start) == SETTINGS["population"]
    again = resolve("denoise", summary(folder)["settings"])
    assert again.start_from == tuple(texts)


def test_of_a_study_without_finalists_the_best_candidates_are_taken(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    study = created(folder)
    study.run(lambda event: study.request_stop() if event.kind == "generation" else None)
    best = sorted(history(folder), key=lambda row: -row[3])[: SETTINGS["finalists"]]
    config = resolve("denoise", SETTINGS | {"start_from": (str(folder),)})
    assert [one.text for one in known_genotypes(config, search_space(config, 3))] == [row[1] for row in best]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"start_from": ("3x3conv2d:32",)}, "--start-from 3x3conv2d:32: layer '3x3conv2d:32' is not in the"),
        ({"start_from": ("here/mine",)}, "--start-from 'here/mine' is no study, and no architecture: unknown layer"),
        (
            {"start_from": ("1x1conv2d:4", "1x1conv2d:8", "3x3conv2d:4", "3x3conv2d:8", "dropout2d")},
            "--start-from names 5 architectures for a population of 4; name fewer or raise --population",
        ),
        (
            {"start_from": ("3x3conv2d:8",), "max_parameters": 500, "max_operations": 200_000},
            "--start-from 3x3conv2d:8 has 1,647 parameters where 500 are allowed and",
        ),
        (
            {"max_parameters": 95},
            "the smallest, dropout2d, has 96 parameters where 95 are allowed; raise --max-parameters to 96 or more",
        ),
    ],
)
def test_what_a_study_cannot_start_from_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        created(tmp_path / "study", **changes)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_counts_how_many_sampled_architectures_are_beyond_the_limits() -> None:
    made = plan(resolve("denoise", SETTINGS | {"workers": 1, "max_parameters": 1000}), refuse)
    assert 0 < made.n_rejected < made.n_sampled
    assert any(line.split() == f"limits {made.n_rejected} of {made.n_sampled} sampled architectures are beyond them"
               .split() for line in made.lines())  # fmt: skip


def row(fitness: float, parameters: int, code_values: int = 0) -> ArchitectureRow:
    return ArchitectureRow(
        genotype=f"1x1conv2d:{parameters}",
        fitness=fitness,
        psnr_db=20.0 + fitness,
        parameters=parameters,
        code_values=code_values,
    )


def test_the_line_of_a_front_goes_from_the_cheapest_to_the_fittest() -> None:
    frontier = Frontier(("parameters", "fitness"))
    for one in (row(2.13, 1203), row(7.27, 60112), row(3, 5000), row(3, 5001), row(1, 1203), row(2.13, 1203)):
        frontier.add(one)
    text = front_text(frontier.rows, ("parameters", "fitness"))
    assert text == "front: 3 from 1,203 parameters/22.1 dB to 60,112/27.3 dB"
    assert front_text([row(2, 5, 48)], ("fitness", "code")) == "front: 1 of 48 code values/22.0 dB"
    assert front_text([], ("fitness", "code")) == ""
    unseen = [msgspec.structs.replace(one, psnr_db=None) for one in (row(27.33, 60112), row(22.5, 1203))]
    text = front_text(unseen, ("fitness", "parameters"))
    assert text == "front: 2 from 1,203 parameters/fitness 22.5 to 60,112/fitness 27.3"
    assert front_of([], ("fitness", "code")) == ()
