"""Tasks go to another host and come back, over a real socket; threads stand for worker processes."""

import threading
import time
from pathlib import Path

import msgspec
import pytest
from parts import Crew, FailingError, Gate, Helper, Job, JobFreight, Owner, echo, job, sha256, stopping, until

from evoae_cli.hosts import wire
from evoae_cli.hosts.appetite import Wanted
from evoae_cli.hosts.caller import WrongKeyError
from evoae_cli.outcome import Outcome
from evoae_cli.version import __version__


def test_all_tasks_are_done_elsewhere_and_come_back_once(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path, n=3)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(200)])
        owner.collect(200)
        assert {number: result.payload for number, result in owner.results.items()} == {
            number: b"done %d" % number for number in range(200)
        }
        assert {result.worker.split("/")[0] for result in owner.results.values()} == {"helper"}
        until(lambda: helper.link.view().n_done == 200)
        counts, theirs = owner.broker.counts(), helper.broker.counts()
        assert (counts.n_done, counts.n_lent, counts.n_reclaimed, counts.n_late) == (200, 0, 0, 0)
        assert (theirs.n_helped, theirs.n_done, theirs.n_borrowed) == (200, 0, 0)
        assert owner.told == ["helper helps with 3 workers"]
        assert helper.told == [f"helping the search at {owner.serving.address}"]
    assert owner.told[1:] == ["helper has left"]


def test_it_borrows_no_more_than_its_workers_can_start_plus_one_each(tmp_path: Path) -> None:
    owner = Owner()
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=3, run=gate.run)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(50)])
        until(lambda: owner.broker.counts().n_lent == 6)
        time.sleep(0.5)
        assert owner.broker.counts().n_lent == 6
        gate.open()
        owner.collect(50)


def test_what_waits_ahead_is_left_for_others_where_little_is_left(tmp_path: Path) -> None:
    """Four tasks for two hosts of two: none may have four."""
    owner = Owner()
    gate = Gate()
    first = Helper(owner.serving.address, tmp_path, n=2, run=gate.run)
    with stopping(owner, first):
        owner.broker.submit([job(number) for number in range(4)])
        until(lambda: owner.broker.counts().n_lent == 2)
        time.sleep(0.3)
        assert owner.broker.counts().n_lent == 2
        second = Helper(owner.serving.address, tmp_path, n=2, run=gate.run)
        with stopping(second):
            until(lambda: owner.broker.counts().n_lent == 4)
            gate.open()
            owner.collect(4)
            assert {result.worker.split("/")[0] for result in owner.results.values()} == {"helper", "helper (2)"}


def test_own_tasks_come_before_borrowed_ones(tmp_path: Path) -> None:
    owner = Owner()
    order: list[bytes] = []
    gate = Gate()

    def note(task: Job) -> bytes:
        order.append(task.data)
        return gate.run(task) if task.data == b"0" else echo(task)

    helper = Helper(owner.serving.address, tmp_path, n=1, run=note)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(5)])
        until(lambda: order and helper.broker.counts().n_borrowed == 1)
        helper.broker.submit([job(number) for number in range(100, 105)])
        gate.open()
        owner.collect(5)
        assert order[:6] == [b"0", *(b"%d" % number for number in range(100, 105))]
        assert helper.broker.counts().n_done == 5


def test_files_are_brought_once_and_those_that_are_made_come_back(tmp_path: Path) -> None:
    owner = Owner()
    images = tmp_path / "images"
    images.write_bytes(bytes(range(256)) * 10_000)
    fingerprint = sha256(images)
    elsewhere = tmp_path / "elsewhere"

    def copy(task: Job) -> bytes:
        assert Path(task.reads).parent == elsewhere
        Path(task.writes).write_bytes(Path(task.reads).read_bytes()[::-1] + task.data)
        return b"file:" + task.data

    helper = Helper(owner.serving.address, elsewhere, run=copy)
    with stopping(owner, helper):
        for number in range(6):
            out = tmp_path / "made" / str(number)
            owner.broker.submit([job(number, reads=str(images), fingerprint=fingerprint, writes=str(out))])
        owner.collect(6)
        for number in range(6):
            made = (tmp_path / "made" / str(number)).read_bytes()
            assert made == images.read_bytes()[::-1] + b"%d" % number
        assert [path.name for path in elsewhere.iterdir()] == [f"{fingerprint}.file"]
        assert sum("fetching" in line for line in helper.told) == 1
        assert len(list((tmp_path / "made").iterdir())) == 6


