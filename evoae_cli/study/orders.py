"""What people ask of a study that another process runs: more or fewer workers, or to stop.

An order is a small file in the study's `orders/`, answered by another beside it; so it needs no port, reaches a study
whose folder is shared with another machine, and leaves nothing behind that a crash could break.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.study.lock import LOCK, lock_holder
from evoae_cli.wholefile import write_whole

ORDERS = "orders"
_LOOK_EVERY_S = 0.2
_PATIENCE_S = 30.0
"""A coordinator answers within a second, unless it is starting, or its machine is very busy."""
_ORDER, _ANSWER = ".order", ".answer"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do, in the words of the command line."""

    kind: Literal["set", "add", "remove", "stop", "kill"]
    """`set`, `add` and `remove` mean workers; `stop` lets what runs finish, `kill` does not."""
    n: int = 0


class _Answer(msgspec.Struct, frozen=True):
    refusal: str = ""
    """One line, or nothing where the order was obeyed."""


def give(folder: Path, order: Order) -> None:
    """Give an order to the process that runs the study in `folder`, and wait until it has obeyed.

    Raises StudyError if no process runs it, if it refuses, or if it does not answer.
    """
    check_runs(folder)
    name = f"{time.time_ns()}-{os.getpid()}-{threading.get_ident()}"
    path, answer = (folder / ORDERS / f"{name}{suffix}" for suffix in (_ORDER, _ANSWER))
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, msgspec.json.encode(order), is_synced=False)
        refusal = _wait_for(answer, folder)
    except OSError as error:
        # A study that ends removes the folder.
        check_runs(folder)
        raise StudyError(f"cannot write to {path.parent}: {error.strerror}; a study takes orders there") from None
    finally:
        with contextlib.suppress(OSError):
            for left in (path, answer):
                left.unlink(missing_ok=True)
            if lock_holder(folder) is None:
                # It ended while this waited, so that nobody else will remove the folder.
                path.parent.rmdir()
    if refusal:
        raise StudyError(refusal)


def _wait_for(answer: Path, folder: Path) -> str:
    """The refusal that the answer holds, or nothing."""
    begun_at = time.monotonic()
    give_up_at = begun_at + _PATIENCE_S
    while not answer.exists():
        # It may answer and end at once, so an answer counts although nobody runs the study any more.
        holder = lock_holder(folder)
        if holder is None and not answer.exists():
            check_runs(folder)
        if time.monotonic() > begun_at + 1 and holder is not None and _is_stopped(holder):
            raise StudyError(f"process {holder}, which runs {folder}, is stopped; let it go on: kill -CONT {holder}")
        if time.monotonic() > give_up_at:
            raise StudyError(f"study {folder} did not answer within {_PATIENCE_S:g} s; is its process stopped?")
        time.sleep(_LOOK_EVERY_S / 2)
    return msgspec.json.decode(answer.read_bytes(), type=_Answer).refusal


def _is_stopped(pid: int) -> bool:
    """Whether a process of this machine is stopped, as by Ctrl-Z; False where that cannot be told."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == "T"


def check_runs(folder: Path) -> None:
    """Raise StudyError if no process runs the study in `folder`."""
    if lock_holder(folder) is None:
        raise StudyError(f"no process runs study {folder} now; go on with it: evoae resume {folder}")


@contextmanager
def obeying(folder: Path, obey: Callable[[Order], None]) -> Iterator[None]:
    """Within the block call `obey`, from a thread of its own, with each order; an EvoaeError that it raises refuses it.

    Orders from before this process took the study, which a killed command has left, are dropped.
    """
    place, is_over = folder / ORDERS, threading.Event()

    def look() -> None:
        while not is_over.wait(_LOOK_EVERY_S):
            paths: list[Path] = []
            # What cannot be read or written must neither end a search nor keep it from other orders.
            with contextlib.suppress(OSError):
                paths = sorted(place.glob("[0-9]*"))
            for path in paths:
                with contextlib.suppress(OSError):
                    _look_at(path, (folder / LOCK).stat().st_mtime, obey)

    thread = threading.Thread(target=look, name="evoae-orders", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        with contextlib.suppress(OSError):
            # Where a giver still has to read its answer, the next run will remove it.
            place.rmdir()


def _look_at(path: Path, since: float, obey: Callable[[Order], None]) -> None:
    """Obey an order given after `since`, which was stamped by the same clock; drop an earlier file."""
    if path.stat().st_mtime < since:
        path.unlink()
    elif path.suffix == _ORDER:
        content = path.read_bytes()
        # It goes first: one that cannot be removed, or whose answer cannot be written, must not be obeyed again.
        path.unlink()
        answer = _Answer(_refusal(content, obey))
        write_whole(path.with_suffix(_ANSWER), msgspec.json.encode(answer), is_synced=False)


def _refusal(content: bytes, obey: Callable[[Order], None]) -> str:
    """Obey an order; one line that says why it could not be obeyed, or nothing."""
    try:
        obey(msgspec.json.decode(content, type=Order))
    except msgspec.MsgspecError:
        return "this is no order; use: evoae workers, evoae stop"
    except EvoaeError as error:
        return str(error)
    except Exception as error:
        # A bug, which the giver should see; it must not leave the study deaf to other orders.
        return f"the order could not be obeyed: {type(error).__name__}: {error}"
    return ""
