"""The command in a real terminal: a pseudo-terminal with a process group of its own, real keys, real signals."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evoae_cli.study.summary import history, summary

SMALL = (
    *("--generations", "1", "--population", "2", "--epochs", "1", "--final-epochs", "1", "--val-images", "4"),
    *(
        "--test-images",
        "4",
        "--patch",
        "32",
        "--finalists",
        "1",
        "--filters",
        "8",
        "--kernels",
        "1,3",
        "--workers",
        "1",
    ),
)
QUICK = (*SMALL, "--train-images", "32")
SLOW = (*SMALL, "--train-images", "3000")
"""Some seconds for each candidate: time to press a key meanwhile."""
LIMIT_S = 120.0


class Terminal:
    """A process in a terminal of 80x24, as a person has it."""

    def __init__(self, *arguments: str) -> None:
        self.screen = b""
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "evoae_cli", *arguments],
            stdin=side,
            stdout=subprocess.PIPE,
            stderr=side,
            start_new_session=True,
            # The terminal becomes the session's own, so that its keys reach the whole process group.
            preexec_fn=lambda: fcntl.ioctl(side, termios.TIOCSCTTY, 0),
            env=os.environ | {"TERM": "xterm-256color"},
        )
        os.close(side)

    def wait_for(self, pattern: bytes) -> None:
        """Read the screen until it has shown `pattern`."""
        deadline = time.monotonic() + LIMIT_S
        while not re.search(pattern, self.screen):
            assert time.monotonic() < deadline, f"{pattern!r} never came: {self.screen[-2000:]!r}"
            assert self._read(1.0) or self.process.poll() is None, f"ended early: {self.screen[-2000:]!r}"

    def press_ctrl_c(self) -> None:
        os.write(self._main, b"\x03")

    def end(self) -> tuple[int, str]:
        """Exit code and standard output, once the process has ended."""
        deadline = time.monotonic() + LIMIT_S
        while self._read(0.2) or self.process.poll() is None:
            assert time.monotonic() < deadline, f"does not end: {self.screen[-2000:]!r}"
        assert self.process.stdout is not None
        return self.process.wait(), self.process.stdout.read().decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        os.close(self._main)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._main], [], [], timeout_s)[0]:
            return False
        try:
            part = os.read(self._main, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            return False
        self.screen += part
        return bool(part)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    opened = Terminal(*arguments)
    try:
        yield opened
    finally:
        opened.close()


def wait_until_none_is_left(session: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while left := processes_of(session):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)


def processes_of(session: int) -> list[int]:
    """Living processes of the session that the terminal started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(session) and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def test_a_search_shows_one_screen_and_puts_only_the_result_on_stdout(tmp_path: Path) -> None:
    with terminal("search", "denoise", *QUICK, "--study", str(tmp_path / "s")) as shown:
        code, stdout = shown.end()
        assert code == 0, shown.screen
    assert stdout == f"{tmp_path / 's' / 'best'}\n"
    assert b"noisy" in shown.screen
    assert b"dB on test" in shown.screen
    assert b"Traceback" not in shown.screen


def test_ctrl_c_waits_for_what_runs_stores_it_and_says_how_to_resume(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with terminal("search", "denoise", *SLOW, "--study", str(folder)) as shown:
        shown.wait_for(rb"[1-9]\d* trained")
        n_before = len(history(folder))
        shown.press_ctrl_c()
        shown.wait_for(rb"waiting for")
        code, stdout = shown.end()
        session = shown.process.pid
    assert code == 130
    assert stdout == ""
    assert b"evoae resume" in shown.screen
    assert b"Traceback" not in shown.screen
    assert len(history(folder)) > n_before
    assert summary(folder)["state"] == "interrupted"
    wait_until_none_is_left(session)


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    # Candidates are quick, so there is a best/ that is drawn; the finalist would train for days.
    endless = ("--train-images", "32", "--final-epochs", "1000000")
    with terminal("search", "denoise", *SMALL, *endless, "--study", str(folder)) as shown:
        shown.wait_for(rb"final \dx\d|final dropout2d")
        shown.press_ctrl_c()
        shown.wait_for(rb"waiting for")
        shown.press_ctrl_c()
        code, _ = shown.end()
        session = shown.process.pid
    assert code == 130
    assert b"Traceback" not in shown.screen
    wait_until_none_is_left(session)
    assert summary(folder)["state"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_polite_end_from_outside_is_honoured_with_143(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "s"
    with terminal("search", "denoise", *SLOW, "--study", str(folder)) as shown:
        shown.wait_for(rb"[1-9]\d* trained")
        os.killpg(shown.process.pid, number)
        code, _ = shown.end()
    assert code == 143
    assert summary(folder)["state"] == "interrupted"


def test_without_a_terminal_there_are_plain_lines_and_json_is_one_object(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evoae_cli", "search", "denoise", *QUICK, "--study", str(tmp_path / "s"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["state"] == "done"
    lines = done.stderr.splitlines()
    assert "\x1b" not in done.stderr
    assert sum("generation" in line and "parameters" in line for line in lines) == len(history(tmp_path / "s"))


def test_quiet_says_nothing_but_the_result(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evoae_cli", "search", "denoise", *QUICK, "--study", str(tmp_path / "s"), "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout == f"{tmp_path / 's' / 'best'}\n"


def test_a_study_repeats_from_its_settings_file(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "evoae_cli", "search", "denoise"]
    subprocess.run([*run, *QUICK, "--study", str(tmp_path / "a")], check=True, capture_output=True)
    again = [*run, "--config", str(tmp_path / "a" / "study.toml"), "--study", str(tmp_path / "b")]
    subprocess.run(again, check=True, capture_output=True)
    assert history(tmp_path / "a") == history(tmp_path / "b")
    assert summary(tmp_path / "a")["best"] == summary(tmp_path / "b")["best"]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evoae_cli", "search", "denoise", *QUICK, "--dry-run"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"EVOAE_CACHE": str(tmp_path / "cache"), "EVOAE_RUNS": str(tmp_path / "runs")},
    )
    assert "workers" in done.stdout
    assert list(tmp_path.iterdir()) == []
