"""Rubbish, thousands of times: nothing crashes, hangs, grows, or is done because a peer says so."""

import contextlib
import os
import re
import socket
import struct
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from random import Random
from typing import Any
from xmlrpc import client as xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import KEY, Helper, Owner, job, stopping, until
from test_wire import ANSWERS, REQUESTS, TOKEN

from evoae_cli.hosts import wire
from evoae_cli.hosts.connection import Wire
from evoae_cli.hosts.manager import MAX_UNPROVEN
from evoae_cli.version import __version__
from evoae_cli.worker.memory import own_bytes

N_WITH_KEY, N_WITHOUT = 8_000, 2_000
ENTER = xml.dumps(((None, "accept_connection", ("x",), {}),), None, None, None, True).encode()


@settings(max_examples=2000, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_messages_or_refused(data: bytes) -> None:
    for read in (wire.request_in, wire.answer_in):
        for body in (data, wire.packed(wire.Ask())[:6] + data):
            with contextlib.suppress(wire.WireError):
                read(body)


@settings(max_examples=3000, deadline=None)
@given(
    st.sampled_from([wire.packed(message) for message in (*REQUESTS, *ANSWERS)]),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=4),
    st.integers(0, 30),
)
def test_mutated_messages_are_messages_or_refused(data: bytes, changes: list[tuple[int, int]], n_cut: int) -> None:
    mutated = bytearray(data[: len(data) - n_cut])
    for place, value in changes:
        if mutated:
            mutated[place % len(mutated)] = value
    for read in (wire.request_in, wire.answer_in):
        with contextlib.suppress(wire.WireError):
            read(bytes(mutated))


def mutated(random: Random, data: bytes) -> bytes:
    """The same with some bytes changed, cut, doubled or drawn anew."""
    kind = random.randrange(5)
    if kind == 0:
        return random.randbytes(random.randrange(300))
    changed = bytearray(data)
    if kind == 1 and changed:
        return bytes(changed[: random.randrange(len(changed))])
    if kind == 2:
        place = random.randrange(len(changed) + 1)
        return bytes(changed[:place] + random.randbytes(random.randrange(1, 9)) + changed[place:])
    for _ in range(random.randrange(1, 6)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def entered(place: tuple[str, int]) -> Wire:
    """A connection of somebody who has the key."""
    connection = Wire(Connection(socket.create_connection(place).detach()))
    connection.set_patience(20.0)
    plain: Any = connection
    answer_challenge(plain, KEY)
    deliver_challenge(plain, KEY)
    connection.send_bytes(ENTER)
    connection.recv_bytes()
    return connection


def begun(connection: Any) -> bytes:
    """A session of a host that helps, and has a few loans."""
    connection.send_bytes(call(wire.packed(wire.Hello("a fuzzer", __version__, 2))))
    welcome = wire.answer_in(connection.recv()[1].data)
    assert isinstance(welcome, wire.Welcome)
    connection.send_bytes(call(wire.packed(wire.Poll(welcome.session, [], [], 2, 2, 2, 0.0))))
    assert isinstance(wire.answer_in(connection.recv()[1].data), wire.Loans)
    return welcome.session


def call(message: bytes) -> bytes:
    return xml.dumps((["broker", "call", [message], {}],), None, None, None, True).encode()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    found = Owner()
    found.broker.submit([job(number, writes=str(tmp_path / "made" / str(number))) for number in range(50)])
    yield found
    found.stop()


def is_well(owner: Owner, folder: Path) -> None:
    """A good host can still help, and every task is done once."""
    owner.collect(owner.broker.counts().n_done)
    helper = Helper(owner.serving.address, folder)
    with stopping(helper):
        owner.collect(50 - len(owner.results))
    assert len(owner.results) == 50
    assert owner.broker.results.empty()


def test_10_000_frames_with_and_without_the_key_do_nothing(owner: Owner, tmp_path: Path) -> None:
    random = Random(0)
    place = (owner.serving.address.host, owner.serving.address.port)
    messages = [wire.packed(message) for message in (*REQUESTS, *ANSWERS)]
    frames = [call(message) for message in messages]
    n_threads, before = threading.active_count(), (set(os.listdir(tmp_path)), owner.broker.counts())
    n_bytes = 0
    connection: Any = None
    session = TOKEN
    n_answers = 0
    for number in range(N_WITH_KEY):
        if connection is None:
            connection = entered(place)
        if number % 100 == 0:
            # In a session of its own, with loans: of the last one nothing may be left.
            session = begun(connection)
            live = [message.replace(TOKEN, session) for message in messages]
        whole = random.randrange(10) > 0
        # Mostly a call that carries rubbish, else a call that is rubbish.
        frame = call(mutated(random, random.choice(live))) if whole else mutated(random, random.choice(frames))
        try:
            connection.send_bytes(frame)
            connection.recv_bytes(1 << 22)
            n_answers += 1
        except BlockingIOError:
            pytest.fail(f"no answer to {frame!r}")
        except (EOFError, OSError):
            connection.close()
            connection = None
        if number == N_WITH_KEY // 10:
            n_bytes = own_bytes()
    if connection is not None:
        connection.close()
    for _ in range(N_WITHOUT):
        send_without_key(random, place, random.choice((frames, messages)))
    assert n_answers > N_WITH_KEY // 2
    assert own_bytes() - n_bytes < 60 * 2**20
    until(lambda: threading.active_count() <= n_threads + MAX_UNPROVEN)
    # No task is gone, and none was ended but by a session that held it.
    counts = owner.broker.counts()
    assert counts.n_queued + counts.n_lent + counts.n_done == before[1].n_queued
    assert counts.n_done < 50
    # Files lie where tasks make them, and nowhere else.
    assert set(os.listdir(tmp_path)) <= {*before[0], "made"}
    for path in tmp_path.glob("made/*"):
        assert re.fullmatch(r"\d+(\.\d+\.part)?", path.name)
    owner.lender._silence_s = 0.0
    until(lambda: owner.lender.n_guests == 0)
    owner.lender._silence_s = 5.0
    is_well(owner, tmp_path)


def send_without_key(random: Random, place: tuple[str, int], frames: list[bytes]) -> None:
    """Rubbish in place of the proof: in a frame, or not even that."""
    with contextlib.suppress(OSError), socket.create_connection(place, 20.0) as sock:
        data = mutated(random, random.choice(frames))
        if random.randrange(2):
            data = struct.pack("!i", len(data)) + data
        sock.sendall(data)
        if random.randrange(2):
            sock.settimeout(20.0)
            with contextlib.suppress(ConnectionError):
                # The challenge, and then the end: rubbish is no proof.
                while sock.recv(4096) and len(data) > 4:
                    pass


def test_the_answers_of_a_lender_that_has_gone_mad_harm_nobody(tmp_path: Path) -> None:
    """Whatever comes back, the borrower refuses it, tries again, and lives."""
    random = Random(1)
    owner = Owner()
    answers = [wire.packed(message) for message in ANSWERS]
    real = owner.serving._handle
    n_mad = 0

    def mad(message: bytes, host: str) -> bytes:
        nonlocal n_mad
        if n_mad < 300:
            n_mad += 1
            # Of this version: another one would rightly end the link.
            answer = random.choice(answers)
            return answer[:6] + mutated(random, answer[6:])
        return real(message, host)

    owner.serving._server._server.handle = mad
    helper = Helper(owner.serving.address, tmp_path, pauses_s=(0.001, 0.01))
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(50)])
        owner.collect(50)
        assert n_mad == 300