def test_a_file_that_is_another_is_an_error_that_names_both(tmp_path: Path) -> None:
    owner = Owner()
    images = tmp_path / "images"
    images.write_bytes(b"what it was")
    fingerprint = sha256(images)
    images.write_bytes(b"what it is!")
    helper = Helper(owner.serving.address, tmp_path / "elsewhere")
    with stopping(owner, helper):
        owner.broker.submit([job(number, reads=str(images), fingerprint=fingerprint) for number in range(4)])
        until(lambda: any("asks for no more" in line for line in helper.told))
        (line,) = (line for line in helper.told if "asks for no more" in line)
        assert f"file {fingerprint} has come as {sha256(images)}, so it was changed on its way" in line
        until(lambda: owner.broker.counts().n_queued == 4)
        assert owner.told[1].startswith("helper cannot run a task, which is given to others: file ")
        assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_loss_of_a_worker_there_is_an_attempt_and_the_task_stays_at_home(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path, n=0)
    with stopping(owner, helper):
        owner.broker.submit([job(1), job(2)])
        helper.n_ready = 1
        lease = None
        until(lambda: helper.broker.counts().n_borrowed)
        lease = helper.broker.lease("a")
        assert lease is not None
        helper.broker.lose("a", "killed by SIGSEGV", log="its last words")
        until(lambda: owner.losses)
        lost = owner.losses[0]
        assert (lost.lease.task.id, lost.reason, lost.result) == (1, "killed by SIGSEGV", None)
        helper.broker.lease("b", timeout_s=5.0)
        until(lambda: helper.broker.counts().n_leased == 1)
        assert owner.broker.counts().n_queued == 1
        again = owner.broker.lease("at home")
        assert again is not None
        assert (again.task.id, again.attempt) == (1, 2)


def test_a_result_that_is_none_is_an_attempt_too(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path, n=1, run=lambda task: b"nonsense")
    with stopping(owner, helper):
        owner.broker.submit([job(1)])
        until(lambda: owner.losses)
        assert owner.losses[0].reason == "it sent a result that is none: nonsense"


def test_a_host_that_drains_gives_back_what_it_has_not_begun(tmp_path: Path) -> None:
    owner = Owner()
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=2, run=gate.run)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(10)])
        until(lambda: owner.broker.counts().n_lent == 4 and helper.broker.counts().n_leased == 2)
        helper.link.drain()
        until(lambda: owner.broker.counts().n_lent == 2)
        assert helper.link.n_held == 2
        gate.open()
        owner.collect(2)
        until(lambda: helper.link.n_held == 0)
        time.sleep(0.3)
        counts = owner.broker.counts()
        assert (counts.n_queued, counts.n_lent, counts.n_done) == (8, 0, 2)
        # The order is what it was.
        assert [task.id for task in owner.broker._ledger.withdraw()] == list(range(2, 10))


def test_a_host_that_drains_leaves_though_nobody_is_there_to_take_what_it_has_done(tmp_path: Path) -> None:
    owner = Owner()
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=1, run=gate.run, patience_s=0.3)
    with stopping(helper):
        with stopping(owner):
            owner.broker.submit([job(1)])
            until(lambda: helper.broker.counts().n_leased == 1)
        helper.link.drain()
        gate.open()
        until(lambda: helper.link.n_held == 0)
        assert str(helper.link.failure).endswith("and has not for 0.9 s; it is given up")


def test_what_comes_while_a_host_leaves_goes_back(tmp_path: Path) -> None:
    owner = Owner()
    real, asks = owner.lender.answer, threading.Event()

    def note(request: wire.Request, host: str) -> wire.Answer:
        if isinstance(request, wire.Poll) and request.wait_s > 0:
            asks.set()
        return real(request, host)

    owner.serving._answering = note
    helper = Helper(owner.serving.address, tmp_path, n=1, beat_s=2.0)
    with stopping(owner, helper):
        # Its poll waits at the lender for two seconds.
        assert asks.wait(20.0)
        helper.link.drain()
        owner.broker.submit([job(1)])
        until(lambda: owner.broker.counts().n_reclaimed == 1)
        assert helper.crew.n_run == 0
        assert owner.broker.counts().n_queued == 1


