import itertools
from collections import Counter

import numpy as np

from evoae_cli.draws import draw, generator, permutation, sample


def test_a_draw_is_the_high_bits_of_one_word_of_pcg64():
    # The words themselves are what numpy promises for ever; these are the first of PCG64(0).
    words = [11749869230777074271, 4976686463289251617, 755828109848996024]
    rng = generator(0)
    assert [draw(10, rng) for _ in range(3)] == [word * 10 >> 64 for word in words] == [6, 2, 0]


def test_what_is_drawn_stays_as_it_was():
    assert permutation(10, generator(1)) == [5, 9, 3, 1, 0, 7, 2, 8, 6, 4]
    assert sample(10**12, 3, generator(1)) == [511821624700, 950463696325, 144159612721]


def test_a_permutation_holds_everything_once_and_every_order_is_as_likely():
    rng = generator(2)
    counts = Counter(tuple(permutation(3, rng)) for _ in range(6000))
    assert set(counts) == set(itertools.permutations(range(3)))
    assert all(850 < count < 1150 for count in counts.values())


def test_a_sample_has_no_number_twice_and_reaches_them_all():
    rng = generator(3)
    for count in range(8):
        assert len(set(sample(7, count, rng))) == count
    counts = Counter(number for _ in range(3500) for number in sample(7, 2, rng))
    assert set(counts) == set(range(7))
    assert all(850 < count < 1150 for count in counts.values())


def test_numbers_of_numpy_draw_as_plain_ones_do():
    assert sample(np.int64(7), np.int64(4), generator(4)) == sample(7, 4, generator(4))
