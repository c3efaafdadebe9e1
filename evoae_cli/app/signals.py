"""What Ctrl-C and its kin do: while a study runs the first asks it to stop in order, the second ends it at once.

At other times each ends the command, with its temporary files removed on the way out.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """SIGTERM or SIGHUP came while no study was running."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise `Ended`, as SIGINT raises KeyboardInterrupt; ignored ones stay so."""

    def handle(signum: int, frame: FrameType | None) -> None:
        raise Ended(signum)

    with _handling((signal.SIGTERM, signal.SIGHUP), handle):
        yield


@dataclass
class Interruption:
    """Which signal came first, if any."""

    signum: int | None = None


@contextmanager
def interruptible(request_stop: Callable[[], None], kill: Callable[[], None]) -> Iterator[Interruption]:
    """Within the block the first SIGINT, SIGTERM or SIGHUP calls `request_stop`, each later one `kill`.

    Both run inside a signal handler, between two bytecodes of the main thread, so they must take no lock that thread
    may hold. A signal that was ignored stays ignored: so `nohup` and a shell's background jobs protect their children.
    """
    interruption = Interruption()

    def handle(signum: int, frame: FrameType | None) -> None:
        if interruption.signum is None:
            interruption.signum = signum
            request_stop()
        else:
            kill()

    with _handling(_SIGNALS, handle):
        yield interruption


@contextmanager
def _handling(signals: Sequence[signal.Signals], handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    previous = {signum: signal.getsignal(signum) for signum in signals}
    caught = [signum for signum, handler in previous.items() if handler != signal.SIG_IGN]
    for signum in caught:
        signal.signal(signum, handle)
    try:
        yield
    finally:
        for signum in caught:
            signal.signal(signum, previous[signum])


def exit_code(signum: int) -> int:
    """130 for SIGINT, 143 for SIGTERM and SIGHUP."""
    return 130 if signum == signal.SIGINT else 143
