"""Whole searches with other noise than Gaussian of one strength, through worker processes."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut, chelsea, coffee

from evoae_cli import search
from evoae_cli.app.screen import leading_text
from evoae_cli.bench.small import SMALL
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import prepare
from evoae_cli.study.study import Study
from evoae_cli.study.summary import read_snapshot, summary

TINY = SMALL | {"generations": 0, "finalists": 1, "final_epochs": 1, "workers": 1}


@pytest.mark.parametrize(
    ("text", "strengths"), [("gaussian:5-75", ["5", "22.5", "40", "57.5"]), ("poisson:30", ["30"])]
)
def test_a_search_finds_a_model_for_the_noise_and_says_what_noise_it_was(
    tmp_path: Path, text: str, strengths: list[str]
) -> None:
    result = search("denoise", study=tmp_path / "study", progress=False, noise=text, **TINY)
    assert result.state == "done"
    described = json.loads((tmp_path / "study" / "best" / "model.json").read_text())
    assert described["noise"] == text
    assert (described["noise_std"], described["noise_std_8bit"]) == (None, None)
    # Four test patches: the fifth strength of a range has none.
    assert list(described["metrics"]["test"]["psnr_by_strength"]) == strengths
    assert "psnr_by_strength" not in described["metrics"]["val"]
    found = summary(tmp_path / "study")
    assert found["best"]["test"] == described["metrics"]["test"]
    assert found["noise"].startswith(text.partition(":")[0])
    for split in ("val", "test"):
        assert len(found["references"][split]["methods"]) == 3


def noisy_folder(folder: Path, blur: float, *, is_grey: bool = False) -> Path:
    """Photographs with noise, which is then blurred by so many pixels, as 8-bit files."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i, colours in enumerate((astronaut(), chelsea(), coffee())):
        photograph = colours.mean(axis=2) if is_grey else colours
        noise = gaussian_filter(rng.normal(0, 1, photograph.shape), (blur, blur, 0)[: photograph.ndim])
        pixels = photograph + noise * (25 / noise.std())
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def test_noise_that_neighbouring_pixels_share_is_warned_of_before_anything_is_trained(tmp_path: Path) -> None:
    warned, folder = list[str](), noisy_folder(tmp_path / "noisy", blur=0.7)
    prepare(resolve("denoise", TINY | {"noisy_only": True, "data": str(folder)}), warned.append)
    assert any("the noise of neighbouring pixels is alike" in text for text in warned)


def test_a_search_learns_from_noisy_images_alone_and_claims_no_psnr(tmp_path: Path) -> None:
    home, warned = tmp_path / "study", list[str]()
    # Grey, as the noise in colours is foretold soon, and so would not stay.
    images = noisy_folder(tmp_path / "noisy", blur=0.0, is_grey=True)
    settings = TINY | {"noisy_only": True, "data": str(images)}
    said = list[str]()
    study = Study.create(resolve("denoise", settings), home, warn=warned.append)
    study.run(lambda event: said.append(event.line))
    assert not any("neighbouring pixels is alike" in text for text in warned)
    assert not any(" dB" in line for line in said)
    assert any(line.startswith("fitness on val: local median ") for line in said)
    found = summary(home)
    assert found["noise"] == "the images' own"
    assert found["best"]["test"]["fitness"] > 0
    assert found["best"]["test"]["psnr_db"] is None
    described = json.loads((home / "best" / "model.json").read_text())
    assert (described["noise"], described["noise_std"], described["noise_std_8bit"]) == (None, None, None)
    rows = list(csv.DictReader((home / "best" / "history.csv").read_text().splitlines()))
    assert all(float(row["fitness"]) > 0 and row["psnr_db"] == "" for row in rows)
    # After so short a training next to nothing is foretold, which the person is told.
    assert any(re.search("takes away only [0-9]+% of the noise", text) for text in found["warnings"])
    assert read_snapshot(home).best_db is None
    assert "best fitness" in leading_text(read_snapshot(home))
