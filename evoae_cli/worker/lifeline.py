"""What ties a worker's life to its coordinator's, and to nothing else."""

import ctypes
import os
import signal
import sys

SIGNALS_OF_THE_TERMINAL = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""They reach the whole process group, but only the coordinator answers: it lets running evaluations finish."""

_PR_SET_PDEATHSIG = 1


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
