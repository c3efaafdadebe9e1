"""The benchmark of several hosts, with few tasks: a real proxy, real sockets, hosts as processes."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from evoae_cli.bench.network import main, storm
from evoae_cli.bench.proxy import Proxy
from evoae_cli.hosts.address import Address


@pytest.fixture
def echo() -> Iterator[Address]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(4096):
                    connection.sendall(data)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield Address("127.0.0.1", listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_the_proxy_delays_what_it_passes_on_and_keeps_its_order(echo: Address) -> None:
    proxy = Proxy(echo, 0.05)
    with socket.create_connection(proxy.address, 20.0) as sock:
        begun = time.monotonic()
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
        assert time.monotonic() - begun >= 0.1
        data = bytes(range(256)) * 2000
        threading.Thread(target=sock.sendall, args=(data,)).start()
        got = b""
        while len(got) < len(data):
            got += sock.recv(65536)
        assert got == data
    proxy.stop()


def test_a_partition_is_silent_and_heals_and_a_cut_is_not(echo: Address) -> None:
    proxy = Proxy(echo)
    with socket.create_connection(proxy.address, 20.0) as sock:
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
        proxy.part()
        sock.sendall(b"b")
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        proxy.heal()
        sock.settimeout(20.0)
        assert sock.recv(1) == b"b"
        assert proxy.cut() == 1
        with contextlib.suppress(ConnectionError):
            assert sock.recv(1) == b""
    proxy.stop()


def test_in_a_network_that_breaks_nothing_is_lost_or_counted_twice() -> None:
    found = storm(2, 2, 120, 0.05, 6, 1.0)
    assert (found.lost, found.twice, found.n_cuts) == (0, 0, 6)
    assert found.counts.n_done == 120
    assert len(found.recovery_s) >= 5


def test_the_benchmark_prints_what_a_link_brings(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--only", "throughput", "--tasks", "400", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["benchmark"] == "network"
    assert found["figures"]["link_per_s"] > 0
    assert found["figures"]["local_per_s"] > 0
