"""Comparisons of real trainings, small ones."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from evoae_cli.app.baselined import spread_facts
from evoae_cli.baseline.begin import begin, new_plan, same_plan
from evoae_cli.baseline.comparison import Side, side_of, spread_of, verdicts
from evoae_cli.baseline.plan import Part, Plan, read_plan, write_plan
from evoae_cli.baseline.rivalfile import RIVALS, read_rivals
from evoae_cli.baseline.rivals import Measurements, StoppedMeasuringError
from evoae_cli.baseline.sitting import Sitting
from evoae_cli.baseline.spent import spent_of
from evoae_cli.baseline.studies import open_part
from evoae_cli.baseline.summary import BaselineSummary, baseline_summary
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import StudyError, UsageError
from evoae_cli.evaluation.contract import RivalFound
from evoae_cli.genome.genotype import n_layers
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.model import WEIGHTS
from evoae_cli.study.resolve import resolve
from evoae_cli.study.store import Store
from evoae_cli.study.study import Study
from evoae_cli.study.summary import delivered, summary

OWN = {name: SMALL[name] for name in SMALL if name not in ("generations", "population", "epochs", "finalists")}


def refuse(text: str) -> None:
    raise AssertionError(f"no warning was expected: {text}")


def planned(against: Path | None = None, **changes: Any) -> Plan:
    n_samples = 4 if "paper" in changes.get("protocols", ["paper"]) else None
    given: dict[str, Any] = {"n_samples": n_samples, "protocols": None, "n_pairs": None} | changes
    # One worker, as starting workers is what takes the time here.
    settings = {"workers": 1} if against is not None else OWN | {"workers": 1, "max_layers": 3}
    return new_plan("denoise", settings, against=None if against is None else str(against), **given)


def run_all(folder: Path) -> BaselineSummary:
    plan = read_plan(folder)
    with Sitting(folder) as sitting:
        for part in plan.parts:
            open_part(folder, plan, part, warn=refuse).run()
        assert baseline_summary(folder).state == "running"
        sitting.end()
    return baseline_summary(folder)


def begun(folder: Path, plan: Plan, part: Part, warn: Callable[[str], None] = refuse) -> StudyConfig:
    """The settings of a study of a comparison, which is stopped before it trains anything."""
    study = open_part(folder, plan, part, warn=warn)
    study.request_stop()
    study.run()
    return study.config


@pytest.fixture(scope="module")
def compared(finished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison by all protocols; tests only read it."""
    folder = begin(planned(finished_study), str(tmp_path_factory.mktemp("baselines") / "compared"))
    run_all(folder)
    return folder


