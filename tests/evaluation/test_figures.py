import math

import pytest

from evoae_cli.evaluation.figures import decibels, fitness_of


def test_what_has_no_psnr_is_told_by_its_fitness() -> None:
    assert decibels({"mse": 0.01, "psnr_db": 26.5}) == 26.5
    assert decibels({"mse": 0.01, "psnr_db": None}) == pytest.approx(20.0)
    assert fitness_of({"mse": 0.25}) == 4.0


@pytest.mark.parametrize(
    "scores", [None, {}, *({"mse": mse, "psnr_db": None} for mse in (0.0, math.inf, math.nan, None))]
)
def test_what_was_not_scored_or_has_no_error_in_numbers_has_neither(scores: dict[str, float | None] | None) -> None:
    assert fitness_of(scores) is None
    assert decibels(scores) is None
