from pathlib import Path

import numpy as np
import pytest

from evoae_cli.bench.small import SMALL
from evoae_cli.errors import UsageError
from evoae_cli.study.plan import plan
from evoae_cli.study.resolve import resolve


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


def test_every_line_of_a_plan_has_a_name_of_its_own() -> None:
    settings = SMALL | {"workers": 1, "noise": "gaussian:25"}
    made = plan(resolve("denoise", settings), warn=lambda text: pytest.fail(text))
    names = [line.split()[0] for line in made.lines()]
    assert len(set(names)) == len(names)
    assert {"noise", "workers", "seed", "epochs"} <= set(names)


def test_a_plan_finds_a_data_set_in_its_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOAE_CACHE", str(tmp_path))
    place = tmp_path / "datasets" / "stl10_binary"
    place.mkdir(parents=True)
    for name, n in (("train", 20), ("test", 4)):
        np.random.default_rng(0).integers(0, 256, (n, 3, 96, 96), dtype=np.uint8).tofile(place / f"{name}_X.bin")
        np.ones(n, np.uint8).tofile(place / f"{name}_y.bin")
    config = resolve("denoise", SMALL | {"data": "stl10", "workers": 1, "val_images": 2})
    assert "24 images" in plan(config, warn=lambda text: None).lines()[0]
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]


def test_a_plan_downloads_nothing() -> None:
    config = resolve("denoise", SMALL | {"data": "cifar10", "download": True})
    with pytest.raises(UsageError, match="leave out --download"):
        plan(config, warn=lambda text: pytest.fail(text))
