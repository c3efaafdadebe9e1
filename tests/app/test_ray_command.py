"""`--engine ray` as people use it, on a Ray that the command starts and ends; skipped where Ray is not installed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from commanded import EVOAE, Command, options

from evoae_cli.bench.small import SMALL

pytest.importorskip("ray", reason="Ray is not installed: pip install 'evoae[ray]'")


def test_a_search_on_ray_is_stopped_and_goes_on_here(tmp_path: Path) -> None:
    settings = SMALL | {"generations": 4, "population": 4, "kernels": (1, 3, 5), "filters": (4, 8), "device": "cpu"}
    on_ray = ("search", "denoise", "--study", "study", "--engine", "ray", *options(**settings))
    with closing(command(tmp_path, *on_ray)) as search:
        search.line(r"^denoise in .*: on Ray, ")
        search.line(r"^\[[3-9]/")
        search.signal(signal.SIGINT)
        assert search.end() == (130, "")
        assert not any(re.search(r"Traceback|raylet|ray::", line) for line in search.lines)
    with ended(tmp_path, "show", "study", "--history", "--json") as (_, output):
        begun = json.loads(output)["history"]
    assert len(begun) >= 3
    with closing(command(tmp_path, "resume", "study", "--engine", "ray")) as resumed:
        assert int(resumed.line(r"^\[(\d+)/")[1]) > len(begun)
        resumed.signal(signal.SIGINT)
        assert resumed.end() == (130, "")
    with ended(tmp_path, "resume", "study", "--json") as (code, output):
        assert (code, json.loads(output)["state"]) == (0, "done")
    with ended(tmp_path, "show", "study", "--history", "--json") as (_, output):
        whole = json.loads(output)["history"]
    # What Ray has evaluated stays, and the rest comes behind it.
    assert [row for row in whole if row in begun] == begun
    assert len(whole) > len(begun)


def command(folder: Path, *words: str) -> Command:
    own = {"EVOAE_RUNS": str(folder / "runs")}
    return Command(*EVOAE, *words, cwd=folder, environ=own)


@contextmanager
def ended(folder: Path, *words: str) -> Iterator[tuple[int, str]]:
    """The exit code of a command that has ended, and what it wrote to stdout."""
    with closing(command(folder, *words)) as running:
        yield running.end()


def test_workers_of_ray_are_measured(tmp_path: Path) -> None:
    words = ("--simulate", "0.1", "--workers", "1", "--generations", "2", "--engine", "ray", "--json")
    with ended(tmp_path, "scale-benchmark", *words) as (code, output):
        assert code == 0
        (reading,) = json.loads(output)["readings"]
    assert (reading["mode"], reading["workers"], reading["times_one_worker"]) == ("generational", 1, 1.0)
    # One worker cannot be faster than its waiting allows.
    assert 0.0 < reading["rate"] < 10.0
    assert [stretch["n"] > 0 for stretch in reading["stretches"]] == [True, True]


def test_nobody_at_the_address_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    words = ("search", "denoise", "--engine", "ray", "--ray-address", "127.0.0.1:9", *options(**SMALL))
    with closing(command(tmp_path, *words)) as search:
        assert search.end() == (2, "")
        assert search.lines[-1] == (
            "evoae: --ray-address 127.0.0.1:9: nobody answers there (connection refused); see that Ray runs there, or "
            "leave it out"
        )
    # Before anything is written.
    assert not (tmp_path / "runs").exists()


def test_how_to_get_ray_is_one_line_where_it_is_missing(tmp_path: Path) -> None:
    without = "import sys; sys.modules['ray'] = None; from evoae_cli.app.main import run; run(sys.argv[1:])"
    words = [sys.executable, "-c", without, "search", "denoise", "--engine", "ray"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"EVOAE_RUNS": "runs"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "evoae: --engine ray needs Ray, which is not installed; get it with: pip install 'evoae[ray]'\n"
    )
    assert not list(tmp_path.iterdir())
