"""The engine of a host among others, with real worker processes and a helper that is threads in this process."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from parts import HERE, KEY, Crew, Owner, stopping, until

from evoae_cli.app.hosts import hosts_lines
from evoae_cli.bench.network_host import NOOP, BareFreight
from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Task
from evoae_cli.engine.linked import LinkedEngine
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.engine.protocol import HelperView
from evoae_cli.hosts import wire
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.appetite import Appetite, Hands
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.host import Host, Means
from evoae_cli.hosts.line import Line
from evoae_cli.hosts.link import Link


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[Depot]:
    with Depot(tmp_path, "", str) as found:
        yield found


def hosts_of(engine: LinkedEngine, n: int) -> set[str]:
    """Where the next `n` results come from: names of hosts, and of workers here."""
    found: list[str] = []
    while len(found) < n:
        result = engine.next_result()
        if result is not None:
            found.append(result.worker.partition("/")[0])
    return set(found)


def test_results_come_from_here_and_from_elsewhere_and_news_is_told(depot: Depot, tmp_path: Path) -> None:
    host = Host(key=KEY, name="owner", listen=Address("127.0.0.1", 0))
    assert host.address is not None
    local = LocalEngine([WorkerSpec(device="cpu", threads=1)], NOOP)
    engine = LinkedEngine(local, host, BareFreight(), depot, "a search")
    engine.start()
    broker = Broker(10.0)
    with Depot(tmp_path, "", str) as theirs:
        appetite = Appetite(broker, lambda: Hands(2, "a processor"))
        told: list[str] = []
        link = Link(
            *(broker, host.address, KEY, BareFreight(), theirs, appetite), name="helper", beat_s=0.1, tell=told.append
        )
        crew = Crew(broker, 2, lambda payload: b"")
        link.start()
        until(lambda: engine.view().helpers and engine.view().workers[0].state == "idle")
        view = engine.view()
        assert view.helpers == (HelperView(name="helper", hardware="a processor", n_workers=2),)
        assert (view.n_workers, view.n_hands) == (1, 3)
        payload = b'{"sleep_s":0.02}'
        engine.submit([Task(id=number, payload=payload, may_travel=True) for number in range(60)])
        workers = hosts_of(engine, 60)
        assert len(workers) == 2
        assert "helper" in workers
        assert engine.take_news() == ["helper helps with 2 workers"]
        assert engine.take_news() == []
        engine.stop()
        engine.stop()
        until(lambda: "a search has ended" in told)
        link.stop()
        crew.stop()


def test_a_host_that_is_kept_keeps_those_who_help_from_one_engine_to_the_next(tmp_path: Path) -> None:
    """They are not told of an end, nor left without an answer, until there is no more to come."""
    host = Host(key=KEY, name="owner", listen=HERE)
    assert host.address is not None
    broker, told = Broker(10.0), list[str]()
    with Depot(tmp_path / "theirs", "", str) as theirs:
        appetite = Appetite(broker, lambda: Hands(2, "a processor"))
        link = Link(
            *(broker, host.address, KEY, BareFreight(), theirs, appetite), name="helper", beat_s=0.1, tell=told.append
        )
        crew = Crew(broker, 2, lambda payload: b"")
        link.start()
        for number in (1, 2):
            local = LocalEngine([WorkerSpec(device="cpu", threads=1)], NOOP)
            engine = LinkedEngine(local, host, BareFreight(), Depot(tmp_path / str(number), "", str), f"study {number}")
            host.is_kept = True
            engine.start()
            until(lambda engine=engine: engine.view().helpers and engine.view().workers[0].state == "idle")
            engine.submit([Task(id=n, payload=b'{"sleep_s":0.02}', may_travel=True) for n in range(60)])
            workers = hosts_of(engine, 60)
            assert "helper" in workers
            engine.stop()
            n_told = len(told)
            # Several heartbeats, in which it is answered.
            with pytest.raises(AssertionError):
                until(lambda n_told=n_told: len(told) > n_told or link.view().trouble, 0.5)
        assert told[-1].startswith("helping study 2 at ")
        host.stop()
        until(lambda: "study 2 has ended" in told)
        link.stop()
        crew.stop()


def test_people_can_ask_whom_a_host_helps(depot: Depot) -> None:
    owner = Owner()
    address = owner.serving.address
    host = Host(key=KEY, name="another", listen=HERE, links=[address])
    broker = Broker(10.0)
    means = Means(
        broker=broker,
        freight=BareFreight(),
        depot=depot,
        hands=lambda: Hands(1, "a processor"),
        title="another search",
        tell=lambda line: None,
        on_loss=lambda lost: None,
        on_change=lambda: None,
    )
    with stopping(owner, host):
        host.attach(means)
        until(lambda: owner.lender.n_guests == 1 and host.links()[0].name)
        assert host.address is not None
        with closing(Line(host.address, KEY, 5.0)) as line:
            about = line.ask(wire.Ask(), wire.About)
        assert about.helped == [wire.Helped("the search", str(address), 0, "")]
        lines = hosts_lines([(host.address, about)], 200)
        assert [line.split()[:4] for line in lines[1:]] == [
            ["another", "search", str(host.address), "1"],
            ["helps", "the", "search", str(address)],
        ]
