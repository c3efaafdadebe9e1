"""Hosts as processes with worker processes of their own, killed and frozen: the history is that of one host."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from commanded import EVOAE, Command
from host_process import run_candidates

from evoae_cli.bench.scaled import ORDERS, RUNNER, Orders
from evoae_cli.bench.small import SMALL
from evoae_cli.hosts.key import make_key
from evoae_cli.study.resolve import resolve
from evoae_cli.study.store import Store
from evoae_cli.study.study import Study

SEARCH: dict[str, Any] = {
    **SMALL,
    "population": 8,
    "generations": 5,
    "filters": (8, 16, 32),
    "max_layers": 3,
    "finalists": 1,
    "seed": 3,
}


class Place:
    """Where the hosts of one test live."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key"
        make_key(self.key)
        self.processes: list[Command] = []

    def run(self, *words: str | Path) -> Command:
        process = Command(*words, cwd=self.folder)
        self.processes.append(process)
        return process

    def host(self, role: str, name: str, **parts: Any) -> Command:
        told = msgspec.json.encode({"role": role, "name": name, "key": str(self.key), **parts}).decode()
        return self.run(Path(__file__).with_name("host_process.py"), told)

    def search(self, **parts: Any) -> Command:
        folder = str(self.folder / "study")
        return self.host("search", "owner", **{"folder": folder, "settings": SEARCH, "workers": 1, **parts})

    def helper(self, name: str, **parts: Any) -> Command:
        return self.host("helper", name, **{"folder": str(self.folder / f"cache-{name}"), **parts})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (tmp_path / "notes").mkdir()
    orders = Orders(folder=str(tmp_path / "notes"), wait_s=0.6, cv=0.5)
    monkeypatch.setenv(ORDERS, msgspec.json.encode(orders).decode())
    found = Place(tmp_path)
    yield found
    for process in found.processes:
        process.close()


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
    nameserver = (*EVOAE, "nameserver", "--listen", names, "--key-file", place.key)
    first_names = place.run(*nameserver)
    first_names.line("nameserver at")
    killed, frozen = (place.helper(name, nameserver=names) for name in ("killed", "frozen"))
    search = place.search(listen="127.0.0.1:0", nameserver=names)
    search.line("killed helps")
    search.line("frozen helps")
    search.line(r"^\[4/")
    killed.kill()
    frozen.signal(signal.SIGSTOP)
    # All that the two had is run by others.
    search.line("killed was silent for 2 s and is given up")
    search.line("frozen was silent for 2 s and is given up")
    first_names.kill()
    late = place.helper("late", nameserver=names)
    frozen.signal(signal.SIGCONT)
    place.run(*nameserver).line("is there")
    search.line("late helps")
    search.line("frozen helps")
    assert search.end()[0] == 0
    assert history(place.folder / "study") == alone
    assert workers_of(place.folder / "study") >= {"here", "late"}
    assert not search.has("Traceback")
    for helper in (frozen, late):
        assert not helper.has("Traceback")
        helper.kill()


def test_two_searches_help_each_other(place: Place) -> None:
    """The first is short; when it has nothing to do its workers run the other's candidates, though it was asked."""
    long = place.search(listen="127.0.0.1:0", folder=str(place.folder / "long"), settings={**SEARCH, "population": 6})
    address = long.line("listening at (.*)$")[1]
    short = place.search(
        listen="127.0.0.1:0",
        link=address,
        folder=str(place.folder / "short"),
        settings={**SEARCH, "population": 3, "generations": 0},
    )
    assert short.end()[0] == 0
    assert long.end()[0] == 0
    assert short.has("going on for")
    assert short.has(f"helping denoise search long on {socket.gethostname()} at {address}")
    assert workers_of(place.folder / "long") == {"here", "owner"}


def test_another_key_or_version_ends_a_host_that_would_help_with_one_line(place: Place) -> None:
    search = place.search(listen="127.0.0.1:0")
    address = search.line("listening at (.*)$")[1]
    other = place.folder / "other"
    make_key(other)
    stranger = place.run(*EVOAE, "join", address, "--key-file", other)
    assert stranger.end()[0] == 2
    assert stranger.lines == [
        f"evoae: {address} has another key; give the file that it was started with: --key-file FILE"
    ]
    newer = "from evoae_cli.hosts import wire; wire.VERSION = 9; from evoae_cli.app.main import run; run()"
    stranger = place.run("-c", newer, "join", address, "--key-file", place.key)
    assert stranger.end()[0] == 1
    spoken = "it speaks version 1 of the protocol between hosts, this one 9"
    assert stranger.lines == [f"evoae: {address} refuses: {spoken}"]
