"""A real server on a real socket, with and without the key, spoken to well and badly."""

import contextlib
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Client
from multiprocessing.managers import BaseManager
from typing import Any
from xmlrpc import client as xml

import pytest

from evoae_cli.errors import UsageError
from evoae_cli.hosts import manager
from evoae_cli.hosts.address import LOOPBACK, Address
from evoae_cli.hosts.caller import Caller, UnreachableError, WrongKeyError
from evoae_cli.hosts.manager import ManagerServer

KEY = b"k" * 40
HERE = Address(LOOPBACK, 0)


ENTER = xml.dumps(((None, "accept_connection", ("x",), {}),), None, None, None, True).encode()


def backwards(message: bytes, host: str) -> bytes:
    return message[::-1] + host.encode()


@pytest.fixture
def server() -> Iterator[ManagerServer]:
    found = ManagerServer(HERE, KEY, backwards)
    yield found
    found.stop()


def called(address: Address, message: bytes, *, key: bytes = KEY, patience_s: float = 5.0) -> bytes:
    """The answer to a single call."""
    with contextlib.closing(Caller(address, key, patience_s)) as caller:
        return caller.call(message)


def until(is_so: Any, timeout_s: float = 20.0) -> None:
    """Wait for what another thread does."""
    give_up_at = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_bytes_go_there_and_back_whatever_they_are(server: ManagerServer) -> None:
    caller = Caller(server.address, KEY, 5.0)
    for message in (b"", b"abc", bytes(range(256)), b"<!DOCTYPE x>", b"x" * 1_000_000):
        assert caller.call(message) == backwards(message, LOOPBACK)
    assert server.n_connections == 1
    caller.close()
    until(lambda: server.n_connections == 0)
    assert server.n_turned_away == 0


def test_another_key_is_told_in_one_line_and_nothing_is_answered(server: ManagerServer) -> None:
    with pytest.raises(WrongKeyError, match=f"^{LOOPBACK}:[0-9]+ has another key; give the file .* --key-file FILE$"):
        called(server.address, b"abc", key=b"j" * 40)
    until(lambda: server.n_turned_away == 1)


def test_the_side_that_calls_asks_for_the_key_too() -> None:
    """A stranger that listens there must not be told anything."""
    stranger = ManagerServer(HERE, b"s" * 40, backwards)
    with pytest.raises(WrongKeyError):
        called(stranger.address, b"abc")
    stranger.stop()


def test_the_managers_own_methods_are_no_peers_to_call(server: ManagerServer) -> None:
    class Theirs(BaseManager):
        pass

    host, port = server.address
    theirs = Theirs((host, port), authkey=KEY, serializer="xmlrpclib")
    # `connect` calls `dummy`.
    with pytest.raises((EOFError, OSError)):
        theirs.connect()
    requests: list[Any] = [(None, "shutdown", (), {}), (None, "create", ("broker",), {}), (None, "debug_info", (), {})]
    for request in requests:
        connection = Client((host, port), authkey=KEY)
        connection.send_bytes(xml.dumps((request,), None, None, None, True).encode())
        with pytest.raises((EOFError, OSError)):
            connection.recv_bytes()
        connection.close()
    assert called(server.address, b"ab") == b"ba" + LOOPBACK.encode()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x80\x04K\x01.",
        b"\xff\xfe",
        b"<params><param><value><int>1</int></value></param></params>",
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><params><param><value>&a;</value></param></params>",
        xml.dumps((["broker", "call", ["text"], {}],)).encode(),
        xml.dumps((["broker", "call", [b"a", b"b"], {}],)).encode(),
        xml.dumps((["broker", "__class__", [b"a"], {}],)).encode(),
        xml.dumps((["0", "call", [b"a"], {}],)).encode(),
    ],
)
def test_what_is_no_call_ends_the_connection_and_no_other(server: ManagerServer, frame: bytes) -> None:
    good = Caller(server.address, KEY, 5.0)
    good.call(b"a")
    connection = Client((server.address.host, server.address.port), authkey=KEY)
    connection.send_bytes(xml.dumps(((None, "accept_connection", ("x",), {}),), None, None, None, True).encode())
    connection.recv_bytes()
    connection.send_bytes(frame)
    with pytest.raises((EOFError, OSError)):
        connection.recv_bytes()
    connection.close()
    assert good.call(b"ab") == b"ba" + LOOPBACK.encode()
    good.close()
    until(lambda: server.n_turned_away == 1)