@pytest.fixture(scope="module")
def paired(finished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison with two pairs, and a hand-made network; tests only read it."""
    plan = planned(finished_study, protocols=["one-layer"], n_pairs=2, references=["unet"])
    folder = begin(plan, str(tmp_path_factory.mktemp("baselines") / "paired"))
    run_all(folder)
    return folder


def test_random_architectures_are_trained_to_the_final_budget_and_the_best_is_delivered(tmp_path: Path) -> None:
    folder = begin(planned(), str(tmp_path / "alone"))
    found = run_all(folder)
    assert found.state == "done"
    write_plan(folder, msgspec.structs.replace(read_plan(folder), is_measured=False))
    assert baseline_summary(folder).state == "interrupted"
    assert found.verdicts == ()
    (side,) = found.studies
    assert (side.n_candidates, side.epochs, side.part.protocol) == (4, SMALL["final_epochs"], "paper")
    assert side.test_db is not None
    assert found.random is not None
    assert found.random.n == 4
    assert (folder / "paper-0" / "best" / "model.safetensors").is_file()
    json.dumps(found.as_json())


def test_each_fair_protocol_trains_as_many_epochs_as_the_search(compared: Path, finished_study: Path) -> None:
    spent = spent_of(finished_study)
    found = baseline_summary(compared)
    assert found.state == "done"
    assert [(side.part.protocol, side.part.seed) for side in found.studies] == [
        ("evolution", 0),
        ("paper", 0),
        *(("uniform", 0), ("lengths", 0), ("one-layer", 0)),
    ]
    for side in found.studies:
        if side.part.protocol in ("uniform", "lengths"):
            assert (side.n_candidates, side.epochs) == (len(spent.lengths), spent.epochs)


def test_sides_share_settings_images_and_the_number_of_finalists(compared: Path, finished_study: Path) -> None:
    theirs = summary(finished_study)
    for name in ("uniform-0", "lengths-0", "one-layer-0", "paper-0"):
        own = summary(compared / name)
        assert own["fingerprint"] == theirs["fingerprint"]
        for setting in ("data", "sigma2", "lr", "final_epochs", "batch_size", "filters", "patch", "seed"):
            assert own["settings"][setting] == theirs["settings"][setting]
    assert len(summary(compared / "uniform-0")["finalists"]) == len(theirs["finalists"])
    assert [verdict.protocol for verdict in baseline_summary(compared).verdicts] == [
        *("paper", "uniform", "lengths", "one-layer")
    ]


def test_a_verdict_is_the_mean_difference_of_the_pairs_on_test(paired: Path) -> None:
    found = baseline_summary(paired)
    assert [(side.part.protocol, side.part.seed) for side in found.studies] == [
        *(("evolution", 0), ("one-layer", 0)),
        *(("evolution", 1), ("one-layer", 1)),
    ]
    assert summary(paired / "evolution-1")["settings"]["seed"] == 1
    best = {(side.part.protocol, side.part.seed): side.test_db for side in found.studies}
    (verdict,) = found.verdicts
    pairs = [best["evolution", seed] - best["one-layer", seed] for seed in (0, 1)]  # type: ignore[operator]
    assert verdict.difference.mean == pytest.approx(sum(pairs) / 2)
    assert verdict.difference.n == 2
    assert f"{abs(verdict.difference.mean):.2f} dB {'better' if sum(pairs) > 0 else 'worse'}" in verdict.line


def side(protocol: str, seed: int, test_db: float, n_candidates: int) -> Side:
    return Side(
        part=Part(protocol=protocol, seed=seed),  # type: ignore[arg-type]
        study="study",
        state="done",
        n_candidates=n_candidates,
        epochs=2,
        genotype="3x3conv2d:8",
        final_epochs=20,
        parameters=100,
        val_fitness=50.0,
        val_db=25.0,
        test_db=test_db,
        test_fitness=50.0,
        test_ssim=0.5,
    )


def test_a_verdict_says_so_where_one_side_was_trained_longer() -> None:
    equal = [side("evolution", 0, 25.0, 40), side("lengths", 0, 24.5, 39)]
    (fair,) = verdicts(equal)
    assert (
        fair.line
        == "evolution is 0.50 dB better than random, same lengths, in one pair; --seeds 5 tells how sure that is"
    )
    # As after a resume that gave the search more generations.
    (unfair,) = verdicts([side("evolution", 0, 25.0, 400), *equal[1:]])
    assert unfair.line.startswith(
        "evolution is 0.50 dB better than random, same lengths, with 800 trained epochs against 78, in one pair"
    )
    (papers,) = verdicts([equal[0], side("paper", 0, 25.5, 30)])
    assert papers.line == ("evolution is 0.50 dB worse than random, as the paper, with 80 trained epochs against 60")


def test_a_verdict_has_no_winner_where_both_are_equal() -> None:
    pairs = [
        (side("evolution", seed, 25.0, 40), side("lengths", seed, 25.0 + by, 40))
        for seed, by in ((0, 0.004), (1, -0.004))
    ]
    (one,) = verdicts(list(pairs[0]))
    assert one.line.startswith("evolution is as good as random, same lengths, in one pair; ")
    (both,) = verdicts([one for pair in pairs for one in pair])
    assert both.line == (
        "evolution is on average as good as random, same lengths (95 % interval -0.05 to +0.05 dB, 2 pairs)"
    )


def test_chances_finalists_are_trained_as_long_as_those_of_a_search_that_had_no_time_for_more(
    finished_study: Path, tmp_path: Path
) -> None:
    assert spent_of(finished_study).final_epochs == SMALL["final_epochs"] == 2
    folder = tmp_path / "short"
    shutil.copytree(finished_study, folder)
    store = Store.open(folder)
    for final in list(store.records("final")):
        half = msgspec.structs.replace(final.evaluation, images_seen=final.evaluation.images_seen // 2)
        store.append(msgspec.structs.replace(final, evaluation=half), meta={})
    store.close()
    assert spent_of(folder).final_epochs == 1
    found = [side_of(Part(protocol="evolution", seed=0), study) for study in (finished_study, folder)]
    assert [side and side.final_epochs for side in found] == [2, 1]


def test_chance_has_as_many_finalists_as_the_search_chose_from_in_the_end(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "longer"
    shutil.copytree(finished_study, folder)
    store = Store.open(folder)
    n_before = len({final.evaluation.genotype for final in store.records("final")})
    store.close()
    study = Study.open(folder, warn=refuse, generations=3)
    study.run()
    store = Store.read(folder)
    trained = {final.evaluation.genotype for final in store.records("final")}
    store.close()
    # The longer search has found finalists that the shorter one had not, without which this would show nothing.
    assert len(trained) > n_before
    assert spent_of(folder).n_finalists == SMALL["finalists"] == n_before


def test_a_comparison_alone_may_be_gone_on_with_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, seed in (("here", 0), ("there", 1)):
        rng = np.random.default_rng(seed)
        (tmp_path / place / "photos").mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / "photos" / f"{number}.png")
    monkeypatch.chdir(tmp_path / "here")
    images = {"data": "photos", "train_images": 8, "val_images": 2, "test_images": 2, "patch": 16, "crop": 16}
    plan = new_plan("denoise", OWN | images | {"workers": 1}, against=None, n_samples=2, protocols=None, n_pairs=None)
    folder = begin(plan, str(tmp_path / "chance"))
    assert plan.settings["data"] == str(tmp_path / "here" / "photos")
    run_all(folder)
    plan = read_plan(folder)
    assert same_plan(folder, {}, {"data": "photos"}) == plan
    monkeypatch.chdir(tmp_path / "there")
    assert measured(folder)
    with pytest.raises(UsageError, match="is a comparison with --data"):
        same_plan(folder, {}, {"data": "photos"})
    shutil.rmtree(tmp_path / "here" / "photos")
    (tmp_path / "there" / "photos").rename(tmp_path / "here" / "photos")
    with pytest.raises(StudyError, match="have changed: the study was made with"):
        Measurements(folder, plan, warn=refuse)


def test_a_comparison_alone_draws_modules_of_at_most_as_many_layers_as_asked_for(tmp_path: Path) -> None:
    plan = new_plan(
        "denoise", OWN | {"max_layers": 1, "workers": 1}, against=None, n_samples=2, protocols=None, n_pairs=1
    )
    folder = begin(plan, str(tmp_path / "short"))
    config = begun(folder, plan, plan.parts[0])
    assert config.max_layers == 1
    assert all(n_layers(text) == 1 for text in config.start_from)


def test_a_comparison_that_is_gone_on_with_is_the_one_that_is_asked_for(compared: Path, finished_study: Path) -> None:
    plan = read_plan(compared)
    nothing = dict.fromkeys(("objective", "against", "n_samples", "protocols", "n_pairs", "references"))
    assert same_plan(compared, nothing) == plan
    same = nothing | {"protocols": tuple(reversed(plan.protocols)), "n_samples": 4, "against": plan.against}
    assert same_plan(compared, same) == plan
    known = ",".join(plan.protocols)
    for other, said in (
        ({"protocols": ["paper"]}, f"--protocols {known}, not paper"),
        ({"n_samples": 5}, "--samples 4, not 5"),
        ({"n_pairs": 3}, f"--seeds {plan.n_pairs}, not 3"),
        ({"references": ["unet"]}, "--references none, not unet"),
        ({"against": str(compared)}, f"--against {plan.against}, not {compared}"),
        ({"objective": "manifold"}, "objective denoise, not manifold"),
    ):
        with pytest.raises(UsageError, match=re.escape(f"is a comparison with {said}; name another study")):
            same_plan(compared, nothing | other)
    for other, said in (
        ({"protocols": "lengths"}, "--protocols 'lengths' are no names"),
        ({"protocols": 5}, "--protocols 5 are no names"),
        ({"n_pairs": "two"}, "--seeds 'two' is no whole number"),
        ({"references": 5}, "--references 5 are no names"),
    ):
        with pytest.raises(UsageError, match=said):
            same_plan(compared, nothing | other)
    assert same_plan(compared, nothing, {"seed": plan.settings["seed"], "lr": None, "patch": SMALL["patch"]}) == plan
    with pytest.raises(UsageError, match=r"is a comparison with --lr [\d.]+, not 0.5; name another study"):
        same_plan(compared, nothing, {"lr": 0.5})
    with pytest.raises(UsageError, match=r"unknown setting 'lrr'; did you mean 'lr'"):
        same_plan(compared, nothing, {"lrr": 0.5})


def test_shares_compare_with_the_constant_image_and_the_noisy_one(compared: Path) -> None:
    spread = spread_of(compared / "paper-0")
    store = Store.read(compared / "paper-0")
    errors = [
        record.evaluation.scores.mse if record.evaluation.scores else float("inf") for record in store.records("search")
    ]
    references = store.meta("references_val")
    store.close()
    assert spread is not None
    constant, noisy = references["constant"]["mse"], references["baseline"]["mse"]
    # Noise of variance 1/3.
    assert noisy < 0.4
    assert spread.collapsed == sum(error >= constant for error in errors) / 4
    assert spread.worse_than_noisy == sum(error > noisy for error in errors) / 4


def test_shares_are_not_known_where_the_references_are_not(compared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "paper"
    shutil.copytree(compared / "paper-0", folder)
    store = Store.open(folder)
    store.put_meta(references_val=None)
    store.close()
    spread = spread_of(folder)
    assert spread is not None
    assert (spread.collapsed, spread.worse_than_noisy) == (None, None)
    assert not any("%" in fact for fact in spread_facts(spread))


def test_a_search_that_is_repeated_has_as_many_generations_as_the_first_has_closed(
    finished_study: Path, tmp_path: Path
) -> None:
    def generations(folder: Path, **meta: Any) -> int:
        store = Store.open(folder)
        store.put_meta(**meta)
        store.close()
        plan = planned(folder, protocols=["one-layer"], n_pairs=2)
        home = begin(plan, str(tmp_path / f"of-{len(list(tmp_path.iterdir()))}"))
        (part,) = [part for part in plan.parts if part.protocol == "evolution"]
        return begun(home, plan, part).generations

    folder = tmp_path / "first"
    shutil.copytree(finished_study, folder)
    store = Store.read(folder)
    settings = store.meta("settings")
    n_closed = len(store.generations())
    store.close()
    assert settings["generations"] == n_closed - 1 == 1
    # One that ended has as many as it was to have, whatever each of them has trained.
    assert generations(folder, settings=settings | {"generations": 5}) == 5
    assert generations(folder, state="time-up") == 1


def test_candidates_that_were_trained_when_time_was_up_count_as_trained(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    shutil.copytree(finished_study, folder)
    n_trained = len(spent_of(finished_study).lengths)
    store = Store.open(folder)
    last = list(store.records("search"))[-1]
    store.put_meta(state="time-up", history_end=[last.generation, last.number])
    assert len(list(store.records("search"))) == n_trained - 1
    store.close()
    assert len(spent_of(folder).lengths) == n_trained


def test_chance_may_train_an_epoch_as_long_as_the_search_may(finished_study: Path, tmp_path: Path) -> None:
    plan = planned(finished_study, protocols=["paper"])
    plan = msgspec.structs.replace(plan, settings=plan.settings | {"timeout": "10m"})
    config = begun(begin(plan, str(tmp_path / "new")), plan, plan.parts[0])
    first = resolve("denoise", plan.settings)
    assert config.epochs == first.final_epochs == 2 * first.epochs
    assert config.timeout_s(config.epochs) == first.timeout_s(first.final_epochs) == 1200


def test_a_search_for_several_objectives_is_told_to_be_at_a_disadvantage(finished_study: Path, tmp_path: Path) -> None:
    plan = planned(finished_study, protocols=["one-layer"])
    plan = msgspec.structs.replace(plan, settings=plan.settings | {"objectives": ["fitness", "parameters"]})
    heard: list[str] = []
    begun(begin(plan, str(tmp_path / "new")), plan, plan.parts[0], heard.append)
    assert [line for line in heard if "looked for fitness and parameters" in line]


def test_what_is_there_is_not_trained_again(compared: Path) -> None:
    plan = read_plan(compared)
    before = baseline_summary(compared)
    study = open_part(compared, plan, plan.parts[1], warn=refuse)
    study.run()
    assert baseline_summary(compared).studies == before.studies


def test_a_study_that_has_not_begun_has_no_side(tmp_path: Path) -> None:
    assert side_of(Part(protocol="paper", seed=0), tmp_path / "none") is None
    assert verdicts([]) == []


def test_a_study_without_a_model_has_delivered_none(tmp_path: Path) -> None:
    Store.create(tmp_path).close()
    with pytest.raises(StudyError, match="has delivered no model"):
        delivered(tmp_path)


def test_an_unfinished_comparison_says_so(finished_study: Path, tmp_path: Path) -> None:
    folder = begin(planned(finished_study), str(tmp_path / "new"))
    found = baseline_summary(folder)
    assert (found.state, len(found.studies)) == ("interrupted", 1)


def test_a_space_without_two_architectures_is_refused(tmp_path: Path) -> None:
    plan = planned()
    settings = plan.settings | {"kernels": [1], "filters": [8], "dropout": False, "max_layers": 10}
    folder = begin(msgspec.structs.replace(plan, settings=settings | {"max_parameters": 10}), str(tmp_path / "new"))
    with pytest.raises(UsageError, match="two are needed"):
        open_part(folder, plan=read_plan(folder), part=plan.parts[0], warn=refuse)
    assert not (folder / "paper-0").exists()


def measured(folder: Path) -> dict[str, RivalFound]:
    with Measurements(folder, read_plan(folder), warn=refuse) as measurements:
        for name in measurements.due:
            measurements.measure(name)
    return {row.name: row.found for row in baseline_summary(folder).rivals}


def test_models_and_classical_methods_are_measured_on_the_same_test_images(
    compared: Path, finished_study: Path
) -> None:
    found = measured(compared)
    assert [name for name in found if name != "BM3D"] == [
        *(
            "evolution",
            "random, as the paper",
            "random, 1 to 10 layers",
            "random, same lengths",
            "modules of one layer",
        ),
        *("wavelet", "total variation", "non-local means"),
    ]
    theirs = summary(finished_study)
    for name in ("wavelet", "total variation", "non-local means"):
        assert found[name].scores.psnr_db == pytest.approx(theirs["references"]["test"]["methods"][name]["psnr_db"])
    assert found["evolution"].scores.psnr_db == pytest.approx(theirs["best"]["test"]["psnr_db"], abs=1e-3)
    assert found["evolution"].parameters == theirs["best"]["parameters"]
    # What is there is not measured again.
    assert measured(compared) == found


def test_hand_made_networks_are_trained_as_long_as_the_finalist(paired: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(paired)
    assert found["U-Net"].train_s is not None
    assert "DnCNN" not in found
    # As long, but not as far, where the finalist was trained on another device.
    monkeypatch.setattr("evoae_cli.baseline.rivals.device_model", lambda device: "a slow one")
    (paired / RIVALS).unlink()
    heard: list[str] = []
    assert "U-Net" not in Measurements(paired, read_plan(paired), warn=heard.append).due
    assert len(heard) == 1
    assert heard[0].startswith("U-Net is left out: the winner was trained on ")


def test_a_model_that_another_has_replaced_is_measured_anew(compared: Path, tmp_path: Path) -> None:
    measured(compared)
    folder = tmp_path / "copy"
    shutil.copytree(compared, folder)
    assert Measurements(folder, read_plan(folder), warn=refuse).due == []
    other, replaced = (folder / part.name / "best" / WEIGHTS for part in read_plan(folder).parts[:2])
    replaced.write_bytes(other.read_bytes())
    assert len(Measurements(folder, read_plan(folder), warn=refuse).due) == 1


def test_codes_are_compared_with_components_and_jpeg(tmp_path: Path) -> None:
    settings = OWN | {"workers": 1, "max_layers": 2, "code_ratio": "1/4", "patch": 32}
    plan = new_plan("manifold", settings, against=None, n_samples=2, protocols=None, n_pairs=None)
    folder = begin(plan, str(tmp_path / "new"))
    run_all(folder)
    found = measured(folder)
    assert list(found) == ["random, as the paper", "block PCA", "JPEG"]
    assert found["JPEG"].n_bytes is not None
    assert found["JPEG"].n_bytes < 32 * 32 * 3


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"patch": 36}, ["block PCA is left out: --patch 36 is no multiple of its blocks' 8"]),
        (
            {"patch": 32, "code_ratio": "1/256", "reductions": 4},
            ["block PCA is left out: --code-ratio 1/256 is 3/4 values of a block"],
        ),
        (
            {"patch": 32, "code_ratio": "paper"},
            ["block PCA is left out: --code-ratio paper names no share of an image's values"],
        ),
        ({"patch": 32}, []),
    ],
)
def test_rows_that_cannot_be_are_told(
    settings: dict[str, Any], told: list[str], finished_study: Path, tmp_path: Path
) -> None:
    own = OWN | {"workers": 1, "max_layers": 2, "code_ratio": "1/4"} | settings
    plan = new_plan("manifold", own, against=None, n_samples=2, protocols=None, n_pairs=None)
    folder = begin(plan, str(tmp_path / "new"))
    # Whose model it is makes no difference here.
    shutil.copytree(finished_study, folder / "paper-0")
    heard: list[str] = []
    assert ("block PCA" in Measurements(folder, plan, warn=heard.append).due) == (not told)
    assert heard == told


def test_stopping_keeps_what_was_measured(compared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(compared, folder)
    (folder / RIVALS).unlink(missing_ok=True)
    with Measurements(folder, read_plan(folder), warn=refuse) as measurements:
        first, second, *_ = measurements.due
        measurements.measure(first)
        measurements.stop()
        with pytest.raises(StoppedMeasuringError):
            measurements.measure(second)
    assert [row.name for row in read_rivals(folder)] == [first]
    assert second in Measurements(folder, read_plan(folder), warn=refuse).due
