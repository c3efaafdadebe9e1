import os
import subprocess
import sys
from pathlib import Path

import pytest

import evoae_cli

ROOT = Path(evoae_cli.__file__).parent.parent


def run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )


def test_a_process_whose_coordinator_is_gone_already_ends_at_once() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = run(f"from evoae_cli.worker.lifeline import tie_to; tie_to({gone.pid}); print('goes on')")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_tied_process_ignores_the_terminals_signals_also_those_that_came_while_they_were_blocked() -> None:
    done = run(
        "import os, signal\n"
        "from evoae_cli.worker.lifeline import SIGNALS_OF_THE_TERMINAL, tie_to\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_OF_THE_TERMINAL)\n"
        "for number in SIGNALS_OF_THE_TERMINAL: os.kill(os.getpid(), number)\n"
        "tie_to(os.getppid())\n"
        "for number in SIGNALS_OF_THE_TERMINAL: os.kill(os.getpid(), number)\n"
        "print('goes on')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a score for its out-of-memory killer")
@pytest.mark.parametrize(("before", "after"), [(None, 500), (900, 900)])
def test_a_worker_goes_first_when_memory_is_short(before: int | None, after: int) -> None:
    score = "Path('/proc/self/oom_score_adj')"
    done = run(
        "from pathlib import Path\n"
        "from evoae_cli.worker.lifeline import go_first_when_memory_is_short\n"
        + (f"{score}.write_text('{before}')\n" if before else "")
        + f"go_first_when_memory_is_short(); print({score}.read_text().strip())"
    )
    assert (done.stdout, done.stderr) == (f"{after}\n", "")
