"""A host among others: an engine whose tasks other hosts run too, and workers that have no tasks of their own."""

from collections.abc import Callable, Sequence
from types import TracebackType

import msgspec

from evoae_cli.broker.task import Lost, Task, TaskResult
from evoae_cli.engine.local import LocalEngine, local_engine
from evoae_cli.engine.notes import Notes
from evoae_cli.engine.protocol import EngineView, HelperView, WorkerLoss, WorkerView, loss_of
from evoae_cli.engine.terms import MakeEngine, Terms
from evoae_cli.errors import EvoaeError
from evoae_cli.hosts.appetite import Hands
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.freight import Freight
from evoae_cli.hosts.host import Host, Means
from evoae_cli.hosts.link import LinkView


def hands_of(engine: LocalEngine) -> Hands:
    """The workers of an engine that have loaded, and what they compute on."""
    ready = [worker for worker in engine.view().workers if worker.state in ("idle", "training")]
    return Hands(len(ready), ready[0].hardware if ready else "")


def _means(
    local: LocalEngine, freight: Freight, depot: Depot, news: Notes[str], title: str, on_loss: Callable[[Lost], None]
) -> Means:
    """What `local` gives its host to work with."""
    return Means(
        broker=local.broker,
        freight=freight,
        depot=depot,
        hands=lambda: hands_of(local),
        title=title,
        tell=news.add,
        on_loss=on_loss,
        on_change=local.wake,
    )


class LinkedEngine:
    """A `LocalEngine` whose broker `host` shares with others; satisfies `engine.protocol.Engine`.

    It owns both, and `depot`: `stop` ends them all, but a host that is kept for another engine.
    """

    def __init__(self, local: LocalEngine, host: Host, freight: Freight, depot: Depot, title: str) -> None:
        self._local = local
        self._host = host
        self._freight = freight
        self._depot = depot
        self._title = title
        self._news: Notes[str] = Notes(local.wake)
        self._losses: Notes[WorkerLoss] = Notes(local.wake)
        self._is_stopped = False

    def start(self) -> None:
        """Start the workers, and let other hosts in. Raises EvoaeError if the workers' logs cannot be written."""
        self._local.start()
        self._host.attach(_means(self._local, self._freight, self._depot, self._news, self._title, self._keep_loss))

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those already waiting."""
        self._local.submit(tasks)

    def next_result(self, *, is_waiting: bool = True) -> TaskResult | None:
        """Block until a task has ended, here or elsewhere, and return its result."""
        return self._local.next_result(is_waiting=is_waiting)

    def wake(self) -> None:
        """Make one `next_result` return None. Safe to call from a signal handler."""
        self._local.wake()

    def resize(self, n: int) -> None:
        """Have `n` workers on this host from now on."""
        self._local.resize(n)

    def take_losses(self) -> list[WorkerLoss]:
        """The workers lost since the last call, here and elsewhere."""
        return [*self._local.take_losses(), *self._losses.take()]

    def take_news(self) -> list[str]:
        """Hosts that came, went, or could not be reached since the last call."""
        return self._news.take()

    def withdraw(self) -> int:
        """Take back every task that no worker runs, here or elsewhere."""
        return self._local.withdraw()

    def view(self) -> EngineView:
        """What is going on now."""
        view = self._local.view()
        helpers = tuple(
            HelperView(name=guest.name, hardware=guest.hardware, n_workers=guest.n_workers, n_tasks=guest.n_held)
            for guest in self._host.guests()
        )
        return msgspec.structs.replace(view, helpers=helpers)

    def stop(self) -> None:
        """End all workers of this host at once, and all links. Idempotent."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self._host.detach()
        self._local.stop()
        self._depot.close()

    def __repr__(self) -> str:
        return f"<LinkedEngine {self._local!r}, {len(self._host.guests())} helpers>"

    def _keep_loss(self, lost: Lost) -> None:
        log = "" if lost.result is None else lost.result.log
        self._losses.add(loss_of(lost, worker=lost.lease.worker, log=log))


def among(host: Host) -> MakeEngine:
    """Makes the engine of this host among others; unless it is kept, `host` belongs to it from then on."""

    def make(terms: Terms) -> LinkedEngine:
        return LinkedEngine(local_engine(terms), host, terms.freight, terms.make_files().with_outputs(), terms.title)

    return make


class Helping:
    """Workers of this host for others' tasks alone, from entering to leaving the block.

    It owns its parts, and ends them.
    """

    def __init__(self, local: LocalEngine, host: Host, freight: Freight, depot: Depot) -> None:
        self._local = local
        self._host = host
        self._freight = freight
        self._depot = depot
        self._news: Notes[str] = Notes(local.wake)

    def __enter__(self) -> "Helping":
        self._local.start()
        self._host.attach(_means(self._local, self._freight, self._depot, self._news, "", lambda lost: None))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._host.stop()
        self._local.stop()
        self._depot.close()

    def wait(self) -> None:
        """Wait until something has happened. Raises EvoaeError when no worker can start."""
        self._local.next_result()

    def wake(self) -> None:
        """End a wait, also from a signal handler."""
        self._local.wake()

    def take_news(self) -> list[str]:
        """What people should know since the last call."""
        return self._news.take()

    def drain(self) -> None:
        """Borrow nothing more, and give back what no worker has begun."""
        self._host.drain()

    @property
    def n_held(self) -> int:
        """Tasks that are here."""
        return self._host.n_held

    @property
    def n_done(self) -> int:
        """Tasks that have ended here."""
        return self._local.broker.counts().n_helped

    @property
    def is_needed(self) -> bool:
        """Whether there is a link that may bring work."""
        return self._host.is_needed

    @property
    def failures(self) -> list[EvoaeError]:
        """Why links have failed."""
        return self._host.failures

    def workers(self) -> tuple[WorkerView, ...]:
        """The workers at this moment."""
        return self._local.view().workers

    def links(self) -> list[LinkView]:
        """Whom they help."""
        return self._host.links()
