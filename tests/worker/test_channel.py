import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoae_cli.worker.channel import MAX_FRAME, FrameError, FrameReader, FrameWriter, frame, write_frame


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    for fd in (reading, writing):
        os.close(fd)


@given(bodies=st.lists(st.binary(max_size=50), max_size=8), data=st.data())
def test_frames_come_out_whole_however_they_are_cut(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(body) for body in bodies)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        reader = FrameReader(reading)
        out = []
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            os.write(writing, stream[start:end])
            out += reader.read()
        assert out == bodies
        assert not reader.is_ended
    finally:
        os.close(reading)
        os.close(writing)


def test_reading_an_empty_pipe_returns_at_once(pipe: tuple[int, int]) -> None:
    reader = FrameReader(pipe[0])
    assert reader.read() == []
    assert reader.read_all() == []
    assert not reader.is_ended


def test_what_a_dead_writer_left_is_read_and_its_half_frame_is_not() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, frame(b"a" * 30_000) + frame(b"b" * 30_000) + frame(b"half")[:-1])
    os.close(writing)
    reader = FrameReader(reading)
    assert reader.read_all() == [b"a" * 30_000, b"b" * 30_000]
    assert reader.is_ended
    os.close(reading)


def test_a_length_that_no_frame_has_is_refused(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], frame(b"good") + (MAX_FRAME + 1).to_bytes(4, "little"))
    with pytest.raises(FrameError, match="65001 bytes; at most 65000"):
        FrameReader(pipe[0]).read()


def test_a_writer_keeps_what_a_full_pipe_does_not_take(pipe: tuple[int, int]) -> None:
    writer = FrameWriter(pipe[1])
    bodies = [bytes([number]) * 60_000 for number in range(5)]
    for body in bodies:
        writer.write(body)
    assert writer.is_pending
    reader = FrameReader(pipe[0])
    out = reader.read_all()
    while writer.is_pending:
        writer.flush()
        out += reader.read_all()
    assert out == bodies


def test_a_writer_knows_whether_its_frame_was_read(pipe: tuple[int, int]) -> None:
    writer = FrameWriter(pipe[1])
    assert not writer.is_unread
    writer.write(b"task")
    assert writer.is_unread
    FrameReader(pipe[0]).read()
    assert not writer.is_unread


def test_a_reader_that_is_gone_is_no_error_to_the_writer() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = FrameWriter(writing)
    writer.write(b"to nobody")
    assert not writer.is_pending
    assert writer.is_unread
    os.close(writing)


def test_write_frame_is_what_a_reader_expects(pipe: tuple[int, int]) -> None:
    write_frame(pipe[1], b"report")
    write_frame(pipe[1], b"")
    assert FrameReader(pipe[0]).read() == [b"report", b""]
