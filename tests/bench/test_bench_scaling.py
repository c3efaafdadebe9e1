import pytest

from evoae_cli.bench.scaling import generation, measure
from evoae_cli.genome.space import SearchSpace

TINY = {"train_images": 16, "epochs": 1, "patch": 32, "val_images": 2, "test_images": 1, "precision": "float32"}


def test_the_same_candidates_are_trained_by_one_worker_and_by_two() -> None:
    report = measure(3, 1, **TINY)
    [one], [two] = report.figures["wall_s"].values()
    assert report.figures["times"] == pytest.approx(one / two)
    assert report.figures["n_candidates"] == 3
    # The time of all evaluations fits into that of all workers.
    assert 0 < report.figures["run_s"][1][0] <= one
    assert 0 < report.figures["run_s"][2][0] <= 2 * two
    assert [row[0] for row in report.rows] == ["1", "2"]


def test_the_candidates_are_different_and_always_the_same() -> None:
    space = SearchSpace(kernels=(1, 3), filters=(8,), dropout=False, max_layers=3)
    found = generation(space, 10, seed=0)
    assert len({one.key for one in found}) == 10
    assert found == generation(space, 10, seed=0)
    assert len(generation(space, 1000, seed=0)) == space.size