def test_a_host_with_tasks_of_its_own_gives_back_what_it_has_not_begun(tmp_path: Path) -> None:
    """They would wait behind its own, and the lender's next generation for them."""
    owner = Owner()
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=1, run=gate.run)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(4)])
        until(lambda: owner.broker.counts().n_lent == 2 and helper.broker.counts().n_leased == 1)
        helper.broker.submit([job(100)])
        until(lambda: owner.broker.counts().n_lent == 1)
        gate.open()
        owner.collect(4)
        assert owner.broker.counts().n_late == 0


def test_a_lender_s_idle_worker_runs_what_a_host_has_not_begun(tmp_path: Path) -> None:
    owner = Owner(n_workers=1)
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=1, run=gate.run)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(4)])
        until(lambda: owner.broker.counts().n_lent == 2 and helper.broker.counts().n_leased == 1)
        own = Crew(owner.broker, 1, lambda payload: b"here")
        with stopping(own):
            owner.collect(3)
        assert {number: result.payload for number, result in owner.results.items()} == dict.fromkeys((1, 2, 3), b"here")
        gate.open()
        owner.collect(1)


def test_a_host_that_runs_tasks_of_its_own_keeps_none_ahead(tmp_path: Path) -> None:
    owner = Owner()
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=2, run=gate.run)
    with stopping(owner, helper):
        helper.broker.submit([job(100)])
        until(lambda: helper.broker.counts().n_own_leased == 1)
        # A poll that went before waits at the lender no longer.
        time.sleep(0.5)
        owner.broker.submit([job(number) for number in range(10)])
        until(lambda: owner.broker.counts().n_lent == 1)
        time.sleep(0.3)
        assert owner.broker.counts().n_lent == 1
        gate.open()
        owner.collect(10)


