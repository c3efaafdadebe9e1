"""Rows of a comparison, kept in a file from run to run: what is there is not measured again."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from evoae_cli.bench.report import Machine
from evoae_cli.errors import UsageError
from evoae_cli.wholefile import write_whole


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one method did on the test images."""

    name: str
    case: str
    """What it was asked for: the noise, or the size of the code."""
    seed: int | None = None
    """None where nothing depends on it."""
    budget_s: float | None = None
    """Seconds that a search had, or the one whose finalist's time a rival had; None for what needs no training."""
    psnr_db: float
    ssim: float
    parameters: int | None = None
    ms: float | None = None
    """Per image, on one core."""
    search_s: float | None = None
    train_s: float | None = None
    genotype: str = ""
    n_values: int | None = None
    """In the code of one image."""
    n_bytes: float | None = None
    """Of the code of one image, on average."""
    settings: dict[str, Any] = {}
    """Given with --config or otherwise, beyond those of the preset."""
    more: dict[str, Any] = {}
    """What one benchmark alone has."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What all rows of a file have in common."""

    benchmark: str
    data: str
    """Full path of the images to learn from."""
    test: str
    """Fingerprint of the test images."""
    machine: Machine
    """At the beginning of the first run."""


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    setup: Setup
    rows: list[Row]


class Results:
    """The rows found so far, in `path` if there is one; written whole after each."""

    def __init__(self, path: Path | None, setup: Setup) -> None:
        """Read what is in `path`.

        Raises UsageError for a file that is none of these, and for rows of other images or another machine.
        """
        self.path = path
        self.setup = setup
        self.rows: list[Row] = []
        if path is None or not path.exists():
            return
        try:
            content = msgspec.json.decode(path.read_bytes(), type=_Content)
        except OSError as error:
            raise UsageError(f"--out {path} cannot be read: {error.strerror or error}") from error
        except msgspec.MsgspecError:
            raise UsageError(f"--out {path} holds no results of this benchmark; name another file") from None
        for what, there, here in _compared(content.setup, setup):
            if there != here:
                raise UsageError(f"--out {path} holds rows of another {what} ({there}, not {here}); name another file")
        self.setup, self.rows = content.setup, content.rows

    def find(
        self, name: str, case: str, seed: int | None, budget_s: float | None, settings: dict[str, Any]
    ) -> Row | None:
        """The row of a method, if it is there. Raises UsageError if it was made with other settings."""
        key = (name, case, seed, budget_s)
        found = next((row for row in self.rows if (row.name, row.case, row.seed, row.budget_s) == key), None)
        if found is not None:
            self.check_settings(found, settings)
        return found

    def check_settings(self, row: Row, settings: dict[str, Any]) -> None:
        """Raise UsageError unless the row was made with these settings."""
        if plain(row.settings) != plain(settings):
            raise UsageError(
                f"--out {self.path} has {row.name} with {_spelt(row.settings)}, not {_spelt(settings)}; "
                "name another file"
            )

    def add(self, row: Row) -> None:
        """Keep one more row. Raises UsageError where the file cannot be written."""
        self.rows.append(row)
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(
                self.path,
                msgspec.json.format(msgspec.json.encode(_Content(setup=self.setup, rows=self.rows)), indent=1) + b"\n",
            )
        except OSError as error:
            raise UsageError(f"--out {self.path} cannot be written: {error.strerror or error}") from error


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as they come back from a file: tuples are lists there."""
    there: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    return there


def _spelt(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items()) or "no settings of its own"


def _compared(there: Setup, here: Setup) -> list[tuple[str, str, str]]:
    def of(setup: Setup) -> tuple[str, ...]:
        machine = setup.machine
        return setup.benchmark, setup.data, setup.test, f"{machine.cpu}, {machine.cores} cores, PyTorch {machine.torch}"

    return list(zip(("benchmark", "--data", "set of images", "machine"), of(there), of(here), strict=True))


def grouped(rows: Iterable[Row], names: Sequence[str]) -> list[list[Row]]:
    """The rows of all seeds of a method together: by case as they first came, then by budget, in the order of `names`.

    What needs no training comes before all budgets.
    """
    groups: dict[tuple[str, float, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case, row.budget_s or 0.0, row.name), []).append(row)
    cases = list(dict.fromkeys(case for case, _, _ in groups))
    order = sorted(groups, key=lambda key: (cases.index(key[0]), key[1], names.index(key[2])))
    return [groups[key] for key in order]


TIMES = ("search, s", "training, s", "seeds")
"""The last columns of a table of groups."""


def times_of(group: Sequence[Row]) -> tuple[str, ...]:
    """The cells of `TIMES`."""
    n_seeds = "-" if group[0].seed is None else str(len(group))
    return mean_text([row.search_s for row in group], 0), mean_text([row.train_s for row in group], 0), n_seeds


def case_text(row: Row) -> str:
    """`gaussian:25`, and for what was searched or trained in a given time `gaussian:25, 10 min`."""
    if row.budget_s is None:
        return row.case
    time = f"{row.budget_s:g} s" if row.budget_s % 60 else f"{row.budget_s / 60:g} min"
    return f"{row.case}, {time}"


def mean_text(values: Sequence[float | None], digits: int) -> str:
    """The mean, with least and greatest where there are several: `27.4 (27.2 to 27.5)`; `-` where there is none."""
    there = [value for value in values if value is not None]
    if not there:
        return "-"
    mean, low, high = (f"{value:,.{digits}f}" for value in (fmean(there), min(there), max(there)))
    return mean if low == high else f"{mean} ({low} to {high})"
