from pathlib import Path

import pytest
from conftest import SMALL

from evoae_cli.study.config import resolve
from evoae_cli.study.plan import plan


def test_a_plan_names_all_that_would_happen_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOAE_CACHE", str(tmp_path / "cache"))
    made = plan(resolve("denoise", SMALL | {"workers": 2}), warn=lambda text: pytest.fail(text))
    text = "\n".join(made.lines())
    assert "2 on cpu" in text
    assert "variance 0.333 on [-1, 1]" in text
    assert made.code_values == (1536, 4096)
    assert made.n_candidates == 2 + 1 * 4
    assert made.estimated_s > 0
    assert made.worker_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_more_generations_and_epochs_are_foretold_to_take_longer() -> None:
    short = plan(resolve("manifold", SMALL | {"workers": 1, "reductions": 2}), warn=lambda text: pytest.fail(text))
    long = plan(
        resolve("manifold", SMALL | {"workers": 1, "reductions": 2, "generations": 400, "epochs": 50}),
        warn=lambda text: pytest.fail(text),
    )
    assert long.estimated_s > short.estimated_s
    assert short.code_values == (3 * 32 * 32 // 4, 3 * 32 * 32 // 4)
