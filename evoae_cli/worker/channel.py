"""Frames over a pipe: four bytes of length, then the body. Nothing here waits for the other side, save `write_frame`.

A pipe has one writer and one reader and no lock, so a process killed or frozen inside a write harms nobody else: the
reader takes what has arrived, and half a frame stays half a frame.
"""

import fcntl
import os
import struct
import termios
from multiprocessing import reduction
from typing import Any

MAX_FRAME = 65_000
"""Bytes of a body: a payload and what goes round it. A longer frame can only be rubbish."""

_LENGTH = struct.Struct("<I")
_READ_BYTES = 1 << 16
_COUNT = struct.Struct("i")


class FrameError(Exception):
    """The other side sent what is no frame or no message."""


class Inherited:
    """A file descriptor that a spawned process is born with: as an argument of `Process` it keeps its number."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _adopt, (reduction.DupFd(self.fd),)


def _adopt(duplicate: Any) -> Inherited:
    fd: int = duplicate.detach()
    # A child of the worker must not keep the channel open after the worker's death.
    os.set_inheritable(fd, False)
    return Inherited(fd)


class FrameReader:
    """Puts frames together from whatever pieces arrive. The descriptor stays the caller's to close."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_ended = False
        """Whether the other side has closed."""
        self._buffer = b""

    def read(self) -> list[bytes]:
        """The frames completed by one read; none where nothing has arrived. Raises FrameError if one is too large."""
        return self._frames(self._piece())

    def read_all(self) -> list[bytes]:
        """The frames completed by all that has arrived (of a non-blocking descriptor). Raises FrameError likewise."""
        frames = []
        while piece := self._piece():
            frames += self._frames(piece)
        return frames

    def _piece(self) -> bytes:
        try:
            piece = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        self.is_ended = not piece
        return piece

    def _frames(self, piece: bytes) -> list[bytes]:
        data = self._buffer + piece if self._buffer else piece
        frames = []
        start = 0
        while len(data) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, start)
            if length > MAX_FRAME:
                raise FrameError(f"a frame of {length} bytes; at most {MAX_FRAME}")
            end = start + _LENGTH.size + length
            if end > len(data):
                break
            frames.append(data[start + _LENGTH.size : end])
            start = end
        self._buffer = data[start:]
        return frames


class FrameWriter:
    """Writes frames without waiting: what the pipe does not take now is kept for `flush`."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._rest = b""
        self._has_no_reader = False

    @property
    def is_pending(self) -> bool:
        """Whether `flush` has something to do once the pipe is writable."""
        return bool(self._rest)

    @property
    def is_unread(self) -> bool:
        """Whether the reader has left something of what was written (Linux also tells after the reader's death)."""
        (n_waiting,) = _COUNT.unpack(fcntl.ioctl(self.fd, termios.FIONREAD, bytes(_COUNT.size)))
        return self._has_no_reader or bool(self._rest or n_waiting)

    def write(self, body: bytes) -> None:
        """Send a frame behind those not yet sent. A reader that is gone is no error: its death is noticed elsewhere."""
        self._rest += frame(body)
        self.flush()

    def flush(self) -> None:
        """Send what the pipe takes."""
        try:
            self._rest = self._rest[os.write(self.fd, self._rest) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._rest = b""
            self._has_no_reader = True


def frame(body: bytes) -> bytes:
    """`body` behind its length."""
    return _LENGTH.pack(len(body)) + body


def write_frame(fd: int, body: bytes) -> None:
    """Send a frame over a blocking descriptor, waiting until the pipe has taken all of it."""
    rest = memoryview(frame(body))
    while rest:
        rest = rest[os.write(fd, rest) :]
