"""`evoae search --listen`, `join`, `hosts`, `nameserver` and `key` as people use them, with real trainings."""

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commanded import EVOAE, Command, options

from evoae_cli.baseline.summary import baseline_summary
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import StudyError
from evoae_cli.study.store import Record, Store
from evoae_cli.study.summary import read_snapshot

SEARCH = ("search", "denoise", "--study", "s", "--listen", "0")
WIDE = {"filters": (4, 8, 12), "kernels": (1, 3, 5), "max_layers": 3}
ENDLESS = {"generations": 1_000_000}
"""More than any machine runs before it is stopped: once nothing new is bred, a generation takes a millisecond."""


@pytest.fixture
def commands(tmp_path: Path) -> "Iterator[Commands]":
    found = Commands(tmp_path)
    yield found
    for command in found.all:
        command.close()


class Commands:
    """The commands of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all: list[Command] = []

    def __call__(self, host: str, *words: str) -> Command:
        folder = self.folder / host
        folder.mkdir(exist_ok=True)
        own = {"EVOAE_CACHE": str(folder / "cache"), "EVOAE_RUNS": str(folder / "runs")}
        command = Command(*EVOAE, *words, cwd=folder, environ=own)
        self.all.append(command)
        return command


def test_hosts_join_a_real_search_are_killed_and_frozen_and_its_history_is_that_of_one_host(
    commands: Commands, tmp_path: Path
) -> None:
    """The helpers have no images, make weights that are delivered, and one gives back what it has not begun."""
    settings = {**SMALL, **WIDE, "population": 6, "device": "cpu", "train_images": 64, "workers": 1}
    search = commands("owner", *SEARCH, *options(**settings | ENDLESS))
    joined = search.line(r"other hosts help with: evoae (join 127\.0\.0\.1:\d+)$")[1].split()
    killed, frozen = (commands(name, *joined, "--workers", "1") for name in ("killed", "frozen"))
    for helper in (killed, frozen):
        helper.line(r"fetching images from 127\.0\.0\.1")
    search.line(r" \(2\) helps with 1 worker$")
    killed.kill()
    frozen.signal(signal.SIGSTOP)
    late = commands("late", *joined, "--workers", "1")
    alone = search_alone(commands, settings)
    search.line(r" helps with 1 worker$", n_before=2)
    # All that the two had is run by others.
    search.line(r" was silent for 10 s and is given up", n_before=1)
    frozen.signal(signal.SIGCONT)
    search.line(r" helps with 1 worker$", n_before=3)
    hosts = commands("owner", "hosts", joined[1], "--json")
    code, output = hosts.end()
    assert (code, hosts.lines) == (0, [])
    (found,) = json.loads(output)["searches"]
    assert (found["address"], found["n_workers"], len(found["helpers"])) == (joined[1], 1, 2)
    wait_for(lambda: any((tmp_path / "late" / "cache").glob("*.evoae-images")))
    late.signal(signal.SIGINT)
    assert late.end()[0] == 130
    assert re.fullmatch(r"\d+ evaluations? done here", late.lines[-1])
    search.line(r" has left")
    search.line(r"^generation 3 of ")
    search.signal(signal.SIGINT)
    assert search.end()[0] == 130
    assert frozen.end()[0] == 0
    assert not any("Traceback" in line for command in (search, frozen, late) for line in command.lines)
    folder = tmp_path / "owner" / "runs" / "s"
    assert evaluated(folder) == alone
    elsewhere = [record for record in records(folder) if "/" in record.worker]
    assert elsewhere
    assert len(list((tmp_path / "late" / "cache").glob("*.evoae-images"))) == 1
    # Weights that were made there lie where the study has its own.
    assert (folder / "best" / "model.safetensors").is_file()
    assert not list((tmp_path / "owner").rglob("*.part"))


def search_alone(commands: Commands, settings: dict[str, object]) -> list[tuple[object, ...]]:
    """What the same search evaluates on one host, up to generation 3."""
    alone = commands("alone", *SEARCH[:4], *options(**settings | {"generations": 3}))
    assert alone.end()[0] == 0
    return evaluated(commands.folder / "alone" / "runs" / "s")


def evaluated(folder: Path) -> list[tuple[object, ...]]:
    """The history up to generation 3."""
    return sorted(
        (record.generation, record.number, record.evaluation.genotype, record.evaluation.fitness)
        for record in records(folder)
        if record.generation <= 3
    )


def records(folder: Path) -> list[Record]:
    store = Store.read(folder)
    try:
        return list(store.records("search"))
    finally:
        store.close()


def test_a_key_is_made_once_and_a_nameserver_is_ended_in_order(commands: Commands, tmp_path: Path) -> None:
    made = commands("gpu-1", "key", "shared")
    assert made.end() == (0, "shared\n")
    assert (tmp_path / "gpu-1" / "shared").stat().st_mode & 0o777 == 0o600
    names = commands("gpu-1", "nameserver", "--listen", "0", "--key-file", "shared")
    address = names.line(r"^nameserver at (127\.0\.0\.1:\d+); ")[1]
    hosts = commands("gpu-1", "hosts", address, "--key-file", "shared")
    code, output = hosts.end()
    assert (code, output) == (
        0,
        "no search is registered there; start one: evoae search denoise --nameserver HOST:PORT\n",
    )
    names.signal(signal.SIGINT)
    assert names.end()[0] == 130


def test_a_search_is_no_nameserver_and_a_nameserver_no_search(commands: Commands, tmp_path: Path) -> None:
    """Said at once, with what to write instead, before anything is loaded."""
    names = commands("gpu-1", "nameserver", "--listen", "0")
    address = names.line(r"^nameserver at (127\.0\.0\.1:\d+); ")[1]
    search = commands("gpu-1", "search", "denoise", "--listen", "0", *options(**SMALL | WIDE | ENDLESS))
    there = search.line(r"other hosts help with: evoae join (127\.0\.0\.1:\d+)$")[1]
    made = commands("gpu-2", "key", "other")
    assert made.end() == (0, "other\n")
    for words, line in (
        (("join", address), f"{address} is a nameserver; to help what is listed there: --nameserver {address}"),
        (
            ("join", "--nameserver", there),
            f"--nameserver {there} is a search, and no nameserver; help it with: evoae join {there}",
        ),
        (
            ("join", "--nameserver", address, "--key-file", "other"),
            f"{address} has another key; give the file that it was started with: --key-file FILE",
        ),
        (
            ("search", "denoise", "--nameserver", address, "--key-file", "other"),
            f"{address} has another key; give the file that it was started with: --key-file FILE",
        ),
        (
            ("search", "denoise", "--nameserver", "192.0.2.1:7070", "--listen", "127.0.0.1:7077"),
            "--listen 127.0.0.1:7077 can be reached from this machine alone, and others will be told of it by "
            "192.0.2.1:7070; give the port alone: --listen 7077",
        ),
    ):
        command = commands("gpu-2", *words)
        assert command.end() == (2, ""), command.lines
        assert command.lines == [f"evoae: {line}"]
    assert not (tmp_path / "gpu-2" / "runs").exists()


def test_nobody_there_is_one_line(commands: Commands) -> None:
    for words in (("join", "127.0.0.1:9"), ("hosts", "127.0.0.1:9")):
        command = commands("gpu-1", *words)
        assert command.end() == (1, "")
        assert command.lines == ["evoae: 127.0.0.1:9 does not answer (connection refused)"]


def test_a_host_that_helps_stays_for_all_studies_of_a_comparison(commands: Commands, tmp_path: Path) -> None:
    """This host's worker is frozen in each until the other has trained something: it is not left out of any."""
    slow = {"train_images": 128, "batch_size": 2, "epochs": 2, "heartbeat_timeout_s": 600}
    wide = {"filters": (4, 8, 12), "kernels": (1, 3), "population": 6, "device": "cpu", "workers": 1}
    search = commands("owner", *SEARCH[:4], *options(**SMALL | wide | slow))
    assert search.end()[0] == 0
    protocols = ("--protocols", "uniform,lengths", "--study", "chance")
    owner = commands("owner", "random-baseline", "--against", "s", *protocols, "--listen", "0")
    words = owner.line(r"other hosts help with: evoae (join 127\.0\.0\.1:\d+)$")[1].split()
    helper = commands("helper", *words, "--workers", "1")
    chance = tmp_path / "owner" / "runs" / "chance"
    for number, part in enumerate((chance / "uniform-0", chance / "lengths-0")):
        pid = worker_of(part)
        os.kill(pid, signal.SIGSTOP)
        helper.line(rf"^helping .*{part.name}")
        owner.line(r"helps with 1 worker$", n_before=number)
        wait_for(lambda part=part: any("/" in record.worker for record in records(part)))
        os.kill(pid, signal.SIGCONT)
    assert owner.end()[0] == 0
    assert helper.end()[0] == 0
    assert sum(line.endswith("has ended") for line in helper.lines) == 1
    # Once it helps it is answered, whatever the other host does.
    first = next(n for n, line in enumerate(helper.lines) if line.startswith("helping "))
    assert not any("trying again" in line for line in helper.lines[first:])
    assert baseline_summary(chance).state == "done"


def worker_of(study: Path) -> int:
    """The process of the one worker that this host has in a study, once it runs."""
    found: list[int] = []

    def is_there() -> bool:
        with contextlib.suppress(StudyError):
            found.extend(worker.pid for worker in read_snapshot(study).workers)
        return bool(found)

    wait_for(is_there)
    return found[0]


def wait_for(is_so: Callable[[], bool], timeout_s: float = 90.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
