"""Several hosts on one machine, behind a proxy that adds delay, breaks connections and parts them for half a minute.

The owner lends, and runs nothing itself; hosts that help are processes with worker processes of their own. Tasks do
nothing or wait; ledger, leases, heartbeats, links and sockets are those of a search.
"""

import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from random import Random

import msgspec

from evoae_cli.bench.executors import throughput
from evoae_cli.bench.network_host import BareFreight, Orders
from evoae_cli.bench.noop import Command
from evoae_cli.bench.proxy import Proxy
from evoae_cli.bench.report import Report, formatted, one_line_errors, options, tell, this_machine
from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Counts, Task, TaskResult
from evoae_cli.errors import EvoaeError
from evoae_cli.hosts.address import LOOPBACK, Address
from evoae_cli.hosts.appetite import Hands
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.host import Host, Means

_READY_WITHIN_S = 120.0
_SHORT_DELAY_S = 0.005
_SILENT_WITHIN_S = 120.0
"""Longer without a result, and the benchmark has failed."""


@dataclass
class Owner:
    """A broker that lends to hosts behind proxies."""

    broker: Broker
    host: Host
    proxies: list[Proxy]
    told: list[str] = field(default_factory=list)
    n_given: int = 0

    def submit(self, n: int, sleep_s: float = 0.0) -> range:
        """Queue so many tasks; returns their ids."""
        payload = msgspec.json.encode(Command(sleep_s=sleep_s)) if sleep_s else b""
        ids = range(self.n_given, self.n_given + n)
        self.n_given += n
        self.broker.submit([Task(id=number, payload=payload, may_travel=True) for number in ids])
        return ids

    def results(self, n: int) -> Iterator[tuple[TaskResult, float]]:
        """What ends, and when, until so many have. Raises EvoaeError where one fails or none comes."""
        for _ in range(n):
            try:
                result = self.broker.results.get(timeout=_SILENT_WITHIN_S)
            except Empty:
                raise EvoaeError(f"no result for {_SILENT_WITHIN_S:g} s: {'; '.join(self.told[-3:])}") from None
            assert result is not None
            if result.outcome != "ok":
                raise EvoaeError(f"a task of the benchmark ended as {result.outcome}: {result.reason}")
            yield result, time.monotonic()


@contextmanager
def hosts(n_hosts: int, n_workers: int, *, delay_s: float = 0.0, silence_s: float = 10.0) -> Iterator[Owner]:
    """An owner, and hosts with `n_workers` each that help it over proxies of their own; all of them are ready."""
    key = secrets.token_hex(32)
    with ExitStack() as stack:
        broker = Broker(silence_s)
        host = Host(key=key.encode(), name="owner", listen=Address(LOOPBACK, 0), silence_s=silence_s)
        stack.callback(host.stop)
        assert host.address is not None
        depot = stack.enter_context(Depot(Path(), "", str))
        owner = Owner(broker, host, [])
        host.attach(
            Means(
                broker=broker,
                freight=BareFreight(),
                depot=depot,
                hands=lambda: Hands(0),
                title="the benchmark",
                tell=owner.told.append,
                on_loss=lambda lost: None,
                on_change=lambda: None,
            )
        )
        for number in range(n_hosts):
            proxy = Proxy(host.address, delay_s)
            stack.callback(proxy.stop)
            owner.proxies.append(proxy)
            orders = Orders(
                name=f"host {number}", key=key, port=proxy.address.port, workers=n_workers, silence_s=silence_s
            )
            words = [sys.executable, "-m", "evoae_cli.bench.network_host", msgspec.json.encode(orders).decode()]
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
            stack.callback(_ended, process)
        give_up_at = time.monotonic() + _READY_WITHIN_S
        while host.n_guest_workers < n_hosts * n_workers:
            if time.monotonic() > give_up_at:
                raise EvoaeError(f"only {host.n_guest_workers} of {n_hosts * n_workers} workers are there")
            time.sleep(0.05)
        yield owner
        # Those that help hear of the end, and leave.
        host.stop()


