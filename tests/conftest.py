"""What many tests share: a cache and a key of their own, and one small study, made by a real search."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import Script
from scripted_study import new_script

from evoae_cli.bench.small import SMALL

# As many processes as cores run tests, so a second thread in each would only wait. Read when PyTorch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray starts its workers with a niceness of 15: beside other tests they would wait for minutes.
os.environ.setdefault("RAY_worker_niceness", "0")


@pytest.fixture(scope="session", autouse=True)
def _own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's cache, runs and key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("EVOAE_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small study of denoising that has ended; tests only read it."""
    from evoae_cli import search

    folder = tmp_path_factory.mktemp("studies") / "finished"
    result = search("denoise", study=folder, progress=False, workers=2, **SMALL)
    assert result.state == "done"
    return folder


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """What the workers of this test's studies are to do."""
    return new_script(tmp_path / "script", monkeypatch)
