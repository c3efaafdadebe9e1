"""When a worker ends because its memory does not fall back."""

import gc
import mmap
from collections.abc import Callable
from pathlib import Path

import pytest

from evoae_cli.worker.memory import MARGIN, N_FIRST, MemoryWatch, device_bytes, give_back, own_bytes, watch

MB = 10**6


class Held:
    """Bytes held, of which some fall back when they are asked for."""

    def __init__(self) -> None:
        self.kept = 0
        self.garbage = 0
        self.n_cleared = 0

    def read(self) -> int:
        return self.kept + self.garbage

    def clear(self) -> None:
        self.garbage = 0
        self.n_cleared += 1


@pytest.fixture
def held() -> Held:
    return Held()


def after_first_tasks(held: Held, kept: int) -> Callable[[], str]:
    watch = MemoryWatch({"memory": held.read}, held.clear)
    held.kept = kept
    for _ in range(N_FIRST):
        assert watch.after_task() == ""
    return watch.after_task


def test_growth_by_more_than_the_margin_ends_the_worker_and_the_reason_has_the_figures(held: Held) -> None:
    after_task = after_first_tasks(held, 300 * MB)
    held.kept = 300 * MB + MARGIN
    assert after_task() == ""
    held.kept = 900 * MB
    assert after_task() == "holds 900 MB of memory after its task, and 300 MB after its first ones"


def test_what_only_waits_to_be_freed_is_freed_first_and_costs_nothing_below_the_margin(held: Held) -> None:
    after_task = after_first_tasks(held, 300 * MB)
    held.garbage = MARGIN // 2
    assert after_task() == ""
    assert held.n_cleared == 0
    held.garbage = 2 * MARGIN
    assert after_task() == ""
    assert held.n_cleared == 1


def test_the_most_that_the_first_tasks_left_is_what_counts(held: Held) -> None:
    watch = MemoryWatch({"memory": held.read}, held.clear)
    for kept in (300, 2000, 300)[:N_FIRST]:
        held.kept = kept * MB
        assert watch.after_task() == ""
    held.kept = 2000 * MB + MARGIN
    assert watch.after_task() == ""


def test_each_memory_is_compared_with_itself() -> None:
    host, device = Held(), Held()
    watch = MemoryWatch({"memory": host.read, "cuda:0's memory": device.read}, lambda: None)
    host.kept = 4000 * MB
    for _ in range(N_FIRST):
        watch.after_task()
    device.kept = 1000 * MB
    assert watch.after_task().startswith("holds 1000 MB of cuda:0's memory")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process's memory there")
def test_own_memory_is_what_this_process_alone_holds(tmp_path: Path) -> None:
    give_back()  # else bytes that an earlier test freed, and glibc kept, are taken again and nothing grows
    before = own_bytes()
    kept = b"\xff" * (64 * MB)
    assert own_bytes() - before > 60 * MB
    del kept
    path = tmp_path / "images"
    path.write_bytes(b"\xff" * (64 * MB))
    before = own_bytes()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[:: mmap.PAGESIZE].count(0xFF) == len(mapped) // mmap.PAGESIZE
        assert own_bytes() - before < 30 * MB


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process's memory there")
def test_giving_back_ends_what_only_a_cycle_keeps_alive() -> None:
    gc.disable()
    try:
        give_back()
        before = own_bytes()
        cycle: list[object] = [b"\xff" * (64 * MB)]
        cycle.append(cycle)
        del cycle
        assert own_bytes() - before > 60 * MB
        give_back()
        assert own_bytes() - before < 30 * MB
    finally:
        gc.enable()


def test_a_gpu_that_this_process_does_not_use_holds_nothing() -> None:
    assert device_bytes("cuda:0") == 0
    assert watch("cuda:0").after_task() == ""