def _ended(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(20.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def link_throughput(n_tasks: int, n_workers: int) -> float:
    """Tasks that do nothing, per second, over one link without delay."""
    with hosts(1, n_workers) as owner:
        owner.submit(n_workers * 50)
        list(owner.results(n_workers * 50))
        owner.submit(n_tasks)
        begun = time.perf_counter()
        list(owner.results(n_tasks))
        return n_tasks / (time.perf_counter() - begun)


def utilisation(n_hosts: int, n_workers: int, sleep_s: float, rounds: int, delay_s: float) -> tuple[float, float]:
    """The share of all workers' time that went to tasks, until the last one was begun, and the seconds it took.

    The queue never runs dry before: as in an asynchronous search, whose end alone leaves workers without work.
    """
    n_all = n_hosts * n_workers
    with hosts(n_hosts, n_workers, delay_s=delay_s) as owner:
        owner.submit(n_all, sleep_s)
        list(owner.results(n_all))
        begun = time.monotonic()
        owner.submit(n_all * rounds, sleep_s)
        spans = [(at - result.run_s, at) for result, at in owner.results(n_all * rounds)]
    # Ends are as late as their news, and beginnings with them: that is no time in which a worker was busy or not.
    until = max(start for start, _ in spans)
    busy_s = sum(max(0.0, min(end, until) - max(start, begun)) for start, end in spans)
    return busy_s / (n_all * (until - begun)), until - begun


@dataclass
class Storm:
    """What became of tasks in a network that breaks."""

    n_tasks: int
    n_cuts: int
    lost: int
    twice: int
    counts: Counts
    took_s: float
    recovery_s: list[float]
    """From each cut, and from the end of the partition, until that host returned a result again."""


def storm(n_hosts: int, n_workers: int, n_tasks: int, sleep_s: float, n_cuts: int, partition_s: float) -> Storm:
    """Run tasks while connections break at random moments, and while one host is cut off for `partition_s`.

    Raises EvoaeError if the tasks end before the partition does.
    """
    random = Random(0)
    every, n_cut = n_tasks // (n_cuts + 1), 0
    heal_at: float | None = None
    seen: Counter[int] = Counter()
    since: dict[str, float] = {}
    recovery_s: list[float] = []
    with hosts(n_hosts, n_workers, delay_s=_SHORT_DELAY_S) as owner:
        owner.submit(n_tasks, sleep_s)
        begun = time.monotonic()
        for n_done, (result, at) in enumerate(owner.results(n_tasks), start=1):
            seen[result.task_id] += 1
            broken = since.pop(result.worker.partition("/")[0], None)
            if broken is not None:
                recovery_s.append(at - broken)
            if n_done == n_tasks // 4:
                owner.proxies[0].part()
                heal_at = at + partition_s
                tell(f"host 0 is cut off for {partition_s:g} s")
            if heal_at is not None and at >= heal_at:
                owner.proxies[0].heal()
                heal_at, since["host 0"] = None, at
                tell("host 0 is there again")
            if n_done % every == 0 and n_cut < n_cuts:
                n_cut += 1
                number = random.randrange(1, n_hosts)
                owner.proxies[number].cut()
                since[f"host {number}"] = at
        took_s = time.monotonic() - begun
        if heal_at is not None:
            raise EvoaeError("the tasks ended before the partition did; ask for a shorter --partition")
        if "host 0" in since:
            raise EvoaeError("the host that was cut off has returned no result since it was there again")
        # What was counted twice would come now.
        time.sleep(1.0)
        while not owner.broker.results.empty():
            again = owner.broker.results.get()
            assert again is not None
            seen[again.task_id] += 1
        counts = owner.broker.counts()
    return Storm(
        n_tasks=n_tasks,
        n_cuts=n_cut,
        lost=n_tasks - len(seen),
        twice=sum(n > 1 for n in seen.values()),
        counts=counts,
        took_s=took_s,
        recovery_s=recovery_s,
    )


def measure(given: Sequence[str], n_tasks: int, n_workers: int, partition_s: float) -> Report:
    """Make the parts that are asked for."""
    rows: list[tuple[str, str, str]] = []
    figures: dict[str, float | int] = {}
    if "throughput" in given:
        local = throughput("evoae", n_workers=n_workers, n_tasks=n_tasks).tasks_per_s
        tell(f"without a link: {local:,.0f} tasks per second")
        linked = link_throughput(n_tasks, n_workers)
        rows.append(("tasks that do nothing, without a link", f"{n_workers} workers", f"{local:,.0f} per second"))
        rows.append(("tasks that do nothing, over one link", f"{n_workers} workers", f"{linked:,.0f} per second"))
        figures |= {"local_per_s": local, "link_per_s": linked}
    if "utilisation" in given:
        share, took_s = utilisation(4, 16, 2.0, 10, 0.02)
        rows.append(("tasks of 2 s, 20 ms of delay each way", "4 hosts of 16 workers", f"{share:.1%} of the time busy"))
        figures |= {"utilisation": share, "took_s": took_s}
    if "storm" in given:
        found = storm(3, 4, max(600, int(40 * partition_s)), 0.5, 40, partition_s)
        what = f"{found.n_tasks:,} tasks of 0.5 s, {found.n_cuts} cuts, a partition of {partition_s:g} s"
        rows += [
            (what, "3 hosts of 4 workers", f"{found.lost} lost"),
            ("", "", f"{found.twice} counted twice"),
            ("", "", f"{found.counts.n_reclaimed} taken back, {found.counts.n_late} late results dropped"),
            ("", "", f"{max(found.recovery_s):.1f} s at most from a cut to the next result"),
        ]
        figures |= {"lost": found.lost, "twice": found.twice, "reclaimed": found.counts.n_reclaimed}
    return Report(
        benchmark="network",
        goal="nothing lost or counted twice; 4,000 tasks per second over a link; 97 % of 64 workers' time",
        columns=("what", "where", "found"),
        rows=tuple(rows),
        figures=figures,
    )


_PARTS = ("throughput", "utilisation", "storm")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--tasks", type=int, default=20_000, help="that do nothing (default 20000)")
    parser.add_argument("--workers", type=int, default=8, help="over one link (default 8)")
    parser.add_argument("--partition", type=float, default=30.0, metavar="S", help="default 30")
    given = parser.parse_args(argv)
    machine = this_machine()
    with one_line_errors():
        report = measure(given.only, given.tasks, given.workers, given.partition)
        print(formatted(report, machine, given))


if __name__ == "__main__":
    main()