def test_a_link_that_polls_and_cannot_return_what_it_holds_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lender has room for its first connection alone."""
    monkeypatch.setattr("evoae_cli.hosts.manager.most_connections", lambda: 1)
    owner = Owner(silence_s=1.0)
    helper = Helper(owner.serving.address, tmp_path / "elsewhere", n=1, run=with_a_file, patience_s=0.3)
    with stopping(owner, helper):
        owner.broker.submit([job(1, writes=str(tmp_path / "made"))])
        until(lambda: helper.link.failure)
        assert str(helper.link.failure).endswith("and has not for 0.9 s; it is given up")
        assert sum("trying again" in line for line in helper.told) == 1
        until(lambda: owner.broker.counts().n_lent == 0)


def with_a_file(task: Job) -> bytes:
    """Its result cannot ride with a poll."""
    Path(task.writes).write_bytes(b"made")
    return b"file:"


def test_a_search_that_ended_and_is_gone_lets_its_host_leave(tmp_path: Path) -> None:
    owner = Owner()
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=1, run=gate.run, patience_s=0.3)
    with stopping(helper):
        with stopping(owner):
            owner.broker.submit([job(1)])
            until(lambda: helper.broker.counts().n_leased == 1)
            owner.lender.finish()
            until(lambda: "the search has ended" in helper.told)
        until(lambda: helper.link.is_over)
        assert helper.link.failure is None
        gate.open()


def test_what_was_withdrawn_is_forgotten_by_the_lender(tmp_path: Path) -> None:
    owner = Owner()
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=1, run=gate.run)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(4)])
        until(lambda: owner.broker.counts().n_lent == 2 and helper.broker.counts().n_leased == 1)
        time.sleep(0.3)
        owner.broker.withdraw()
        until(lambda: owner.lender.about().guests[0].n_held == 1)
        gate.open()
        owner.collect(1)


def test_the_owner_takes_back_what_nobody_has_begun(tmp_path: Path) -> None:
    owner = Owner()
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=2, run=gate.run)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(10)])
        until(lambda: owner.broker.counts().n_lent == 4)
        until(lambda: helper.broker.counts().n_leased == 2)
        # The next heartbeat says which of them run.
        time.sleep(0.4)
        assert owner.broker.withdraw() == 8
        until(lambda: helper.broker.counts().n_borrowed == 0)
        gate.open()
        owner.collect(2)
        assert owner.broker.results.empty()


def test_the_end_of_the_search_ends_the_link(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path)
    with stopping(owner, helper):
        owner.broker.submit([job(1)])
        owner.collect(1)
        assert not helper.link.is_over
        owner.lender.finish()
        until(lambda: helper.link.is_over)


def test_another_key_is_no_link(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path, key=b"j" * 40)
    with stopping(owner, helper):
        until(lambda: helper.link.failure)
        assert isinstance(helper.link.failure, WrongKeyError)
        assert helper.link.is_over
        assert owner.lender.n_guests == 0


def test_a_silent_host_loses_its_tasks_without_blame_and_its_results_are_late(tmp_path: Path) -> None:
    owner = Owner(silence_s=0.5)
    gate = Gate()
    helper = Helper(owner.serving.address, tmp_path, n=2, run=gate.run, beat_s=3.0)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(2)])
        # It beats too seldom for this owner.
        until(lambda: owner.broker.counts().n_reclaimed == 2)
        assert "helper was silent for 0.5 s and is given up; 2 tasks taken back" in owner.told
        leases = [owner.broker.lease(name) for name in "ab"]
        assert [lease and (lease.task.id, lease.attempt) for lease in leases] == [(0, 1), (1, 1)]
        gate.open()
        until(lambda: owner.broker.counts().n_late == 2)
        for lease in leases:
            assert lease is not None
            owner.broker.report(lease.id, Outcome.OK, b"at home")
        owner.collect(2)
        assert {result.payload for result in owner.results.values()} == {b"at home"}


def test_a_host_is_helped_by_whoever_it_helps_if_it_can_be_reached(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path, listens_on=7077)
    with stopping(owner, helper):
        until(lambda: owner.helpers == [("127.0.0.1", 7077)])


@pytest.mark.parametrize("n_times", [3])
def test_a_lender_that_restarts_is_found_again(tmp_path: Path, n_times: int) -> None:
    """Its connections break; its broker, and what it has lent, live on."""
    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path, n=2)
    with stopping(owner, helper):
        for first in range(0, 20 * n_times, 20):
            owner.broker.submit([job(number) for number in range(first, first + 20)])
            address = owner.serving.address
            owner.serving.stop()
            owner.serving = type(owner.serving)(
                *(address, b"k" * 40, owner.lender.answer, owner.lender.sweep), sweep_s=0.5
            )
            owner.collect(20)
        assert owner.broker.counts().n_done == 20 * n_times
        assert f"{address} is there again" in helper.told


def test_a_lender_that_is_away_for_too_long_is_given_up(tmp_path: Path) -> None:
    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path, gone_after_s=0.5)
    with stopping(helper):
        owner.broker.submit([job(1)])
        owner.collect(1)
        owner.stop()
        until(lambda: helper.link.is_over)
        assert "does not answer" in helper.link.view().trouble
        assert helper.told[-1].endswith("and has not for 0.5 s; it is given up")


def test_another_version_of_evoae_is_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may evaluate otherwise."""
    monkeypatch.setattr("evoae_cli.hosts.link.__version__", "9.9.9")
    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path)
    with stopping(owner, helper):
        until(lambda: helper.link.is_over)
        assert "it runs evoae 9.9.9, the search evoae" in helper.link.view().trouble


def test_a_loan_that_is_gone_while_its_file_is_fetched_is_forgotten_alone(tmp_path: Path) -> None:
    owner = Owner()
    images = tmp_path / "images"
    images.write_bytes(b"images")
    fingerprint = sha256(images)
    real, is_first = owner.lender.answer, True

    def take_it_back_first(request: wire.Request, host: str) -> wire.Answer:
        nonlocal is_first
        if isinstance(request, wire.Fetch) and is_first:
            is_first = False
            owner.broker.withdraw()
            (guest,) = owner.lender._guests.values()
            owner.lender._forget(guest, list(guest.parcels))
        return real(request, host)

    owner.serving._answering = take_it_back_first
    helper = Helper(owner.serving.address, tmp_path / "elsewhere", n=1)
    with stopping(owner, helper):
        owner.broker.submit([job(1, reads=str(images), fingerprint=fingerprint)])
        until(lambda: not is_first)
        owner.broker.submit([job(2, reads=str(images), fingerprint=fingerprint)])
        owner.collect(1)
        assert list(owner.results) == [2]
        # It is the same link as before: it said hello once.
        assert owner.told.count("helper helps with 1 worker") == 1
        assert owner.lender.n_guests == 1


