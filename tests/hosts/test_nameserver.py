"""Brokers find each other through a nameserver, which may go and come."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts import HERE, KEY, Helper, Owner, job, stopping, until

from evoae_cli.hosts import wire
from evoae_cli.hosts.address import EVERYWHERE, LOOPBACK, Address, seen_through
from evoae_cli.hosts.host import own_address
from evoae_cli.hosts.line import Line, RefusedError
from evoae_cli.hosts.link import Link
from evoae_cli.hosts.nameserver import Nameserver
from evoae_cli.hosts.neighbours import Neighbours
from evoae_cli.hosts.registration import Registration
from evoae_cli.hosts.serving import Serving


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def register(port: int, host: str = "") -> wire.Register:
    return wire.Register(f"broker {port}", host, port)


def test_brokers_are_listed_where_they_are_until_they_miss_their_window() -> None:
    clock = Clock()
    told: list[str] = []
    names = Nameserver(told.append, window_s=10.0, clock=clock)
    first, second = (names.answer(register(port), "10.0.0.4") for port in (7001, 7002))
    assert isinstance(first, wire.Registered)
    assert isinstance(second, wire.Registered)
    assert first.id != second.id
    third = names.answer(register(7003, "gpu-3"), "10.0.0.9")
    assert isinstance(third, wire.Registered)
    found = [(broker.host, broker.port) for broker in names.brokers().brokers]
    assert found == [("10.0.0.4", 7001), ("10.0.0.4", 7002), ("gpu-3", 7003)]
    for now in (4.0, 8.0, 12.0):
        clock.now = now
        assert names.answer(wire.Beat(second.id, wire.Standing(n_queued=5)), "10.0.0.4") == wire.Taken()
        names.sweep()
    (left,) = names.brokers().brokers
    assert (left.port, left.standing.n_queued) == (7002, 5)
    assert told[3:] == [
        "broker 7001 at 10.0.0.4:7001 was silent for 10 s and is dropped",
        "broker 7003 at gpu-3:7003 was silent for 10 s and is dropped",
    ]
    # It is told to register again when it returns.
    refused = names.answer(wire.Beat(first.id, wire.Standing()), "10.0.0.4")
    assert isinstance(refused, wire.Refused)
    assert refused.kind == "unknown"
    assert names.answer(wire.Unregister(second.id), "10.0.0.4") == wire.Taken()
    assert names.brokers().brokers == []


def test_a_pause_of_the_nameserver_costs_no_broker_its_place() -> None:
    clock = Clock()
    names = Nameserver(lambda line: None, window_s=10.0, clock=clock)
    names.answer(register(7001), "10.0.0.4")
    names.sweep()
    clock.now = 100.0
    names.sweep()
    assert len(names.brokers().brokers) == 1
    for now in (104.0, 108.0, 112.0):
        clock.now = now
        names.sweep()
    assert names.brokers().brokers == []


def test_a_broker_that_was_restarted_is_listed_once() -> None:
    told: list[str] = []
    names = Nameserver(told.append)
    names.answer(register(7001), "10.0.0.4")
    names.answer(register(7001), "10.0.0.4")
    assert len(names.brokers().brokers) == 1
    assert told == ["broker 7001 at 10.0.0.4:7001 is there", "broker 7001 at 10.0.0.4:7001 is there again"]


@pytest.fixture
def names() -> Iterator["Names"]:
    found = Names()
    yield found
    found.stop()


class Names:
    """A nameserver that can be stopped and started."""

    def __init__(self) -> None:
        self.address = HERE
        self.told: list[str] = []
        self.start()

    def start(self) -> None:
        self.core = Nameserver(self.told.append, window_s=2.0)
        self.serving = Serving(self.address, KEY, self.core.answer, self.core.sweep, sweep_s=0.1)
        self.address = self.serving.address

    def stop(self) -> None:
        self.serving.stop()


def registered(names: Names, owner: Owner) -> Registration:
    address, standing = owner.serving.address, owner.lender.standing
    return Registration(names.address, KEY, address, "the search", standing, owner.told.append, beat_s=0.1)


def neighbours(names: Names, helper: Helper) -> Neighbours:
    def make(address: Address) -> Link:
        return helper.another_link(address)

    return Neighbours(make, nameserver=(names.address, KEY), served=None, tell=helper.told.append, look_s=0.1)


def test_a_host_helps_all_brokers_that_are_registered(names: Names, tmp_path: Path) -> None:
    owners = [Owner() for _ in range(3)]
    registrations = [registered(names, owner) for owner in owners]
    helper = Helper(None, tmp_path, n=4)
    around = neighbours(names, helper)
    with stopping(*owners, *registrations, helper, around):
        for owner in owners:
            owner.broker.submit([job(number) for number in range(40)])
        for owner in owners:
            owner.collect(40)
        assert len(around.views()) == 3
    assert sum("has gone" in line for line in names.told) == 3


def test_a_restarted_nameserver_hurts_nobody_and_learns_all_again(names: Names, tmp_path: Path) -> None:
    owner = Owner()
    registration = registered(names, owner)
    helper = Helper(None, tmp_path, n=2)
    around = neighbours(names, helper)
    with stopping(owner, registration, helper, around):
        owner.broker.submit([job(number) for number in range(20)])
        owner.collect(20)
        names.stop()
        owner.broker.submit([job(number) for number in range(20, 40)])
        owner.collect(20)
        until(lambda: any("trying again" in line for line in owner.told))
        names.start()
        until(lambda: names.core.brokers().brokers)
        until(lambda: f"nameserver {names.address} is there again" in owner.told)
        owner.broker.submit([job(number) for number in range(40, 60)])
        owner.collect(20)
        assert owner.broker.counts().n_reclaimed == 0
        assert len(around.views()) == 1


def test_a_host_whose_broker_is_gone_finds_another(names: Names, tmp_path: Path) -> None:
    first, second = Owner(), Owner()
    old = registered(names, first)
    helper = Helper(None, tmp_path, n=2)
    around = neighbours(names, helper)
    with stopping(first, second, helper, around):
        first.broker.submit([job(1)])
        first.collect(1)
        # As if its process had been killed: nothing is said.
        first.serving.stop()
        old._is_stopping.set()
        until(lambda: not names.core.brokers().brokers)
        new = registered(names, second)
        with stopping(new):
            second.broker.submit([job(2)])
            second.collect(1)
            until(lambda: [view.address for view in around.views()] == [str(second.serving.address)])
        old.stop()


def test_a_broker_is_no_nameserver_and_a_nameserver_no_broker(names: Names) -> None:
    owner = Owner()
    with stopping(owner):
        for address, request in (
            (names.address, wire.Hello("a", "0.1.0", 1)),
            (owner.serving.address, wire.Find()),
            (owner.serving.address, register(7001)),
        ):
            line = Line(address, KEY, 5.0)
            with pytest.raises(RefusedError, match=r"this is a (nameserver|broker); what was asked is for a"):
                line.ask(request, wire.Taken)
            line.close()


def test_a_link_that_cannot_work_is_not_made_again_and_again(names: Names, tmp_path: Path) -> None:
    owner = Owner()
    registration = registered(names, owner)
    helper = Helper(None, tmp_path)
    made: list[Address] = []

    def make(address: Address) -> Link:
        made.append(address)
        return helper.another_link(address, b"j" * 40)

    around = Neighbours(make, nameserver=(names.address, KEY), served=None, tell=helper.told.append, look_s=0.05)
    with stopping(owner, registration, helper, around):
        until(lambda: around.failures)
        time.sleep(0.5)
        assert made == [owner.serving.address]


def test_the_same_broker_is_linked_once_however_many_ask_for_it(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(None, tmp_path, n=2)
    made = []

    def make(address: Address) -> Link:
        made.append(helper.another_link(address))
        return made[-1]

    around = Neighbours(make, nameserver=None, served=None, tell=helper.told.append)
    with stopping(owner, helper, around):
        barrier = threading.Barrier(8)

        def ask() -> None:
            barrier.wait()
            around.link_to(owner.serving.address)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        owner.broker.submit([job(number) for number in range(20)])
        owner.collect(20)


def test_a_broker_that_two_addresses_lead_to_is_linked_once(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(None, tmp_path, n=2)
    around = Neighbours(helper.another_link, nameserver=None, served=None, tell=helper.told.append, look_s=0.05)
    by_name = Address("localhost", owner.serving.address.port)
    with stopping(owner, helper, around):
        around.link_to(owner.serving.address)
        until(lambda: owner.lender.n_guests == 1)
        around.link_to(by_name)
        until(lambda: "helper (2) has left" in owner.told)
        around.link_to(by_name)
        assert [view.address for view in around.views()] == [str(owner.serving.address)]


def test_a_link_to_a_search_that_has_ended_is_ended(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(None, tmp_path, n=2)
    around = Neighbours(helper.another_link, nameserver=None, served=None, tell=helper.told.append, look_s=0.05)
    with stopping(owner, helper, around):
        around.link_to(owner.serving.address)
        until(lambda: owner.lender.n_guests == 1)
        owner.lender.finish()
        until(lambda: not around.views())
        until(lambda: owner.lender.n_guests == 0)


def test_a_link_that_was_asked_for_stays_though_the_nameserver_does_not_know_it(names: Names, tmp_path: Path) -> None:
    owner = Owner()
    address = owner.serving.address
    helper = Helper(None, tmp_path)
    around = neighbours(names, helper)
    with stopping(helper, around):
        around.link_to(address)
        until(lambda: owner.lender.n_guests == 1)
        owner.stop()
        until(lambda: any(view.trouble for view in around.views()))
        # Some looks at the nameserver later it still tries.
        time.sleep(0.5)
        assert [view.address for view in around.views()] == [str(address)]


def test_a_broker_on_the_nameserver_s_host_is_sought_there() -> None:
    assert seen_through(Address("gpu-1", 7070), "127.0.0.1", 7077) == Address("gpu-1", 7077)
    assert seen_through(Address("gpu-1", 7070), "10.0.0.7", 7077) == Address("10.0.0.7", 7077)
    assert seen_through(Address("127.0.0.1", 7070), "127.0.0.1", 7077) == Address("127.0.0.1", 7077)
    # A name that its own host knows under a number for itself alone.
    assert own_address(Address(LOOPBACK, 7070)) == LOOPBACK
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Address, "is_loopback", property(lambda self: self.host == LOOPBACK))
        assert own_address(Address("127.0.1.1", 7070)) == EVERYWHERE
