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
from evoae_cli.study.lock import lock_holder
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
        raise StudyError(f"cannot write to {path.parent}: {error.strerror}; a study takes orders there") from None
    finally:
        with contextlib.suppress(OSError):
            for left in (path, answer):
                left.unlink(missing_ok=True)
            path.parent.rmdir()
    if refusal:
        raise StudyError(refusal)


def _wait_for(answer: Path, folder: Path) -> str:
    """The refusal that the answer holds, or nothing."""
    give_up_at = time.monotonic() + _PATIENCE_S
    while not answer.exists():
        # It may answer and end at once, so an answer counts although nobody runs the study any more.
        if lock_holder(folder) is None and not answer.exists():
            check_runs(folder)
        if time.monotonic() > give_up_at:
            raise StudyError(f"study {folder} did not answer within {_PATIENCE_S:g} s; is its process stopped?")
        time.sleep(_LOOK_EVERY_S / 2)
    return msgspec.json.decode(answer.read_bytes(), type=_Answer).refusal


def check_runs(folder: Path) -> None:
    """Raise StudyError if no process runs the study in `folder`."""
    if lock_holder(folder) is None:
        raise StudyError(f"no process runs study {folder} now; go on with it: evoae resume {folder}")


@contextmanager
def obeying(folder: Path, obey: Callable[[Order], None]) -> Iterator[None]:
    """Within the block call `obey`, from a thread of its own, with each order; an EvoaeError that it raises refuses it.

    Orders whose command has given up waiting, or was killed, are dropped.
    """
    place, is_over = folder / ORDERS, threading.Event()

    def look() -> None:
        while not is_over.wait(_LOOK_EVERY_S):
            # A folder that cannot be read or written must not end a search.
            with contextlib.suppress(OSError):
                _obey_all(place, obey)

    thread = threading.Thread(target=look, name="evoae-orders", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _obey_all(place: Path, obey: Callable[[Order], None]) -> None:
    if not place.is_dir():
        return
    for path in sorted(place.glob(f"[0-9]*{_ORDER}")):
        if time.time() - path.stat().st_mtime > 2 * _PATIENCE_S:
            path.unlink()
            continue
        refusal = ""
        try:
            obey(msgspec.json.decode(path.read_bytes(), type=Order))
        except msgspec.MsgspecError:
            refusal = f"{path} is no order; use: evoae workers, evoae stop"
        except EvoaeError as error:
            refusal = str(error)
        # The order goes first: it must not be obeyed twice if the answer cannot be written.
        path.unlink()
        write_whole(path.with_suffix(_ANSWER), msgspec.json.encode(_Answer(refusal)), is_synced=False)