def test_tasks_of_several_links_are_told_apart(tmp_path: Path) -> None:
    """One of the first link's outlasts its others, when the second link's first one comes."""
    long, short = Owner(), Owner()
    gate = Gate()

    def run(task: Job) -> bytes:
        if task.data.startswith(b"1"):
            gate.run(task)
        Path(task.writes).write_bytes(b"made by " + task.data)
        return b"file:" + task.data

    helper = Helper(long.serving.address, tmp_path / "elsewhere", n=2, run=run)
    with stopping(long, short, helper):
        long.broker.submit([job(number, writes=str(tmp_path / f"long-{number}")) for number in (1, 2, 3)])
        long.collect(2)
        second = helper.another_link(short.serving.address)
        helper._links.append(second)
        second.start()
        short.broker.submit([job(number, writes=str(tmp_path / f"short-{number}")) for number in (2, 3, 4)])
        short.collect(3)
        gate.open()
        long.collect(1)
        assert (helper.link.failure, second.failure) == (None, None)
        made = {path.name: path.read_text() for path in tmp_path.glob("*-*")}
        names = [f"long-{number}" for number in (1, 2, 3)] + [f"short-{number}" for number in (2, 3, 4)]
        assert made == {name: f"made by {name[-1]}" for name in names}


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.CRASHED, Outcome.DIVERGED])
def test_what_fails_there_ends_as_it_would_at_home(tmp_path: Path, outcome: Outcome) -> None:
    def run(task: Job) -> bytes:
        raise FailingError(outcome, "so it ended")

    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path, n=1, run=run)
    with stopping(owner, helper):
        owner.broker.submit([job(1)])
        owner.collect(1)
        assert (owner.results[1].outcome, owner.results[1].reason, owner.losses) == (outcome, "so it ended", [])


def test_what_needs_more_memory_than_there_is_there_is_run_at_home(tmp_path: Path) -> None:
    def run(task: Job) -> bytes:
        raise FailingError(Outcome.OOM, "out of memory")

    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path, n=1, run=run)
    with stopping(owner, helper):
        owner.broker.submit([job(1)])
        until(lambda: any("which is given to others: out of memory" in line for line in owner.told))
        # It is not lent again.
        until(lambda: owner.broker.counts().n_lent == 0)
        time.sleep(0.3)
        assert helper.crew.n_run == 1
        crew = Crew(owner.broker, 1, lambda payload: b"at home")
        with stopping(crew):
            owner.collect(1)
        assert (owner.results[1].payload, owner.results[1].attempt) == (b"at home", 1)


@pytest.mark.parametrize("case", ["not readable", "not writable", "not made"])
def test_a_file_that_cannot_be_used_costs_nobody_but_the_task_s_owner(tmp_path: Path, case: str) -> None:
    """What comes after it is done there as ever."""
    (tmp_path / "file").write_bytes(b"")
    files = {
        "not readable": {"reads": str(tmp_path / "gone"), "fingerprint": "0" * 64},
        "not writable": {"writes": str(tmp_path / "file" / "made")},
        "not made": {"writes": str(tmp_path / "made")},
    }

    def run(task: Job) -> bytes:
        if task.data != b"1":
            return echo(task)
        if case == "not writable":
            Path(task.writes).write_bytes(b"made")
        return b"file:1"

    owner = Owner()
    helper = Helper(owner.serving.address, tmp_path / "elsewhere", n=1, run=run)
    with stopping(owner, helper):
        owner.broker.submit([job(1, **files[case])])
        until(lambda: any("which is given to others" in line for line in owner.told))
        owner.broker.submit([job(2), job(3)])
        owner.collect(2)
        assert sorted(owner.results) == [2, 3]
        counts = owner.broker.counts()
        assert (counts.n_queued, counts.n_lent, owner.losses) == (1, 0, [])
        assert helper.link.failure is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_a_link_ends_it_and_the_lender_takes_all_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    owner = Owner(silence_s=0.6)
    helper = Helper(owner.serving.address, tmp_path, n=2, run=gate.run)
    with stopping(owner, helper):
        owner.broker.submit([job(number) for number in range(8)])
        until(lambda: helper.broker.counts().n_leased == 2)

        def broken(*anything: object) -> tuple[bytes, bool]:
            raise RuntimeError("broken")

        monkeypatch.setattr(JobFreight, "pack_result", broken)
        gate.open()
        until(lambda: helper.link.failure is not None)
        assert str(helper.link.failure).endswith("has ended by a fault: RuntimeError: broken")
        until(lambda: owner.broker.counts().n_queued == 8)
        assert helper.link.is_over
        assert helper.broker.counts().n_borrowed == 0


