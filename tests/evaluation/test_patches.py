import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.evaluation.patches import n_distinct, patch_positions

SIZES = st.lists(st.tuples(st.integers(8, 40), st.integers(8, 40)), min_size=1, max_size=6)


@given(sizes=SIZES, n=st.integers(1, 40), seed=st.integers(0, 2**63 - 1))
def test_patches_lie_inside_their_images_all_differ_and_are_as_many_as_asked_for_or_all_there_are(sizes, n, seed):
    positions = patch_positions(sizes, 8, n, seed)
    assert len(positions) == min(n, n_distinct(sizes, 8))
    assert len({tuple(position) for position in positions.tolist()}) == len(positions)
    for number, top, left in positions.tolist():
        assert 0 <= top <= sizes[number][0] - 8
        assert 0 <= left <= sizes[number][1] - 8


@given(sizes=SIZES, seed=st.integers(0, 2**32))
def test_patches_of_an_image_do_not_overlap_while_there_is_room(sizes, seed):
    room = sum((height // 8) * (width // 8) for height, width in sizes)
    seen = [np.zeros(size, int) for size in sizes]
    for number, top, left in patch_positions(sizes, 8, room, seed).tolist():
        seen[number][top : top + 8, left : left + 8] += 1
    assert max(image.max() for image in seen) == 1


def test_patches_are_shared_out_evenly_and_an_image_without_room_leaves_its_share_to_the_others():
    positions = patch_positions([(64, 64), (64, 64), (64, 64)], 16, 10, seed=0)
    assert sorted(np.bincount(positions[:, 0])) == [3, 3, 4]
    positions = patch_positions([(16, 16), (64, 64), (64, 64)], 16, 9, seed=0)
    assert np.bincount(positions[:, 0]).tolist() == [1, 4, 4]


def test_images_of_exactly_one_patch_give_one_each():
    positions = patch_positions([(96, 96)] * 5, 96, 100, seed=3)
    assert positions.tolist() == [[number, 0, 0] for number in range(5)]


def test_the_seed_decides_and_nothing_else():
    sizes = [(100, 120), (90, 64)]
    first, again, other = (patch_positions(sizes, 32, 5, seed).tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
