"""Orders to a study that another process, or here another thread, runs."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evoae_cli.errors import StudyError, UsageError
from evoae_cli.study.lock import StudyLock
from evoae_cli.study.orders import ORDERS, Order, check_runs, give, obeying


def test_an_order_is_obeyed_before_its_giver_goes_on_and_leaves_nothing(tmp_path: Path) -> None:
    heard: list[Order] = []
    with StudyLock(tmp_path), obeying(tmp_path, heard.append):
        give(tmp_path, Order(kind="add", n=2))
        assert heard == [Order(kind="add", n=2)]
        give(tmp_path, Order(kind="stop"))
        assert [order.kind for order in heard] == ["add", "stop"]
    assert not (tmp_path / ORDERS).exists()


def test_a_refusal_reaches_the_giver_in_its_words(tmp_path: Path) -> None:
    def refuse(order: Order) -> None:
        raise UsageError(f"{order.n} workers cannot be")

    with StudyLock(tmp_path), obeying(tmp_path, refuse), pytest.raises(StudyError, match=r"^0 workers cannot be$"):
        give(tmp_path, Order(kind="set", n=0))


def test_orders_of_several_givers_at_once_are_each_obeyed_once(tmp_path: Path) -> None:
    heard: list[Order] = []
    with StudyLock(tmp_path), obeying(tmp_path, heard.append):
        givers = [
            threading.Thread(target=give, args=(tmp_path, Order(kind="add", n=n))) for n in range(1, 9)
        ]  # fmt: skip
        for giver in givers:
            giver.start()
        for giver in givers:
            giver.join()
    assert sorted(order.n for order in heard) == list(range(1, 9))


def test_a_study_that_nobody_runs_takes_no_order_and_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no process runs"):
        give(tmp_path, Order(kind="stop"))
    with pytest.raises(StudyError, match="evoae resume"):
        check_runs(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_order_given_while_the_study_still_starts_is_obeyed_later(tmp_path: Path) -> None:
    heard: list[Order] = []
    with StudyLock(tmp_path):
        giver = threading.Thread(target=give, args=(tmp_path, Order(kind="add", n=1)))
        giver.start()
        time.sleep(0.3)
        with obeying(tmp_path, heard.append):
            giver.join(20)
    assert heard == [Order(kind="add", n=1)]


def test_an_order_that_nobody_obeyed_before_the_study_ended_leaves_nothing(tmp_path: Path) -> None:
    refused: list[StudyError] = []

    def ask() -> None:
        with pytest.raises(StudyError, match="no process runs") as caught:
            give(tmp_path, Order(kind="stop"))
        refused.append(caught.value)

    with StudyLock(tmp_path):
        giver = threading.Thread(target=ask)
        giver.start()
        while not list(tmp_path.glob(f"{ORDERS}/*.order")):
            time.sleep(0.01)
    giver.join(20)
    assert refused
    assert not (tmp_path / ORDERS).exists()


def test_an_order_whose_giver_was_killed_long_ago_is_dropped(tmp_path: Path) -> None:
    heard: list[Order] = []
    stale = tmp_path / ORDERS / "1-1.order"
    stale.parent.mkdir()
    stale.write_text('{"kind":"kill"}')
    os.utime(stale, (time.time() - 3600,) * 2)
    with StudyLock(tmp_path), obeying(tmp_path, heard.append):
        give(tmp_path, Order(kind="add", n=1))
    assert [order.kind for order in heard] == ["add"]
    assert not stale.exists()


def test_an_order_that_cannot_be_removed_is_not_obeyed_and_keeps_nobody_from_being_heard(tmp_path: Path) -> None:
    """As one that another account has written into a folder of its own."""
    heard: list[Order] = []
    stuck = tmp_path / ORDERS / "1-1.order"
    with StudyLock(tmp_path), obeying(tmp_path, heard.append):
        # A folder of that name cannot be read, nor removed as a file; permissions would not bind root.
        (stuck / "within").mkdir(parents=True)
        give(tmp_path, Order(kind="add", n=1))
        time.sleep(0.5)
    assert [order.kind for order in heard] == ["add"]


def test_a_bug_while_an_order_is_obeyed_is_told_and_later_orders_are_taken(tmp_path: Path) -> None:
    heard: list[Order] = []

    def stumble(order: Order) -> None:
        heard.append(order)
        if order.kind == "add":
            raise ZeroDivisionError("oops")

    with StudyLock(tmp_path), obeying(tmp_path, stumble):
        with pytest.raises(StudyError, match="ZeroDivisionError: oops"):
            give(tmp_path, Order(kind="add", n=1))
        give(tmp_path, Order(kind="stop"))
    assert [order.kind for order in heard] == ["add", "stop"]


def test_a_file_that_is_no_order_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    heard: list[Order] = []
    place = tmp_path / ORDERS
    place.mkdir()
    (place / "1-1.order").write_text("{")
    with StudyLock(tmp_path), obeying(tmp_path, heard.append):
        give(tmp_path, Order(kind="add", n=1))
    assert [order.kind for order in heard] == ["add"]


def test_a_process_that_is_stopped_is_named_at_once(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, signal; from evoae_cli.study.lock import StudyLock;"
        " lock = StudyLock(pathlib.Path(sys.argv[1])); print(flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            holder.send_signal(signal.SIGSTOP)
            with pytest.raises(StudyError, match=f"is stopped; let it go on: kill -CONT {holder.pid}"):
                give(tmp_path, Order(kind="stop"))
        finally:
            holder.kill()
