"""Whole searches with other noise than Gaussian of one strength, through worker processes."""

import json
from pathlib import Path

import pytest

from evoae_cli import search
from evoae_cli.bench.small import SMALL
from evoae_cli.study.summary import summary

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
