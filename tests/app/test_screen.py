"""The live screen as a pure function of snapshots."""

import io

import pytest
from rich.console import Console

from evoae_cli.app.screen import counts_text, leading_text, render
from evoae_cli.engine.protocol import HelperView, WorkerView
from evoae_cli.study.snapshot import ArchitectureRow, Counts, Snapshot

LONG = ",".join(["5x5conv2d:64", "3x3conv2d:32", "dropout2d"] * 4)


FRONT: dict[str, object] = {
    "objectives": ("fitness", "parameters"),
    "front": (
        ArchitectureRow(genotype=LONG, fitness=100.5, psnr_db=27.3, parameters=60112),
        ArchitectureRow(genotype=LONG, fitness=30.5, psnr_db=22.1, parameters=1203),
    ),
}


HELPED: dict[str, object] = {
    "helpers": (HelperView(name="gpu-2", n_workers=4, n_tasks=6), HelperView(name="gpu-3", n_workers=1, n_tasks=1))
}


def make_snapshot(n_workers: int = 2, genotype: str = "3x3conv2d:16", **changes: object) -> Snapshot:
    values: dict[str, object] = {
        "study": "runs/denoise-20260101-120000",
        "objective": "denoise",
        "state": "running",
        "phase": "search",
        "seed": 0,
        "generation": 2,
        "n_generations": 4,
        "n_done": 32,
        "n_expected": 54,
        "share": 0.5,
        "elapsed_s": 75.0,
        "remaining_s": 240.0,
        "baseline": "noisy",
        "baseline_db": 12.34,
        "best_db": 25.06,
        "references": {"wavelet": 23.9, "non-local means": 25.61},
        "workers": tuple(
            WorkerView(
                name=f"w{i}", device="cpu", pid=4000 + i, state="training", task=genotype, running_s=i, progress=0.5
            )
            for i in range(n_workers)
        ),
        "best": tuple(
            ArchitectureRow(genotype=genotype, fitness=64.2 - i, psnr_db=25.06 - i, parameters=6043) for i in range(5)
        ),
        "fitness_by_generation": (40.0, 64.2),
        "counts": Counts(proposed=40, trained=32, cache_hits=3, in_flight_hits=1),
    }
    return Snapshot(**(values | changes))  # type: ignore[arg-type]


def drawn(snapshot: Snapshot, width: int, height: int = 24) -> list[str]:
    # The console is wider than the screen, so a line that is too long is seen as such rather than wrapped.
    console = Console(file=io.StringIO(), width=width + 40, height=height)
    console.print(render(snapshot, width, height))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_leading_line_says_from_where_to_where_and_what_is_hard_to_beat() -> None:
    assert drawn(make_snapshot(), 80)[0] == "noisy 12.3 dB -> best 25.1 dB (non-local means 25.6)"


def test_before_any_result_the_leading_line_invents_no_number() -> None:
    assert leading_text(make_snapshot(baseline_db=None, best_db=None, references={})) == "noisy ... dB -> best ... dB"


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 120, 200])
@pytest.mark.parametrize("genotype", ["3x3conv2d:16", LONG])
@pytest.mark.parametrize("n_workers", [0, 1, 64])
def test_every_line_fits_the_width(width: int, genotype: str, n_workers: int) -> None:
    snapshot = make_snapshot(
        n_workers,
        genotype,
        study="runs/" + "long" * 30,
        state="stopping",
        counts=Counts(trained=10**6, cache_hits=10**6, diverged=3, oom=2, timeout=1, crashed=1, lost_leases=3),
        **FRONT,
    )
    assert max(map(len, drawn(snapshot, width))) <= width


@pytest.mark.parametrize("height", [16, 24, 50])
@pytest.mark.parametrize("n_workers", [0, 1, 2, 8, 64])
def test_the_screen_never_grows_beyond_the_height_and_leaves_the_cursor_a_line(height: int, n_workers: int) -> None:
    for changes in ({}, FRONT, HELPED):
        snapshot = make_snapshot(n_workers, state="stopping", **changes)
        assert len(drawn(snapshot, 80, height)) < height


def test_with_several_objectives_one_line_tells_how_far_the_front_goes() -> None:
    assert "front: 2 from 1,203 parameters/22.1 dB to 60,112/27.3 dB" in drawn(make_snapshot(**FRONT), 80)
    assert not any("front" in line for line in drawn(make_snapshot(), 80))


def test_of_many_workers_the_first_are_shown_and_the_rest_are_counted() -> None:
    lines = drawn(make_snapshot(64), 80)
    n_shown = sum("pid" in line for line in lines)
    assert n_shown >= 4
    assert f"... and {64 - n_shown} more" in lines