@pytest.mark.parametrize("has_key", [False, True])
def test_a_frame_is_refused_by_its_length_before_it_is_read(server: ManagerServer, has_key: bool) -> None:
    if has_key:
        connection = Client((server.address.host, server.address.port), authkey=KEY)
        sock = socket.socket(fileno=connection.fileno())
    else:
        sock = socket.create_connection(server.address)
        sock.recv(1000)
    # A length of nearly 2**62, of which nothing follows.
    sock.sendall(struct.pack("!iQ", -1, 1 << 62))
    sock.settimeout(10.0)
    assert sock.recv(1000) == b""
    (sock.detach if has_key else sock.close)()
    until(lambda: server.n_connections == 0)


def test_silent_and_slow_strangers_neither_stay_nor_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "HANDSHAKE_S", 1.0)
    server = ManagerServer(HERE, KEY, backwards)
    n_threads = threading.active_count()
    strangers = [socket.create_connection(server.address) for _ in range(200)]
    slow = strangers[0]
    until(lambda: server.n_turned_away >= 200 - manager.MAX_UNPROVEN)
    assert threading.active_count() <= n_threads + manager.MAX_UNPROVEN
    give_up_at = time.monotonic() + 20.0
    while time.monotonic() < give_up_at:
        try:
            # One byte at a time, each well within any single wait.
            slow.sendall(b"\0")
        except OSError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("it may speak slowly for ever")
    until(lambda: server.n_connections == 0)
    until(lambda: threading.active_count() <= n_threads)
    assert called(server.address, b"ab") == b"ba" + LOOPBACK.encode()
    for stranger in strangers:
        stranger.close()
    server.stop()


def test_who_does_not_answer_in_time_is_given_up() -> None:
    release = threading.Event()
    server = ManagerServer(HERE, KEY, lambda message, host: bytes(release.wait(30.0)))
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match=r"^127\.0\.0\.1:[0-9]+ does not answer \(too slow\)$"):
        called(server.address, b"abc", patience_s=0.5)
    assert 0.4 < time.monotonic() - begun < 10.0
    release.set()
    server.stop()


def test_a_call_that_waits_can_be_ended_by_another_thread() -> None:
    release = threading.Event()
    server = ManagerServer(HERE, KEY, lambda message, host: bytes(release.wait(30.0)))
    caller = Caller(server.address, KEY, 60.0)
    threading.Timer(0.3, caller.abort).start()
    with pytest.raises(UnreachableError, match="hung up"):
        caller.call(b"abc")
    release.set()
    server.stop()


def test_a_caller_finds_a_server_that_was_started_again() -> None:
    server = ManagerServer(HERE, KEY, backwards)
    caller = Caller(server.address, KEY, 5.0)
    assert caller.call(b"ab").startswith(b"ba")
    server.stop()
    with pytest.raises(UnreachableError):
        caller.call(b"ab")
    with pytest.raises(UnreachableError, match="connection refused"):
        caller.call(b"ab")
    server = ManagerServer(server.address, KEY, backwards)
    assert caller.call(b"ab").startswith(b"ba")
    caller.close()
    server.stop()


def test_a_port_in_use_is_told_in_one_line(server: ManagerServer) -> None:
    with pytest.raises(UsageError, match=r"^cannot listen on 127\.0\.0\.1:[0-9]+: address already in use; choose"):
        ManagerServer(server.address, KEY, backwards)
    with pytest.raises(UsageError, match=r"^cannot listen on no-such-host\.invalid:7077: .*; choose another port or"):
        ManagerServer(Address("no-such-host.invalid", 7077), KEY, backwards)


def test_it_ends_though_it_cannot_call_itself() -> None:
    """As where the address that it listens on has gone."""
    server = ManagerServer(HERE, KEY, backwards)
    server._server.address = ("192.0.2.1", 9)
    server.stop()
    assert not any(thread.is_alive() for thread in server._server.threads)


def test_connections_beyond_the_most_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "most_connections", lambda: 1)
    server = ManagerServer(HERE, KEY, backwards)
    with contextlib.closing(Caller(server.address, KEY, 5.0)) as first:
        assert first.call(b"ab").startswith(b"ba")
        with pytest.raises(UnreachableError):
            called(server.address, b"ab")
        assert (server.n_connections, server.n_turned_away) == (1, 1)
    deadline = time.monotonic() + 10.0
    while server.n_connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert called(server.address, b"ab").startswith(b"ba")
    server.stop()


def test_connections_leave_room_for_the_files_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, most in ((1024, 384), (100, 32), (1 << 20, 1024), (resource.RLIM_INFINITY, 1024)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, limit=limit: (limit, limit))
        assert manager.most_connections() == most


def test_as_many_files_are_asked_for_as_the_process_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    for most, wanted in ((1 << 20, 2304), (2000, 2000), (resource.RLIM_INFINITY, 2304)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, most=most: (1024, most))
        assert manager.most_connections() == min(1024, (wanted - 256) // 2)
        assert asked.pop() == (wanted, most)
