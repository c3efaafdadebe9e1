"""How long commands that compute nothing take to start, in fresh processes, and whether they load PyTorch."""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from evoae_cli.bench.report import Report, formatted, options, this_machine
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import EvoaeError

_COMMANDS = (["--help"], ["show"], ["list"])
_GOAL_S = 0.4
# The exit code is not looked at here: the timed runs have done that.
_IS_TORCH_LOADED = """
import contextlib, io, sys
from evoae_cli.app.main import run
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    run(sys.argv[1:])
print("torch" in sys.modules)
"""


def measure(n_runs: int, runs_folder: Path) -> Report:
    """Time each command `n_runs` times, after one run that fills the system's file cache.

    `runs_folder` holds the studies that `show` and `list` find. Raises EvoaeError if a command fails.
    """
    environ = os.environ | {"EVOAE_RUNS": str(runs_folder)}
    rows, figures = [], {}
    for command in _COMMANDS:
        times = [_timed([*_program(), *command], environ) for _ in range(n_runs + 1)][1:]
        found = subprocess.run(
            [sys.executable, "-c", _IS_TORCH_LOADED, *command], capture_output=True, text=True, env=environ, check=True
        )
        loads_torch = found.stdout.strip() == "True"
        name, median = " ".join(["evoae", *command]), statistics.median(times)
        rows.append((f"`{name}`", f"{median:.2f} s", f"{max(times):.2f} s", "yes" if loads_torch else "no"))
        figures[name] = {"median_s": median, "times_s": times, "loads_torch": loads_torch}
    return Report(
        benchmark="startup",
        goal=f"under {_GOAL_S} s (median), without PyTorch",
        columns=("command", f"median of {n_runs}", "slowest", "loads PyTorch"),
        rows=tuple(rows),
        figures=figures,
    )


def _program() -> list[str]:
    """The console script of this Python's installation, which is what people run; else the package itself."""
    script = shutil.which("evoae", path=str(Path(sys.executable).parent))
    return [script] if script else [sys.executable, "-m", "evoae_cli"]


def _timed(command: list[str], environ: dict[str, str]) -> float:
    begun = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    taken = time.perf_counter() - begun
    if ended.returncode:
        raise EvoaeError(f"{' '.join(command)} ended with exit code {ended.returncode}: {ended.stderr.strip()}")
    return taken


def make_study(runs_folder: Path) -> None:
    """A small finished study, by a real search, for `show` and `list` to find."""
    from evoae_cli.interface import search

    tiny = SMALL | {"final_epochs": 1, "finalists": 1, "workers": 1}
    search("denoise", study=runs_folder / "tiny", progress=False, **tiny)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often each command is timed (default 5)")
    given = parser.parse_args(argv)
    machine = this_machine()
    with tempfile.TemporaryDirectory(prefix="evoae-bench-") as folder, contextlib.redirect_stdout(sys.stderr):
        make_study(Path(folder))
        report = measure(given.runs, Path(folder))
    print(formatted(report, machine, given))


if __name__ == "__main__":
    main()
