"""What is shown of a worker's log."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.worker.lastwords import MAX_LOG, last_lines, shown


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    yield fd
    os.close(fd)


@given(st.text())
def test_what_is_shown_is_printable_lines(text: str) -> None:
    lines = shown(text).split("\n")
    assert all(line.isprintable() for line in lines)


def test_letters_and_lines_stay_and_colours_tabs_and_bells_do_not() -> None:
    assert shown("\x1b[1;31mcafé\x1b[0m\tΔ\x07\r\n\u202eloss 3\x00\n\n") == "café    Δ\nloss 3"


def test_a_bar_that_is_drawn_again_and_again_becomes_lines() -> None:
    assert shown("10 %\r20 %\r") == "10 %\n20 %"


def test_only_what_stands_after_the_start_is_read(log: int) -> None:
    os.write(log, b"earlier\n")
    start = os.fstat(log).st_size
    assert last_lines(log, start) == ""
    os.write(log, b"a\nb\n")
    assert last_lines(log, start) == "a\nb"


def test_a_long_log_is_cut_at_the_begin_of_a_line(log: int) -> None:
    lines = [f"line {number}" for number in range(1000)]
    os.write(log, "\n".join(lines).encode())
    found = last_lines(log, 0).split("\n")
    assert found == lines[-len(found) :]
    assert MAX_LOG - len("line 999\n") <= len("\n".join(found)) <= MAX_LOG


def test_the_end_of_a_line_that_is_too_long_is_kept(log: int) -> None:
    os.write(log, ("\U0001f5bc" * 9000 + "end").encode())
    found = last_lines(log, 0)
    assert len(found) == MAX_LOG
    assert found.endswith("\U0001f5bcend")


def test_bytes_that_are_no_text_do_no_harm(log: int) -> None:
    os.write(log, b"\xff\xfeloss\n")
    assert last_lines(log, 0).endswith("loss")
