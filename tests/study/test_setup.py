from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evoae_cli.bench.small import SMALL
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import prepare


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten noisy images of 64x64 pixels; about eight of them are for training, 30,000 pixels."""
    rng = np.random.default_rng(0)
    for number in range(10):
        (tmp_path / "data").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "data" / f"{number}.png")
    return tmp_path / "data"


def colours_of(data: Path, **settings: Any) -> str:
    """What `--colours auto` becomes with crops of 16x16, 10 in an epoch, of which a finalist sees 2,560 pixels."""
    given = SMALL | {"data": str(data), "crop": 16, "train_images": 10, "workers": 1, "colours": "auto"} | settings
    objective = given.pop("objective", "denoise")
    return prepare(resolve(objective, given), lambda text: None, data.parent / "cache").config.colours


def test_colours_are_varied_where_a_finalist_sees_the_same_pixels_again_and_again(data: Path) -> None:
    assert colours_of(data, final_epochs=40) == "off"
    assert colours_of(data, final_epochs=80) == "on"
    assert colours_of(data, final_epochs=80, objective="manifold") == "on"


def test_colours_stay_where_the_noise_is_the_images_own(data: Path) -> None:
    assert colours_of(data, final_epochs=80, noisy_only=True) == "off"


def test_an_output_is_kept_by_its_full_path(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    given = SMALL | {"data": "data", "workers": 1, "noisy_only": True, "output": "clean"}
    config = prepare(resolve("denoise", given), lambda text: None, data.parent / "cache").config
    assert config.output == str(data.parent / "clean")
