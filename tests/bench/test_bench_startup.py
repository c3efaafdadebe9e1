from pathlib import Path

import pytest

from evoae_cli.bench.startup import measure
from evoae_cli.errors import EvoaeError


def test_commands_that_compute_nothing_are_timed_and_load_no_pytorch(finished_study: Path) -> None:
    figures = measure(1, finished_study.parent).figures
    assert set(figures) == {"evoae --help", "evoae show", "evoae list"}
    for found in figures.values():
        assert found["times_s"] == [found["median_s"]]
        assert found["median_s"] > 0
        assert not found["loads_torch"]


def test_a_command_that_fails_is_no_reading(tmp_path: Path) -> None:
    with pytest.raises(EvoaeError, match=r"evoae show ended with exit code 2: .*no study"):
        measure(1, tmp_path)
