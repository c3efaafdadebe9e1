"""Which actors there are: how many are wanted, who is hired and who is let go, and which nodes get none for a while."""

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from evoae_cli.engine.rayed.cluster import Cluster
from evoae_cli.engine.rayed.hand import Hand
from evoae_cli.engine.rayed.inside import Orders
from evoae_cli.engine.terms import Terms
from evoae_cli.errors import EvoaeError, UsageError

MAX_FRUITLESS = 3
"""Actors in a row, for each worker that is wanted, that may die before they have loaded, before all is given up."""
BARRED_S = 600.0
"""How long a node gets no tasks after it could not run one."""
_MOST_BURIED = 2
"""Actors in a row that may die so on one node before others are tried alone."""
_FOR_RUNNERS = "EVOAE_BENCH_"
"""Variables so named tell runners what to do, and go wherever these are."""
_MOST_DOUBLINGS = 6
"""Of the second between attempts that all fail."""


class Roster:
    """The actors of a crew. It belongs to the crew's loop; other threads may read `hands` and write `n_asked`.

    `on_hired` is called with each actor that is new, `on_change` when the cluster has room for another number of
    workers, `tell` with one line for people.
    """

    def __init__(
        self,
        terms: Terms,
        cluster: Cluster,
        *,
        on_hired: Callable[[Hand], None],
        on_change: Callable[[], None],
        tell: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._terms = terms
        self._cluster = cluster
        self._on_hired = on_hired
        self._on_change = on_change
        self._tell = tell
        self._clock = clock
        # All mutable state, replaced as a whole where other threads read it.
        self.hands: Mapping[str, Hand] = {}
        """By name."""
        self.n_asked = terms.n_workers
        """As many as people want; None: as many as there is room for."""
        self._n_room = terms.n_workers or 1
        self._n_named = 0
        self._n_fruitless = 0
        self._hire_at = 0.0
        self._is_short = False
        self._barred_until: dict[str, float] = {}
        self._n_buried: Counter[str] = Counter()
        """Actors in a row that have died on a node before they had loaded."""

    @property
    def n_wanted(self) -> int:
        """How many workers there are to be."""
        return self.n_asked if self.n_asked is not None else self._n_room

    @property
    def n_room(self) -> int:
        """How many the cluster has room for; 1 where it has none, since one is waited for."""
        return self._n_room

    @property
    def device(self) -> str:
        """What an actor computes on: Ray shows it only the GPUs that it has."""
        return "cuda:0" if self._cluster.needs.gpus else "cpu"

    def adjust(self) -> None:
        """Hire those that are missing and let those go that are too many, for what the cluster has now."""
        now = self._clock()
        self._barred_until = {node: until for node, until in self._barred_until.items() if now < until}
        self._see(self._cluster.room(self._barred_until))
        for hand in list(self.hands.values()):
            if hand.node in self._barred_until:
                self._let_go(hand)
        staying = [hand for hand in self.hands.values() if hand.state != "draining"]
        if len(staying) > self.n_wanted:
            for hand in self._expendable(staying)[: len(staying) - self.n_wanted]:
                self._let_go(hand)
        if now >= self._hire_at:
            for _ in range(self.n_wanted - len(staying)):
                self._hire(now)

    def dismiss(self, hand: Hand) -> None:
        """End an actor at once, whatever it runs. Whoever waits for a call of its hears nothing more."""
        self.hands = {name: each for name, each in self.hands.items() if each is not hand}
        hand.state = "lost"
        self._cluster.dismiss(hand.actor)

    def disband(self) -> None:
        """End all actors."""
        for hand in self.hands.values():
            self.dismiss(hand)

    def bar(self, hand: Hand, reason: str) -> bool:
        """Give a node that could not run a task no more for a while; False where there is no other that could."""
        barred_until = {**self._barred_until, hand.node: self._clock() + BARRED_S}
        if self._cluster.answers() and not self._cluster.room(barred_until):
            return False
        self._barred_until = barred_until
        self._tell(f"{hand.host} cannot run tasks and gets none for {BARRED_S / 60:g} min: {reason}")
        self.dismiss(hand)
        return True

    def bury(self, hand: Hand, reason: str) -> None:
        """An actor has died before it had loaded. Raises EvoaeError where that is so again and again."""
        if not hand.node and self._cluster.answers():
            # It could not be made there, as where evoae is missing, and so has not told where it is.
            hand.node, hand.host = self._cluster.whereabouts(hand.actor)
        if hand.node:
            self._n_buried[hand.node] += 1
            # It would be chosen again and again, since nothing runs there.
            if self._n_buried[hand.node] >= _MOST_BURIED and self.bar(hand, reason):
                return
        self.dismiss(hand)
        self._n_fruitless += 1
        # Others may still load elsewhere: that a node cannot, or is lost, does not end the search.
        is_hopeless = self._n_fruitless >= MAX_FRUITLESS * self.n_wanted
        if is_hopeless and all(each.state == "starting" for each in self.hands.values()):
            raise EvoaeError(f"no worker can start on Ray; attempt {self._n_fruitless}: {reason}")
        if self._n_fruitless == MAX_FRUITLESS:
            self._tell(f"{MAX_FRUITLESS} workers in a row could not start on Ray; others are tried: {reason}")
        if self._n_fruitless >= MAX_FRUITLESS:
            self._hire_at = self._clock() + 2.0 ** min(self._n_fruitless - MAX_FRUITLESS, _MOST_DOUBLINGS)

    def begin(self, hand: Hand, hardware: str) -> None:
        """An actor has loaded."""
        hand.hardware, hand.is_ready_by, hand.state = hardware, math.inf, "idle"
        self._n_fruitless = 0
        self._n_buried.pop(hand.node, None)

    def _see(self, room: int) -> None:
        if not room and not self._is_short:
            line = (
                f"Ray has no room for a worker, which needs {self._cluster.needs}: it has {self._cluster.described()}"
            )
            if self._cluster.is_own and not self._barred_until:
                # No node will ever come.
                raise UsageError(f"{line}; make room, ask for less, or give the --ray-address of a larger cluster")
            self._tell(f"{line}; waiting for nodes")
        self._is_short = not room
        if self._n_room != max(1, room):
            self._n_room = max(1, room)
            self._on_change()

    def _expendable(self, hands: Sequence[Hand]) -> list[Hand]:
        """The same in the order in which they are let go.

        First those whose node is lost, which Ray may tell of them only later; then those that are not there yet, and
        those that have nothing to do; in each case the latest first.
        """
        nodes = self._cluster.nodes()
        rank = {"starting": 0, "idle": 1}
        latest_first = hands[::-1]
        return sorted(latest_first, key=lambda hand: (not hand.node or hand.node in nodes, rank.get(hand.state, 2)))

    def _let_go(self, hand: Hand) -> None:
        """End an actor, when it has finished what it runs."""
        if hand.lease is None:
            self.dismiss(hand)
        else:
            hand.state = "draining"

    def _hire(self, now: float) -> None:
        self._n_named += 1
        orders = Orders(
            runner=self._terms.runner,
            device=self.device,
            threads=self._terms.specs[0].threads,
            environ={name: value for name, value in os.environ.items() if name.startswith(_FOR_RUNNERS)},
            freight=self._terms.freight,
            make_files=self._terms.make_files,
        )
        hand = Hand(f"ray-{self._n_named}", self._cluster.hire(orders, self._barred_until), now)
        self.hands = {**self.hands, hand.name: hand}
        self._on_hired(hand)
