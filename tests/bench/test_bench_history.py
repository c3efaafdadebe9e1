from pathlib import Path

import msgspec
import pytest

from evoae_cli.bench import hashed
from evoae_cli.bench.history import measure
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Evaluation
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import prepare


def test_the_first_and_the_last_evaluations_of_a_search_are_compared(tmp_path: Path) -> None:
    report = measure(60, 20, 2, tmp_path)
    figures = report.figures
    # What had ended, or still ran, when the search was asked to stop is stored too.
    assert figures["n_stored"] >= 60
    assert all(rate > 0 for rate in figures["per_s"].values())
    assert all(seconds > 0 for seconds in figures["cpu_s_each"].values())
    assert figures["last_over_first"] == figures["per_s"]["last"] / figures["per_s"]["first"]
    assert len(figures["every_window_per_s"]) == 3
    first, last = figures["memory_bytes"]["first"], figures["memory_bytes"]["last"]
    assert figures["bytes_per_evaluation"] == (last - first) / 40
    assert list(tmp_path.iterdir()) == []


def test_windows_that_overlap_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="10 evaluations hold no two windows of 6; ask for 12 or more"):
        measure(10, 6, 1, tmp_path)


def test_a_genotype_has_one_fitness_and_another_genotype_another(tmp_path: Path) -> None:
    requests = prepare(resolve("denoise", {"device": "cpu"}), lambda text: None).requests(tmp_path)

    def fitness(genotype: str) -> float:
        payload = msgspec.msgpack.encode(requests.search(genotype, 0.0))
        outcome, reply, reason = hashed.run(payload, lambda share: None)
        assert (outcome, reason) == ("ok", "")
        return msgspec.msgpack.decode(reply, type=Evaluation).fitness

    assert fitness("3x3conv2d:8") == fitness("3x3conv2d:8") != fitness("3x3conv2d:16")
    assert 1 <= fitness("3x3conv2d:8") <= 101
