"""What many tests share: a cache of their own, and one small study, made by a real search."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SMALL: dict[str, Any] = {
    "generations": 1,
    "population": 2,
    "epochs": 1,
    "final_epochs": 2,
    "train_images": 32,
    "val_images": 4,
    "test_images": 4,
    "patch": 32,
    "crop": 32,
    "finalists": 2,
    "filters": (8,),
    "kernels": (1, 3),
    "max_layers": 2,
    "precision": "float32",
}
"""Settings of a search that trains real networks in a few seconds."""


@pytest.fixture(scope="session", autouse=True)
def _own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's cache and runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("EVOAE_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small study of denoising that has ended; tests only read it."""
    from evoae_cli import search

    folder = tmp_path_factory.mktemp("studies") / "finished"
    result = search("denoise", study=folder, progress=False, workers=2, **SMALL)
    assert result.state == "done"
    return folder
