"""What the settings of a training come to: what is given, what a study or a file says, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from evoae_cli.errors import UsageError
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.summary import summary
from evoae_cli.study.trainsettings import TRAIN_SETTINGS, resolve_training


def trained(genotype: str = "3x3conv2d:8", **given: Any) -> StudyConfig:
    return resolve_training("denoise", given, genotype=genotype)


def test_it_is_trained_as_long_as_a_finalist_unless_epochs_are_given() -> None:
    assert (trained().epochs, trained().final_epochs) == (90, 90)
    assert (trained(preset="paper").epochs, trained(epochs=7).final_epochs) == (20, 7)


def test_there_are_as_many_trainings_as_seeds_whatever_the_number_of_finalists() -> None:
    assert trained().n_finals == 1
    assert trained(final_seeds=4).n_finals == 4


@pytest.mark.parametrize(
    ("genotype", "given", "text", "reductions"),
    [
        ("3x3conv2d:8", {}, "3x3conv2d:8/reductions:1", 1),
        ("3x3conv2d:8", {"reductions": 2}, "3x3conv2d:8/reductions:2", 2),
        ("3x3conv2d:8/reductions:4", {}, "3x3conv2d:8/reductions:4", 4),
        ("3x3conv2d:8", {"space": "paper", "reductions": 2}, "3x3conv2d:8", 2),
        ("3x3conv2d:8", {"space": "paper"}, "3x3conv2d:8", 1),
    ],
)
def test_reductions_are_those_of_the_genotype_or_of_the_option(
    genotype: str, given: dict[str, Any], text: str, reductions: int
) -> None:
    config = trained(genotype, **given)
    assert (config.genotype, config.reductions) == (text, reductions)


def test_the_file_of_a_search_gives_its_settings_and_the_epochs_of_its_finalists() -> None:
    file = {"objective": "denoise", "noise": "gaussian:25", "epochs": 2, "final_epochs": 9, "population": 50}
    config = resolve_training(None, {}, genotype="3x3conv2d:8", file=file)
    assert (config.noise, config.epochs, config.population) == ("gaussian:25", 9, trained().population)


@pytest.mark.parametrize(("given", "timeout"), [({}, "2700.000s"), ({"epochs": 1}, "10m"), ({"timeout": "1m"}, "1m")])
def test_an_epoch_may_take_as_long_as_in_the_search_of_the_file(given: dict[str, Any], timeout: str) -> None:
    file = {"objective": "denoise", "noise": "gaussian:25", "epochs": 2, "final_epochs": 9, "timeout": "10m"}
    assert resolve_training(None, given, genotype="3x3conv2d:8", file=file).timeout == timeout


def test_an_architecture_replaces_the_one_of_a_file_and_its_start() -> None:
    file = {"objective": "denoise", "genotype": "3x3conv2d:8/reductions:1", "from_model": "/old", "epochs": 9}
    kept = resolve_training(None, {}, file=file)
    assert (kept.genotype, kept.from_model, kept.epochs) == ("3x3conv2d:8/reductions:1", "/old", 9)
    replaced = resolve_training(None, {}, genotype="5x5conv2d:8", file=file)
    assert (replaced.genotype, replaced.from_model) == ("5x5conv2d:8/reductions:1", None)


def test_a_start_brings_its_studys_settings_and_others_override_them(finished_study: Path) -> None:
    stored = summary(finished_study)["settings"]
    config = resolve_training(None, {"lr": 1e-4, "noise": "poisson:30"}, start=str(finished_study))
    assert config.genotype == summary(finished_study)["best"]["genotype"]
    assert config.from_model == str(finished_study)
    assert (config.objective, config.seed, config.patch) == ("denoise", stored["seed"], stored["patch"])
    assert (config.lr, config.noise, config.sigma2, config.epochs) == (1e-4, "poisson:30", None, stored["final_epochs"])


@pytest.mark.parametrize("name", ["population", "kernels", "final_epochs", "max_code"])
def test_settings_of_a_search_are_refused_by_name(name: str) -> None:
    assert name not in TRAIN_SETTINGS
    with pytest.raises(UsageError, match="--" + name.replace("_", "-")):
        trained(**{name: 3})


@pytest.mark.parametrize("name", ["space", "reductions", "code_ratio", "decoder", "seed", "preset"])
def test_what_a_start_decides_is_refused_by_name(name: str, finished_study: Path) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} cannot change"):
        resolve_training(None, {name: 1}, start=str(finished_study))
