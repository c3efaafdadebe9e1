"""`live.json`: the snapshot of a running study, renewed every second for `evoae show --watch` in other terminals."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from evoae_cli.study.locate import LIVE
from evoae_cli.study.snapshot import Snapshot
from evoae_cli.wholefile import write_whole

_INTERVAL_S = 1.0


class Publisher:
    """Writes snapshots from a thread of its own while its `with` block runs, and a last one at the end."""

    def __init__(self, folder: Path, take: Callable[[], Snapshot]) -> None:
        self._path = folder / LIVE
        self._take = take
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="evoae-live", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self.renew()

    def _run(self) -> None:
        while not self._is_over.wait(_INTERVAL_S):
            self.renew()

    def renew(self) -> None:
        """Write the snapshot of now. Callable from any thread."""
        # A view that cannot be written (disk full) must not end a search: what matters is in the database.
        with contextlib.suppress(OSError):
            write_whole(self._path, msgspec.json.encode(self._take()), is_synced=False)
