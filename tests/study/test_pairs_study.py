"""A study of real pairs, with real workers, from the settings to the model."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evoae_cli import load, resume, search
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import StudyError
from evoae_cli.study.plan import plan
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settingsfile import read_settings
from evoae_cli.study.summary import summary


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve grey pairs of 32x32 in `noisy` and `clean`."""
    place = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for folder in ("noisy", "clean"):
        (place / folder).mkdir()
    for number in range(12):
        clean = np.linspace(*rng.uniform(0, 255, (2, 32)), 32)
        noisy = clean + rng.normal(0, 20, clean.shape)
        for folder, array in (("clean", clean), ("noisy", noisy)):
            Image.fromarray(array.round().clip(0, 255).astype(np.uint8)).save(place / folder / f"{number}.png")
    return place


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return SMALL | {"generations": 0, "final_epochs": 1, "finalists": 1, "val_images": 1, "test_images": 1}


@pytest.fixture(scope="module")
def folder(place: Path, settings: dict[str, Any]) -> Path:
    """A finished study of these pairs, which were named from their own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = search(study=place / "study", pairs=("noisy", "clean"), progress=False, workers=1, **settings)
    assert result.state == "done"
    return place / "study"


def test_a_search_on_pairs_ends_with_a_model_and_says_what_it_was_made_from(folder: Path, place: Path) -> None:
    found = summary(folder)
    assert found["noise"] == "the pairs' own"
    assert set(found["references"]["test"]["methods"]) == {"wavelet", "total variation", "non-local means"}
    model = json.loads((folder / "best" / "model.json").read_text())
    assert (model["network"]["channels"], model["noise_std"], model["noise_std_8bit"]) == (1, None, None)
    assert model["pixels"] == {"dtype": "uint8", "low": [0.0], "high": [255.0]}
    assert load(folder).metadata == model
    with Image.open(folder / "best" / "preview.png") as picture:
        assert picture.width > 3 * 32
    text = (folder / "study.toml").read_text()
    assert 'images = "12 pairs (10 train, 1 val, 1 test), 32x32, grey, uint8"' in text


def test_the_settings_of_a_study_of_pairs_name_their_folders_in_full_and_resolve_to_themselves(
    folder: Path, place: Path
) -> None:
    settings = read_settings(folder / "study.toml")
    config = resolve(settings.pop("objective"), settings)
    assert config.pairs == (str(place / "noisy"), str(place / "clean"))
    assert not {"data", "noise", "sigma2"} & set(settings)


def test_a_plan_counts_the_pairs(place: Path, settings: dict[str, Any]) -> None:
    config = resolve("denoise", settings | {"pairs": (str(place / "noisy"), str(place / "clean"))})
    facts = dict(line.split(maxsplit=1) for line in plan(config, lambda text: None).lines())
    assert facts["images"] == "12 pairs (10 train, 1 val, 1 test), 32x32, grey, uint8"
    assert facts["noise"] == "the pairs' own"


def test_a_study_of_pairs_goes_on_from_anywhere_as_long_as_both_sides_are_the_same(
    folder: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert resume(copy, progress=False, workers=1).state == "done"
    file = place / "noisy" / "3.png"
    before = file.read_bytes()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(file)
    try:
        with pytest.raises(StudyError, match=r"images of .*noisy with .*clean have changed"):
            resume(copy, progress=False, workers=1)
    finally:
        file.write_bytes(before)