def test_a_host_does_not_help_itself_by_whatever_address(tmp_path: Path) -> None:
    owner = Owner()
    owner.lender._own = own = b"o" * 16
    helper = Helper(owner.serving.address, tmp_path, own=own)
    another = Helper(owner.serving.address, tmp_path, own=b"p" * 16)
    with stopping(owner, helper, another):
        until(lambda: helper.link.is_over)
        assert (helper.link.is_own, helper.link.failure, helper.told) == (True, None, [])
        until(lambda: owner.lender.n_guests == 1)
        assert not another.link.is_over


def test_results_that_ride_with_a_poll_after_a_silence_are_counted_as_late(tmp_path: Path) -> None:
    now = 0.0
    owner = Owner()
    lender = owner.lender
    lender._clock = lambda: now
    with stopping(owner):
        welcome = lender.answer(wire.Hello("a host", __version__, 1), "10.0.0.1")
        assert isinstance(welcome, wire.Welcome)
        owner.broker.submit([job(1)])
        poll = wire.Poll(welcome.session, [], [], n_idle=1, n_ahead=0, n_workers=1, wait_s=0.0)
        loans = lender.answer(poll, "10.0.0.1")
        assert isinstance(loans, wire.Loans)
        lender._guests.clear()
        owner.broker.reclaim("a host")
        ending = wire.Ending(loans.loans[0].id, "reported", Outcome.OK, b"done", "", "worker", 1.0)
        answer = lender.answer(msgspec.structs.replace(poll, endings=[ending]), "10.0.0.1")
        assert isinstance(answer, wire.Refused)
        assert answer.kind == "unknown"
        counts = owner.broker.counts()
        assert (counts.n_late, counts.n_queued, counts.n_done) == (1, 1, 0)


def test_a_host_that_was_heard_of_after_a_pause_gets_no_more_patience_than_others() -> None:
    now = 0.0
    owner = Owner(silence_s=1000.0)
    lender = owner.lender
    owner.stop()
    lender._clock = lambda: now
    lender._silence_s, lender._swept_at = 10.0, now
    welcome = lender.answer(wire.Hello("a host", __version__, 1), "10.0.0.1")
    assert isinstance(welcome, wire.Welcome)
    now = 3600.0
    lender.answer(wire.Poll(welcome.session, [], [], 0, 0, 1, 0.0), "10.0.0.1")
    lender.sweep()
    for later in (3604.0, 3608.0, 3612.0):
        now = later
        lender.sweep()
    assert lender.n_guests == 0


def test_hosts_of_one_name_have_names_of_their_own() -> None:
    owner = Owner()
    with stopping(owner):
        for name in ("a", "a (2)", "a", "a"):
            owner.lender.answer(wire.Hello(name, __version__, 1), "10.0.0.1")
        assert [guest.name for guest in owner.lender.about().guests] == ["a", "a (2)", "a (3)", "a (4)"]


def test_a_link_that_was_ended_asks_for_nothing_more(tmp_path: Path) -> None:
    helper = Helper(None, tmp_path, n=2)
    with stopping(helper):
        appetite = helper.appetite
        for link in ("one", "other"):
            appetite.join(link)
        appetite.ask("one", 0)
        appetite.leave("one")
        appetite.settled("one", 3)
        assert not appetite.is_shared
        assert appetite.ask("one", 0) == Wanted(0, 0)
        assert appetite.ask("other", 0) == Wanted(2, 2)
