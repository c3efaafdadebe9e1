"""Plain lines: what is said where no screen can be drawn."""

import io
import threading
from itertools import islice, repeat
from typing import Any

from rich.console import Console
from test_screen import make_snapshot

from evoae_cli.app.lines import Narrator, growing, ticking
from evoae_cli.app.running import Show
from evoae_cli.engine.protocol import WorkerView


def worker(state: Any) -> WorkerView:
    task = "3x3conv2d:8" if state == "training" else ""
    return WorkerView(name="w", device="cpu", pid=7, state=state, task=task)


def test_within_the_block_time_is_told_and_after_it_no_more() -> None:
    told: list[float] = []
    twice = threading.Event()

    def tick(passed_s: float) -> None:
        told.append(passed_s)
        if len(told) == 2:
            twice.set()

    with ticking(tick, repeat(0.01)):
        assert twice.wait(30)
    n_told = len(told)
    assert told == sorted(told)
    assert not threading.Event().wait(0.05)
    assert len(told) == n_told


def test_what_takes_long_is_told_ever_less_often() -> None:
    assert list(islice(growing(2.0, 60.0), 8)) == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_what_no_event_tells_is_told_once_and_that_workers_start_again_and_again() -> None:
    console = Console(file=io.StringIO(), width=80)
    shown = [
        make_snapshot(0, phase="preparing"),
        make_snapshot(phase="search", workers=(worker("starting"), worker("starting"))),
        make_snapshot(phase="search", workers=(worker("training"), worker("starting"))),
        make_snapshot(2, phase="search"),
        make_snapshot(2, phase="finalists"),
        make_snapshot(2, phase="finalists"),
        make_snapshot(2, phase="test"),
        make_snapshot(2, phase="finished"),
    ]
    narrator = Narrator(console, iter(shown).__next__)
    for number in range(len(shown)):
        if number == 4:
            narrator.before_event()
        else:
            narrator.tick(2 * number)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "starting workers",
        "starting 2 workers: 2 s",
        "training on 2 workers",
        "training the finalists",
        "scoring on test",
    ]


def test_what_takes_a_while_is_said_at_once_and_not_at_all_if_all_is_to_be_quiet() -> None:
    for is_quiet, lines in ((False, ["loading"]), (True, [])):
        console = Console(file=io.StringIO(), width=80)
        with Show(console, is_quiet, is_json=False).preparing("loading"):
            assert console.file.getvalue().splitlines() == lines  # type: ignore[attr-defined]
