"""A process that runs a comparison, from its first study to its last measurement: its lock, and who may stop it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from evoae_cli.baseline.plan import read_plan, write_plan
from evoae_cli.baseline.rivalfile import cannot_write
from evoae_cli.errors import StudyError, UsageError
from evoae_cli.study.lock import StudyLock
from evoae_cli.study.orders import Order, obeying


class Sitting:
    """Holds the comparison in `folder`, and obeys what `evoae stop` asks of it; a context manager.

    Raises StudyError on entering while another process has it, and where its folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = ExitStack()
        # Set by the thread that takes orders, read by the one that runs the comparison.
        self.is_stopping = False
        """Whether it was asked to stop: nothing more is to be begun."""
        # Set by the thread that runs the comparison, read by the one that takes orders.
        self._stop: Callable[[], None] | None = None
        self._kill: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as held:
            try:
                held.enter_context(StudyLock(self._folder))
            except OSError as error:
                raise StudyError(
                    f"cannot write to {self._folder}: {error.strerror}; make it writable, or see what it has come to: "
                    f"evoae show {self._folder}"
                ) from error
            held.enter_context(obeying(self._folder, self._obey))
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def end(self) -> None:
        """Note that all is done. Raises EvoaeError where that cannot be written."""
        try:
            write_plan(self._folder, msgspec.structs.replace(read_plan(self._folder), is_measured=True))
        except OSError as error:
            raise cannot_write(self._folder, error) from error

    @contextmanager
    def doing(self, request_stop: Callable[[], None], kill: Callable[[], None]) -> Iterator[None]:
        """Within the block what was asked for since the beginning is passed on. Both may be called from any thread."""
        self._stop, self._kill = request_stop, kill
        if self.is_stopping:
            # It was asked for while this was being loaded.
            request_stop()
        try:
            yield
        finally:
            self._stop = self._kill = None

    def _obey(self, order: Order) -> None:
        if order.kind not in ("stop", "kill"):
            raise UsageError(f"{self._folder} is a comparison; ask the study of it that runs: evoae workers")
        self.is_stopping = True
        act = self._kill if order.kind == "kill" else self._stop
        if act is not None:
            act()
