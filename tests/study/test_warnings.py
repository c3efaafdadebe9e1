"""Lines that tell a person what a study found."""

import pytest

from evoae_cli.evaluation.contract import Residual
from evoae_cli.study.lines import residual_warning


@pytest.mark.parametrize("share", [None, 0.6, 1.0])
def test_noise_that_was_taken_away_whole_gives_no_warning(share: float | None) -> None:
    assert residual_warning(Residual(neighbours=0.05, edges=0.1, share=share)) == ""


def test_noise_that_was_left_in_is_said_with_how_much_was_taken() -> None:
    said = residual_warning(Residual(neighbours=0.05, edges=0.1, share=0.31))
    assert "takes away only 31% of the noise" in said


def test_detail_in_what_was_taken_away_is_said_with_its_correlations() -> None:
    said = residual_warning(Residual(neighbours=0.68, edges=0.34, share=1.0))
    assert "correlate by 0.68" in said
    assert "larger at edges (correlation 0.34)" in said
