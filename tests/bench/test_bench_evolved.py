from pathlib import Path
from typing import Any

import pytest

from evoae_cli.bench.evolved import evolved, parsed_settings, timed_settings
from evoae_cli.errors import UsageError
from evoae_cli.study.resolve import resolve
from evoae_cli.study.study import Study
from evoae_cli.study.summary import summary

Settings = tuple[tuple[str, Any], ...]


def test_a_search_that_was_interrupted_is_gone_on_with_and_one_that_ended_is_only_loaded(
    photographs: Path, tiny: Settings, tmp_path: Path
) -> None:
    settings = {**dict(tiny), "data": str(photographs / "train"), "patch": 32, "noise": "gaussian:50"}
    folder = tmp_path / "study"
    study = Study.create(resolve("denoise", settings), folder, warn=lambda text: None)
    study.request_stop()
    assert study.run().state == "interrupted"

    found = evolved("denoise", settings, folder, budget_s=60)
    told = summary(folder)
    assert told["state"] == "done"
    assert found.genotype == told["best"]["genotype"]
    assert found.parameters == sum(parameter.numel() for parameter in found.network.parameters())
    assert found.train_s > 0
    assert found.search_s + found.train_s == pytest.approx(told["active_s"])

    again = evolved("denoise", settings, folder, budget_s=60)
    assert again[1:] == found[1:]
    assert summary(folder)["active_s"] == told["active_s"]

    with pytest.raises(UsageError, match="holds a study with epochs 1, not 2") as refused:
        evolved("denoise", settings | {"epochs": 2}, folder, budget_s=60)
    assert "--studies" in str(refused.value)


def test_settings_are_read_as_a_settings_file_has_them_and_texts_need_no_quotes() -> None:
    given = ["epochs=4", "lr = 0.002", "kernels=[3, 5]", "flips=false", "device=cpu", "mode=async", "start_from=['a']"]
    assert parsed_settings(given) == {
        "epochs": 4,
        "lr": 0.002,
        "kernels": [3, 5],
        "flips": False,
        "device": "cpu",
        "mode": "async",
        "start_from": ["a"],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [("epochs", "write it as epochs=4"), ("=4", "write it"), ("seed=3", "seed is the benchmark's own")],
)
def test_what_is_no_setting_or_none_to_choose_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed_settings([text])
    assert words in str(refused.value)


def test_a_longer_search_trains_longer_unless_it_is_told_how_long() -> None:
    preset = resolve("denoise", {})
    quarter, fourfold = (timed_settings("denoise", budget_s, {}) for budget_s in (75.0, 1200.0))
    assert fourfold["final_epochs"] == 4 * preset.final_epochs
    assert fourfold["epochs"] == 2 * preset.epochs
    assert quarter["final_epochs"] == preset.final_epochs // 4
    assert timed_settings("denoise", 1e-3, {})["final_epochs"] == 1
    assert timed_settings("denoise", 1200.0, {"final_epochs": 7, "generations": 2}) == fourfold | {
        "final_epochs": 7,
        "generations": 2,
    }
