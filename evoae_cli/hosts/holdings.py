"""What a link has borrowed, and where each of its loans is on its way to a worker and back."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable

from evoae_cli.hosts import wire


class Holding:
    """A loan here. The broker knows it by `local_id`."""

    __slots__ = ("is_fetching", "loan", "local_id", "session")

    def __init__(self, loan: wire.Loan, session: bytes, local_id: int) -> None:
        self.loan = loan
        self.session = session
        self.local_id = local_id
        self.is_fetching = False


class Holdings:
    """The loans of one link. All methods may be called from any thread.

    A loan is held until the other side has taken its result, has said that nobody waits for it, or has given the link
    up. One that a worker runs by then is no longer held, and yet known: its result is late, and counted by its owner.
    `new_id` gives numbers that no other task of the broker has.
    """

    def __init__(self, new_id: Callable[[], int]) -> None:
        self._new_id = new_id
        # All mutable state, under the lock.
        self._lock = threading.Lock()
        self._held: dict[int, Holding] = {}
        self._known: dict[int, Holding] = {}
        self._to_fetch: deque[Holding] = deque()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def n_fetching(self) -> int:
        """Loans whose files are not here yet."""
        return len(self._to_fetch)

    def add(self, loans: Iterable[wire.Loan], session: bytes, has_files: Collection[str]) -> list[Holding]:
        """Take loans in; those are returned whose files are all among `has_files`, the others wait to be fetched."""
        ready = []
        with self._lock:
            for loan in loans:
                holding = Holding(loan, session, self._new_id())
                self._held[loan.id] = self._known[holding.local_id] = holding
                if all(fingerprint in has_files for fingerprint in loan.inputs):
                    ready.append(holding)
                else:
                    holding.is_fetching = True
                    self._to_fetch.append(holding)
        return ready

    def ids(self, running: Collection[int]) -> tuple[list[int], list[int]]:
        """Ids of all loans that are held, and of those of them whose local id is among `running`."""
        with self._lock:
            held = list(self._held)
            return held, [number for number, holding in self._held.items() if holding.local_id in running]

    def local_ids(self, loans: Collection[int] | None = None) -> list[int]:
        """The local ids of these loans, as far as they are held; of all without `loans`."""
        with self._lock:
            numbers = list(self._held) if loans is None else loans
            return [self._held[number].local_id for number in numbers if number in self._held]

    def known(self, local_id: int) -> Holding | None:
        """The loan that a result is of."""
        return self._known.get(local_id)

    def next_to_fetch(self) -> Holding | None:
        """The first loan whose files are not here; it stays the first until it is `fetched` or given up."""
        with self._lock:
            return self._to_fetch[0] if self._to_fetch else None

    def fetched(self, holding: Holding) -> bool:
        """Its files are here now; False if it was given up meanwhile."""
        with self._lock:
            if not holding.is_fetching:
                return False
            holding.is_fetching = False
            self._to_fetch.remove(holding)
            return True

    def forget(self, local_ids: Iterable[int]) -> None:
        """Their results have been taken, or no worker has begun them and nobody waits for them."""
        with self._lock:
            for local_id in local_ids:
                holding = self._known.pop(local_id, None)
                if holding is not None:
                    self._give_up(holding)

    def give_up_fetching(self, local_ids: Iterable[int]) -> None:
        """Forget those of them whose files are not here."""
        with self._lock:
            for local_id in local_ids:
                holding = self._known.get(local_id)
                if holding is not None and holding.is_fetching:
                    del self._known[local_id]
                    self._give_up(holding)

    def give_up(self, local_ids: Iterable[int]) -> None:
        """Nobody waits for them any more, though workers run some."""
        with self._lock:
            for local_id in local_ids:
                holding = self._known.get(local_id)
                if holding is not None:
                    self._give_up(holding)

    def _give_up(self, holding: Holding) -> None:
        # Another session may have given a loan of this number since.
        if self._held.get(holding.loan.id) is holding:
            del self._held[holding.loan.id]
        if holding.is_fetching:
            holding.is_fetching = False
            self._to_fetch.remove(holding)