def test_a_worker_row_tells_device_process_genotype_and_time() -> None:
    row = next(line for line in drawn(make_snapshot(2), 80) if "pid 4001" in line)
    assert row.startswith("cpu pid 4001")
    assert "3x3conv2d:16" in row
    assert row.endswith("0:01")


def test_a_worker_that_trains_nothing_shows_its_state_instead() -> None:
    idle = WorkerView(name="w", device="cuda:0", pid=7, state="starting", task="3x3conv2d:16", progress=0.5)
    text = "\n".join(drawn(make_snapshot(workers=(idle,), best=()), 80))
    assert "starting" in text
    assert "3x3conv2d:16" not in text


def test_long_genotypes_keep_both_ends() -> None:
    lines = [line for line in drawn(make_snapshot(genotype=LONG), 80) if "…" in line]
    assert len(lines) == 7
    assert all("5x5conv2d:64" in line for line in lines)
    assert all("dropout2d" in line for line in lines)


@pytest.mark.parametrize(
    ("width", "best", "worker"),
    [
        (80, "1 5x5conv2d:32,…,5x5sepconv:32/r4/x3/skips:cnac/res ", " 5x5conv2d:32,…/r4/x3/skips:cnac/res "),
        (60, "1 5x5conv2d:32,…/r4/x3/… ", " 5x5conv2d:32,…/r4/x3/… "),
    ],
)
def test_the_genes_of_long_genotypes_are_in_short_and_no_part_is_torn(width: int, best: str, worker: str) -> None:
    text = "5x5conv2d:32,3x3dilated:16,5x5sepconv:32/reductions:4/repeats:3/skips:concat,none,add,concat/residual"
    lines = drawn(make_snapshot(genotype=text), width)
    [first] = [line for line in lines if line.startswith("1 ")]
    assert first.startswith(best)
    assert first.split()[-3:] == ["64.2", "25.1", "6,043"]
    [training] = [line for line in lines if "pid 4001" in line]
    assert worker in training
    assert training.endswith("0:01")


def test_a_worker_that_is_drained_keeps_its_word_before_a_long_genotype() -> None:
    text = "5x5conv2d:32,3x3dilated:16/reductions:4/repeats:3/skips:concat,none,add,concat/residual"
    last = WorkerView(name="w", device="cpu", pid=7, state="draining", task=text, progress=0.5)
    assert any(
        "last: 5x5conv2d:32,…/r4/x3/skips:cnac/res" in line for line in drawn(make_snapshot(workers=(last,)), 80)
    )


def test_failures_are_counted_by_kind_only_if_there_are_any() -> None:
    assert counts_text(Counts(trained=32, cache_hits=3, in_flight_hits=1)) == "32 trained, 4 cached"
    assert counts_text(Counts(trained=32, rejected=1000)) == "32 trained, 0 cached, 1,000 rejected"
    failed = Counts(trained=32, oom=1, diverged=2, lost_leases=1)
    assert counts_text(failed) == "32 trained, 0 cached, 3 failed (2 diverged, 1 oom), 1 worker lost"


def test_progress_names_the_time_that_remains_once_it_is_known() -> None:
    assert any(line.endswith("32 of 54, about 4 min left") for line in drawn(make_snapshot(), 80))
    assert any(line.endswith("32 of 54") for line in drawn(make_snapshot(remaining_s=None), 80))


def test_the_bar_can_be_read_without_colours() -> None:
    line = next(line for line in drawn(make_snapshot(), 80) if "32 of 54" in line)
    assert abs(line.count("━") - line.count("─")) <= 1


def test_while_stopping_the_screen_says_what_it_waits_for() -> None:
    assert drawn(make_snapshot(2, state="stopping"), 80)[-1].startswith("stopping: waiting for 2 evaluations")


@pytest.mark.parametrize("phase", ["preparing", "search", "finalists", "test", "finished"])
def test_every_phase_can_be_drawn_before_anything_is_known(phase: str) -> None:
    empty = make_snapshot(0, phase=phase, n_done=0, n_expected=0, remaining_s=None, best=(), references={})
    assert len(drawn(empty, 80)) > 3


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    assert any("runs/[red]x[/red]" in line for line in drawn(make_snapshot(study="runs/[red]x[/red]"), 80))


def test_hosts_that_help_stand_in_one_line_below_the_workers() -> None:
    lines = drawn(make_snapshot(**HELPED), 80)
    assert "helped by gpu-2 4 workers, 6 tasks; gpu-3 1 worker, 1 task" in lines
    assert not any("helped" in line for line in drawn(make_snapshot(), 80))
