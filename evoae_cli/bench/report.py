"""What all benchmarks share: their options, the machine they ran on, and how they print what they found."""

import argparse
import contextlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.hardware import device_model, n_cores


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where figures come from."""

    cpu: str
    cores: int
    """That this process may use."""
    system: str
    python: str
    torch: str
    load: float
    """Average number of runnable processes in the minute before the benchmark: near 0 on a quiet machine."""

    def line(self) -> str:
        """`AMD EPYC, 2 cores, Linux x86_64, Python 3.11.7, PyTorch 2.8.0, load 0.1 before the start`."""
        return (
            f"{self.cpu}, {self.cores} core{'s' * (self.cores != 1)}, {self.system}, Python {self.python}, "
            f"PyTorch {self.torch}, load {self.load:.1f} before the start"
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark found: a table for people, and the figures behind it."""

    benchmark: str
    goal: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: dict[str, Any]
    """Plain values, for `--json`."""


def this_machine() -> Machine:
    """The machine at this moment. Call it before the work of the benchmark, whose load is not meant."""
    return Machine(
        cpu=device_model("cpu"),
        cores=n_cores(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=importlib.metadata.version("torch"),
        load=os.getloadavg()[0],
    )


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--markdown", action="store_true", help="print machine and table as docs/benchmarks.md has them")
    return parser


def tell(text: str) -> None:
    """Say on standard error how far it is, or what is not as asked for."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line on standard error, and the error's exit code, where evoae raises on purpose."""
    try:
        yield
    except EvoaeError as error:
        tell(f"error: {error}")
        sys.exit(error.exit_code)


def formatted(report: Report, machine: Machine, given: argparse.Namespace) -> str:
    """The report in the form that was asked for."""
    if given.json:
        content = {"benchmark": report.benchmark, "machine": machine, "goal": report.goal, "figures": report.figures}
        return msgspec.json.encode(content).decode()
    if given.markdown:
        return f"{machine.line()}:\n\n{markdown_table(report.columns, report.rows)}"
    widths = [max(map(len, column)) for column in zip(report.columns, *report.rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (report.columns, *report.rows)]
    return "\n".join([machine.line(), *lines, f"goal: {report.goal}"])


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as the documents have it."""
    return "\n".join(map(_row, (columns, ["---"] * len(columns), *rows)))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
