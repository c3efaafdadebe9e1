"""Hosts as processes with worker processes of their own, killed and frozen: the history is that of one host."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from host_process import run_candidates
from parts import until

from evoae_cli.bench.scaled import ORDERS, RUNNER, Orders
from evoae_cli.bench.small import SMALL
from evoae_cli.hosts.key import make_key
from evoae_cli.study.resolve import resolve
from evoae_cli.study.store import Store
from evoae_cli.study.study import Study

ROOT = Path(__file__).parents[2]
SEARCH: dict[str, Any] = {
    **SMALL,
    "population": 8,
    "generations": 5,
    "filters": (8, 16, 32),
    "max_layers": 3,
    "finalists": 1,
    "seed": 3,
}


class Process:
    """A process whose lines are read as they come."""

    def __init__(self, *words: str | Path, cwd: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def has(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def line(self, text: str, timeout_s: float = 60.0) -> str:
        """The first line with this text, once it is there."""
        until(lambda: self.has(text) or self._process.poll() is not None, timeout_s)
        assert self.has(text), "\n".join(self.lines)
        return next(line for line in self.lines if text in line)

    def send(self, signum: int) -> None:
        """To it alone."""
        os.kill(self._process.pid, signum)

    def kill(self) -> None:
        """With its workers, as when a host loses its power."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def wait(self, timeout_s: float = 40.0) -> int:
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail("it does not end:\n" + "\n".join(self.lines))
        self._reader.join()
        return code

    def end(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Place:
    """Where the hosts of one test live."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key"
        make_key(self.key)
        self.processes: list[Process] = []

    def run(self, *words: str | Path) -> Process:
        process = Process(*words, cwd=self.folder)
        self.processes.append(process)
        return process

    def host(self, role: str, name: str, **parts: Any) -> Process:
        told = msgspec.json.encode({"role": role, "name": name, "key": str(self.key), **parts}).decode()
        return self.run(Path(__file__).with_name("host_process.py"), told)

    def search(self, **parts: Any) -> Process:
        folder = str(self.folder / "study")
        return self.host("search", "owner", **{"folder": folder, "settings": SEARCH, "workers": 1, **parts})

    def helper(self, name: str, **parts: Any) -> Process:
        return self.host("helper", name, **{"folder": str(self.folder / f"cache-{name}"), **parts})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (tmp_path / "notes").mkdir()
    orders = Orders(folder=str(tmp_path / "notes"), wait_s=0.6, cv=0.5)
    monkeypatch.setenv(ORDERS, msgspec.json.encode(orders).decode())
    found = Place(tmp_path)
    yield found
    for process in found.processes:
        process.end()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def history(folder: Path) -> list[tuple[int, int, str, float]]:
    store = Store.read(folder)
    try:
        records = store.records("search")
        return sorted(
            (record.generation, record.number, record.evaluation.genotype, record.evaluation.fitness)
            for record in records
        )
    finally:
        store.close()


def workers_of(folder: Path) -> set[str]:
    """Hosts, and `here`, that have evaluated candidates."""
    store = Store.read(folder)
    try:
        return {record.worker.split("/")[0] if "/" in record.worker else "here" for record in store.records("search")}
    finally:
        store.close()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, int, str, float]]:
    """The history of the same search on one host."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ORDERS, msgspec.json.encode(Orders(folder=str(folder), wait_s=0.01)).decode())
        config = resolve("denoise", {**SEARCH, "device": "cpu", "workers": 2})
        run_candidates(Study.create(config, folder / "study", warn=print, runner=RUNNER))
    return history(folder / "study")


def test_hosts_come_and_go_are_killed_and_frozen_and_the_history_is_that_of_one_host(
    place: Place, alone: list[tuple[int, int, str, float]]
) -> None:
    names = f"127.0.0.1:{free_port()}"
    nameserver = ("-m", "evoae_cli", "nameserver", "--listen", names, "--key-file", place.key)
    first_names = place.run(*nameserver)
    first_names.line("nameserver at")
    killed, frozen = (place.helper(name, nameserver=names) for name in ("killed", "frozen"))
    search = place.search(listen="127.0.0.1:0", nameserver=names)
    search.line("killed helps")
    search.line("frozen helps")
    search.line("[4/")
    killed.kill()
    frozen.freeze()
    # All that the two had is run by others.
    search.line("killed was silent for 2 s and is given up")
    search.line("frozen was silent for 2 s and is given up")
    first_names.kill()
    late = place.helper("late", nameserver=names)
    frozen.thaw()
    place.run(*nameserver).line("is there")
    search.line("late helps")
    search.line("frozen helps")
    assert search.wait() == 0
    assert history(place.folder / "study") == alone
    assert workers_of(place.folder / "study") >= {"here", "late"}
    assert not search.has("Traceback")
    for helper in (frozen, late):
        assert not helper.has("Traceback")
        helper.send(signal.SIGKILL)


def test_two_searches_help_each_other(place: Place) -> None:
    """The first is short; when it has nothing to do its workers run the other's candidates, though it was asked."""
    long = place.search(listen="127.0.0.1:0", folder=str(place.folder / "long"))
    address = long.line("listening at").rpartition(" ")[2]
    short = place.search(
        listen="127.0.0.1:0", link=address, folder=str(place.folder / "short"), settings={**SEARCH, "generations": 1}
    )
    assert short.wait() == 0
    assert long.wait() == 0
    assert short.has("going on for")
    assert short.has(f"helping denoise search long on {socket.gethostname()} at {address}")
    assert workers_of(place.folder / "long") == {"here", "owner"}


def test_another_key_ends_a_host_that_would_help_with_one_line(place: Place) -> None:
    search = place.search(listen="127.0.0.1:0")
    address = search.line("listening at").rpartition(" ")[2]
    other = place.folder / "other"
    make_key(other)
    stranger = place.run("-m", "evoae_cli", "join", address, "--key-file", other)
    assert stranger.wait() == 2
    assert stranger.lines == [
        f"evoae: {address} has another key; give the file that it was started with: --key-file FILE"
    ]
    assert search.wait() == 0
