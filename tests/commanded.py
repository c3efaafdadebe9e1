"""A command as a process of its own, with worker processes: read while it runs, interrupted, killed, frozen."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from evoae_cli.study.checks import option_name

ROOT = Path(__file__).parents[1]
EVOAE = ("-c", "from evoae_cli.app.main import run; run()")
"""Words that begin a command of evoae."""


class Command:
    """A Python process; what it writes to stderr is read as it comes, and to stdout at its end."""

    def __init__(self, *words: str | Path, cwd: Path, environ: Mapping[str, str] | None = None) -> None:
        own = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "200"}
        self._process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=cwd,
            env={**os.environ, **own, **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.rstrip("\n"))

    def has(self, pattern: str) -> bool:
        """Whether there is a line with it."""
        return any(re.search(pattern, line) for line in list(self.lines))

    def line(self, pattern: str, timeout_s: float = 90.0, *, n_before: int = 0) -> "re.Match[str]":
        """The first line that has the pattern, once it is there; or the one after `n_before` others that have it."""
        give_up_at = time.monotonic() + timeout_s
        while True:
            # In this order: it may say something, and end.
            is_over = not self._reader.is_alive() or time.monotonic() > give_up_at
            found = [match for line in list(self.lines) if (match := re.search(pattern, line))]
            if len(found) > n_before:
                return found[n_before]
            if is_over:
                pytest.fail(f"no line with {pattern!r}:\n" + "\n".join(self.lines))
            time.sleep(0.02)

    def signal(self, signum: int) -> None:
        """To it and its workers, as from a terminal."""
        os.killpg(self._process.pid, signum)

    def kill(self) -> None:
        """With its workers, as when its host loses power."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def end(self, timeout_s: float = 90.0) -> tuple[int, str]:
        """The exit code, and what it has written to stdout, once it has ended."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail("it does not end:\n" + "\n".join(self.lines))
        self._reader.join()
        assert self._process.stdout is not None
        return self._process.returncode, self._process.stdout.read()

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self.kill()
        self._reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def options(**settings: object) -> list[str]:
    """Settings as options of a command."""
    words = []
    for name, value in settings.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [option_name(name), text]
    return words
