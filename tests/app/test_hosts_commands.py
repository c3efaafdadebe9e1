"""`evoae search --listen`, `join`, `hosts`, `nameserver` and `key` as people use them, with real trainings."""

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commanded import EVOAE, Command, options

from evoae_cli.bench.small import SMALL
from evoae_cli.study.store import Store


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


def test_a_host_joins_a_real_search_and_leaves_when_it_is_asked(commands: Commands, tmp_path: Path) -> None:
    """The helper has no images, makes weights that are delivered, and gives back what it has not begun."""
    wide = {"filters": (4, 8, 12, 16), "kernels": (1, 3, 5), "max_layers": 4, "population": 6, "generations": 60}
    settings = {**SMALL, **wide, "workers": 1, "train_images": 256}
    search = commands("gpu-1", "search", "denoise", "--study", "s", "--listen", "0", *options(**settings))
    joined = search.line(r"other hosts help with: evoae (join 127\.0\.0\.1:\d+)$")[1].split()
    helper = commands("gpu-2", *joined, "--workers", "2")
    helper.line(r"fetching images from 127\.0\.0\.1")
    search.line(r" helps with [12] workers?$")
    address = joined[1]
    time.sleep(2.0)
    hosts = commands("gpu-1", "hosts", address, "--json")
    code, output = hosts.end()
    assert (code, hosts.lines) == (0, [])
    (found,) = json.loads(output)["searches"]
    assert (found["address"], found["n_workers"], len(found["helpers"])) == (address, 1, 1)
    helper.signal(signal.SIGINT)
    code, _ = helper.end()
    assert code == 130
    assert re.fullmatch(r"[1-9]\d* evaluations? done here", helper.lines[-1])
    search.line(r" has left")
    search.signal(signal.SIGINT)
    code, _ = search.end()
    assert code == 130
    assert not any("Traceback" in line for line in (*helper.lines, *search.lines))
    store = Store.read(tmp_path / "gpu-1" / "runs" / "s")
    records = list(store.records("search"))
    store.close()
    elsewhere = [record for record in records if "/" in record.worker]
    assert elsewhere
    assert len({record.evaluation.genotype for record in records}) == len(records)
    assert len(list((tmp_path / "gpu-2" / "cache").glob("*.evoae-images"))) == 1
    # Weights that were made there lie where the study has its own.
    best = tmp_path / "gpu-1" / "runs" / "s" / "best" / "model.safetensors"
    assert best.is_file()
    assert not list((tmp_path / "gpu-1").rglob("*.part"))


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
    search = commands("gpu-1", "search", "denoise", "--listen", "0", *options(**SMALL | {"generations": 50}))
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
