"""How an image is cut into pieces, and how what they say is blended."""

import numpy as np
import pytest

from evoae_cli.applying.tiles import Tiling, blended_rows, padded_index, spans, tiling_for

TILINGS = [tiling_for(16, 8, 5), tiling_for(64, 8, 3), tiling_for(64, 4, 100), tiling_for(100, 4, 0)]


@pytest.mark.parametrize("tiling", TILINGS, ids=str)
def test_the_weights_of_all_pieces_sum_to_one_at_each_pixel(tiling: Tiling) -> None:
    for length in range(tiling.step, 420, tiling.step):
        weight = np.zeros(length)
        for span in spans(length, tiling):
            assert span.start % tiling.step == 0
            assert 0 < span.stop - span.start <= tiling.tile
            weight[span.start : span.stop] += span.weight
        assert np.abs(weight - 1).max() < 1e-6


def test_the_margin_of_a_piece_has_no_say_and_the_weight_rises_smoothly() -> None:
    tiling = tiling_for(64, 4, 5)
    second = spans(256, tiling)[1].weight
    assert second[: tiling.margin].max() == 0
    rise = np.diff(second[tiling.margin : tiling.margin + tiling.ramp])
    assert (rise > 0).all()
    assert rise.max() < 0.5


@pytest.mark.parametrize("size", [(1, 1), (7, 130), (64, 64), (65, 64), (129, 200), (300, 41)])
def test_each_pixel_comes_out_once_and_in_its_place(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).uniform(-1, 1, (*size, 2)).astype(np.float32)
    found = list(blended_rows(image, tiling_for(32, 8, 3), lambda piece: piece * 2))
    assert [first for first, _ in found] == [0, *np.cumsum([len(rows) for _, rows in found])[:-1]]
    whole = np.concatenate([rows for _, rows in found])
    assert whole.shape == image.shape
    assert np.abs(whole - 2 * image).max() < 1e-6


def test_pieces_have_sides_that_the_network_takes() -> None:
    shapes = []

    def clean(piece: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> "np.ndarray":  # type: ignore[type-arg]
        shapes.append(piece.shape[:2])
        return piece

    list(blended_rows(np.zeros((101, 3, 1), np.float32), tiling_for(32, 8, 3), clean))
    assert len(shapes) > 3
    assert all(height % 8 == width % 8 == 0 and height <= 32 for height, width in shapes)


@pytest.mark.parametrize(("length", "step", "index"), [(3, 4, [0, 1, 2, 1]), (2, 8, [0, 1] * 4), (1, 4, [0] * 4)])
def test_short_sides_are_mirrored_as_often_as_it_takes(length: int, step: int, index: list[int]) -> None:
    assert padded_index(length, step).tolist() == index
