"""The files that borrowed tasks need: brought from the host that lent them, one task after the other."""

import threading
from collections.abc import Callable
from functools import partial

from evoae_cli.errors import EvoaeError
from evoae_cli.hosts import wire
from evoae_cli.hosts.caller import UnreachableError, WrongKeyError
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.holdings import Holding, Holdings
from evoae_cli.hosts.line import Line, RefusedError


class Fetches:
    """Brings the files of the loans that wait for them into `depot`, over `line`. One thread calls `step`.

    `on_here` gets a loan whose files are here, `on_failure` one whose files cannot be had, and why. A step ends after
    `patience_s` where nothing is to be fetched.
    """

    def __init__(
        self,
        holdings: Holdings,
        line: Line,
        depot: Depot,
        lender: str,
        tell: Callable[[str], None],
        patience_s: float,
        *,
        on_here: Callable[[Holding], None],
        on_failure: Callable[[Holding, str], None],
    ) -> None:
        self.line = line
        self._holdings = holdings
        self._depot = depot
        self._lender = lender
        self._tell = tell
        self._patience_s = patience_s
        self._on_here = on_here
        self._on_failure = on_failure
        self._has_news = threading.Event()

    def wake(self) -> None:
        """There is something to fetch, or an end."""
        self._has_news.set()

    def step(self) -> None:
        """Bring the files of one loan, or wait for one. Raises what `Line.ask` raises; the next step tries again."""
        holding = self._holdings.next_to_fetch()
        if holding is None:
            self._has_news.wait(self._patience_s)
            self._has_news.clear()
            return
        try:
            for fingerprint in holding.loan.inputs:
                if self._depot.find(fingerprint) is None:
                    self._tell(f"fetching images from {self._lender}")
                    self._depot.fetch(fingerprint, partial(self._part, holding, fingerprint))
        except (UnreachableError, WrongKeyError):
            raise
        except RefusedError as error:
            if error.kind in ("unknown", "gone"):
                # Nobody waits for it any more; what that means for others, the polls find out.
                self._holdings.give_up_fetching([holding.local_id])
            elif error.kind == "wrong" and self._holdings.fetched(holding):
                self._on_failure(holding, str(error))
            else:
                raise
        except (EvoaeError, OSError) as error:
            if self._holdings.fetched(holding):
                self._on_failure(holding, str(error))
        else:
            if self._holdings.fetched(holding):
                self._on_here(holding)

    def _part(self, holding: Holding, fingerprint: str, offset: int) -> tuple[bytes, int]:
        part = self.line.ask(wire.Fetch(holding.session, fingerprint, offset), wire.Part)
        return part.data, part.size
