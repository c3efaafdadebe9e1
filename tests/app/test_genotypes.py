"""How long genotypes read in a terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.app.genotypes import broken, fitted
from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.spaces import SPACES

SKIP = SPACES["skip"]
TWO = "3x3conv2d:16,5x5dilated:32/reductions:3/repeats:2/skips:concat,add,none/residual"
TEN = ",".join(f"{kernel}x{kernel}conv2d:{filters}" for kernel in (1, 3, 5, 7, 9) for filters in (8, 64))

genotypes = st.builds(
    Genotype,
    st.lists(st.sampled_from(SKIP.choices), min_size=1, max_size=10).map(tuple),
    st.just(3),
    st.sampled_from(SKIP.repeats),
    st.tuples(*[st.sampled_from(SKIP.skips)] * 3),
    st.booleans(),
).map(lambda genotype: genotype.text)


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        (TWO, 80, TWO),
        (TWO, 79, "3x3conv2d:16,5x5dilated:32/r3/x2/skips:can/res"),
        (TWO, 46, "3x3conv2d:16,5x5dilated:32/r3/x2/skips:can/res"),
        (TWO, 45, "3x3conv2d:16,…/r3/x2/skips:can/res"),
        (TWO, 30, "3x3conv2d:16,…/r3/x2/…"),
        (TWO, 19, "3x3conv2d:16,…/r3/…"),
        (TWO, 16, "3x3conv2d:16,…/…"),
        (f"last: {TWO}", 51, "last: 3x3conv2d:16,…/r3/x2/skips:can/res"),
        (TEN, 50, "1x1conv2d:8,1x1conv2d:64,…,9x9conv2d:64"),
        (TEN, 14, "1x1conv2d:8,…"),
        ("3x3conv2d:16/reductions:1", 13, "3x3conv2d:16…"),
        ("3x3conv2d:16/reductions:1", 12, "3x3conv2d…"),
        ("3x3conv2d:16/reductions:1", 8, "3x3c…s:1"),
        ("3x3conv2d:16", 0, ""),
    ],
)
def test_what_has_no_room_is_in_short_and_then_left_out_part_by_part(text: str, width: int, shown: str) -> None:
    assert fitted(text, width) == shown


@given(genotypes, st.integers(18, 120))
def test_what_is_shown_on_a_line_fits_and_holds_only_whole_parts(text: str, width: int) -> None:
    shown = fitted(text, width)
    assert len(shown) <= width
    brief = [r"r\d", r"x\d", "skips:[anc]+", "res", "…"]
    parts = {*re.split("[,/]", text)}
    left = [part for part in re.split("[,/]", shown) if part not in parts]
    assert all(any(re.fullmatch(form, part) for form in brief) for part in left)
    assert shown.startswith(text.partition(",")[0].partition("/")[0])


@given(genotypes, st.integers(24, 120))
def test_lines_of_a_whole_genotype_fit_lose_nothing_and_can_be_pasted(text: str, width: int) -> None:
    lines = broken(text, width)
    assert "".join(lines) == text
    assert all(len(line) <= width for line in lines)
    assert all(line[-1] in ",/" for line in lines[:-1])
    assert parse_genotype("\n      ".join(lines), SKIP).text == text


def test_a_genotype_breaks_behind_its_module_where_that_is_enough() -> None:
    assert broken(TWO, 60) == ["3x3conv2d:16,5x5dilated:32/reductions:3/repeats:2/", "skips:concat,add,none/residual"]
    assert broken(TWO, 24) == [
        "3x3conv2d:16,", "5x5dilated:32/", "reductions:3/repeats:2/", "skips:concat,add,none/", "residual"
    ]  # fmt: skip
    assert broken("3x3conv2d:16", 5) == ["3x3conv2d:16"]
