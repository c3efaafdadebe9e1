"""What ties a worker's life to its coordinator's, and to nothing else."""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

SIGNALS_OF_THE_TERMINAL = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""They reach the whole process group, but only the coordinator answers: it lets running evaluations finish."""

_PR_SET_PDEATHSIG = 1
_OOM_SCORE_ADJ = Path("/proc/self/oom_score_adj")
_OOM_SCORE = 500
"""In thousandths of the host's memory: the kernel judges a worker as if it held half the memory more than it does."""


def tie_to(coordinator: int) -> None:
    """Die with process `coordinator`, and ignore the terminal's signals (which the spawning thread had blocked).

    Where there is no signal at the parent's death (other systems than Linux), the heartbeat's broken pipe serves.
    """
    for number in SIGNALS_OF_THE_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS_OF_THE_TERMINAL)
    if sys.platform == "linux":
        # SIGKILL also ends a worker that is stopped. The signal comes when the THREAD that spawned us ends.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != coordinator:
        # It died before the signal was asked for.
        os._exit(1)


def go_first_when_memory_is_short() -> None:
    """Have the kernel's out-of-memory killer take this worker, which is replaced, and not its coordinator.

    Only on Linux, and only where it is allowed.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            if int(_OOM_SCORE_ADJ.read_text()) < _OOM_SCORE:
                _OOM_SCORE_ADJ.write_text(str(_OOM_SCORE))
