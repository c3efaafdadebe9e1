"""How values read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.app.wording import about, clock, shorten, size, visible
from evoae_cli.counted import several


@given(st.text(max_size=60), st.integers(0, 70))
def test_a_shortened_text_fits_and_keeps_both_ends(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) <= width
    if len(text) <= width:
        assert short == text
    elif width >= 3:
        assert short[0] == text[0]
        assert short[-1] == text[-1]
        assert "…" in short


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0:00"), (7.9, "0:07"), (750, "12:30"), (3723, "1:02:03"), (360000, "100:00:00")]
)
def test_a_time_that_passed_reads_like_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "about 10 s"),
        (43, "about 40 s"),
        (54.9, "about 50 s"),
        (56, "about 1 min"),
        (245, "about 4 min"),
        (9000, "about 2.5 h"),
    ],
)
def test_a_time_to_come_is_no_more_exact_than_an_estimate(seconds: float, text: str) -> None:
    assert about(seconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bäume 1.png", "Bäume 1.png"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\udcff", "\\udcff"),
        ("", ""),
    ],
)
def test_what_would_act_on_the_terminal_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_sizes_and_numbers_carry_their_units() -> None:
    assert [size(n) for n in (0, 999, 3.4e6, 2.5e9, 7e12)] == ["0 B", "999 B", "3.4 MB", "2.5 GB", "7.0 TB"]
    assert [several(n, "worker") for n in (0, 1, 1024)] == ["0 workers", "1 worker", "1,024 workers"]
