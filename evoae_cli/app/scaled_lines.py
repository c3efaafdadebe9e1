"""What `scale-benchmark` prints, as lines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evoae_cli.app.tables import columns

if TYPE_CHECKING:
    from evoae_cli.bench.executors import Throughput
    from evoae_cli.bench.scale import Conditions, Reading


def times_of_one(readings: Sequence["Reading"]) -> list[float]:
    """Rates as multiples of one worker's in the same mode."""
    of_one = {reading.mode: reading.rate for reading in readings if reading.workers == 1}
    return [reading.rate / of_one[reading.mode] for reading in readings]


def scaling_lines(
    readings: Sequence["Reading"], compared: Sequence["Throughput"], conditions: "Conditions"
) -> list[str]:
    """What is otherwise than in a search; a row for each search; below them one for each executor that was compared."""
    gap, recovery = ("gap, ms", "95 %"), ("recovery, s", "95 %")
    rows = [["search", "workers", "per minute", "times one", "busy", *gap, "killed", *recovery]]
    for reading, times in zip(readings, times_of_one(readings), strict=True):
        rows.append(
            [
                reading.mode,
                str(reading.workers),
                f"{60 * reading.rate:,.1f}",
                f"{times:.2f}",
                f"{reading.busy:.1%}",
                _number(reading.gap_median_s, 1000),
                _number(reading.gap_p95_s, 1000),
                str(reading.n_killed),
                _number(reading.recovery_median_s, 1),
                _number(reading.recovery_p95_s, 1),
            ]
        )
    lines = [*filter(None, [conditions.unlike_a_search]), *columns(rows, tuple(range(1, 10)))]
    if compared:
        lines += ["", *_compared_lines(compared)]
    return lines


def _compared_lines(compared: Sequence["Throughput"]) -> list[str]:
    of_evoae = {(one.wait_s, one.chunk): one.tasks_per_s for one in compared if one.executor == "evoae"}
    rows = [["tasks", "handed over", "through", "workers", "per second", "evoae's are so many times"]]
    for one in compared:
        rows.append(
            [
                f"wait {1000 * one.wait_s:g} ms" if one.wait_s else "do nothing",
                "one by one" if one.chunk == 1 else f"{one.chunk} together",
                one.executor,
                str(one.workers),
                f"{one.tasks_per_s:,.0f}",
                f"{of_evoae[one.wait_s, one.chunk] / one.tasks_per_s:.2f}",
            ]
        )
    return columns(rows, (3, 4, 5))


def _number(value: float | None, factor: float) -> str:
    return "-" if value is None else f"{factor * value:.2f}"
