"""`evoae scale-benchmark`: how many candidates this machine evaluates with more and more workers."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import msgspec
import typer

from evoae_cli.app.beforehand import check_writable
from evoae_cli.app.common import Debug, Json, Quiet, read_as
from evoae_cli.app.console import stderr_console
from evoae_cli.app.engines import EngineName, Place
from evoae_cli.app.options import completion
from evoae_cli.app.running import Show
from evoae_cli.app.scaled_lines import scaling_lines, times_of_one
from evoae_cli.engine.choice import chosen_engine
from evoae_cli.engine.wishes import Wishes
from evoae_cli.errors import EvoaeError, UsageError, first_line
from evoae_cli.study.checks import one_of
from evoae_cli.study.config import MAX_WORKERS, StudyConfig
from evoae_cli.study.resolve import resolve
from evoae_cli.wholefile import write_whole

if TYPE_CHECKING:
    from evoae_cli.bench.executors import Throughput
    from evoae_cli.bench.report import Machine
    from evoae_cli.bench.scale import Conditions, Mode, Reading

_MODES = ("generational", "async", "both")
_FILES = ("scaling.json", "scaling.png")
_N_TASKS, _CHUNK, _COMPARED_WAIT_S = 5000, 64, 0.01
# Enough layer choices for large generations of different candidates.
_SIMULATED_SPACE: dict[str, Any] = {
    "space": "paper",
    "kernels": (1, 2, 3, 4, 5, 6, 7, 9),
    "filters": tuple(range(1, 97)),
    "max_layers": 10,
}


def scale_benchmark(
    workers: Annotated[
        str | None,
        typer.Option("--workers", metavar="N,N,...", help="Numbers of workers (1, 2, 4, ... to one per core or GPU)."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            "--mode", metavar="KIND", help="generational, async, or both.", autocompletion=completion(list(_MODES))
        ),
    ] = "generational",
    generations: Annotated[
        int,
        typer.Option("--generations", parser=read_as(int, "--generations"), metavar="N", help="How many are measured."),
    ] = 5,
    population: Annotated[
        int | None,
        typer.Option(
            "--population",
            parser=read_as(int, "--population"),
            metavar="N",
            help="Of the searches (twice the most workers, at least 6): about two candidates for each in a generation.",
            show_default=False,
        ),
    ] = None,
    simulate: Annotated[
        float | None,
        typer.Option(
            "--simulate",
            parser=read_as(float, "--simulate"),
            metavar="MEAN_S",
            help="Wait so many seconds on average in place of each training.",
            show_default=False,
        ),
    ] = None,
    cv: Annotated[
        float | None,
        typer.Option(
            "--cv",
            parser=read_as(float, "--cv"),
            metavar="CV",
            help="Coefficient of variation of the times to wait, which are log-normal (0).",
            show_default=False,
        ),
    ] = None,
    fail_rate: Annotated[
        float,
        typer.Option(
            "--fail-rate",
            parser=read_as(float, "--fail-rate"),
            metavar="P",
            help="Kill the worker in this share of the evaluations, in no candidate more than twice.",
        ),
    ] = 0.0,
    device: Annotated[str, typer.Option("--device", metavar="TEXT", help="auto, cpu, cuda, or a list.")] = "auto",
    seed: Annotated[
        int,
        typer.Option("--seed", parser=read_as(int, "--seed"), metavar="N", help="Fixes candidates, waits and kills."),
    ] = 0,
    engine: EngineName = "local",
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", metavar="", help="Also send tasks through ProcessPoolExecutor, and Ray and Dask if installed."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Write scaling.json and scaling.png.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite these files.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure how a search scales with its workers on this machine (the paper's Figure 7).

    Searches train real candidates, the same ones with each number of workers. `--simulate` has them wait instead, so
    that more workers than cores can be tried.
    """
    if simulate is not None and device != "auto":
        raise UsageError(f"--device {device} has no effect with --simulate, whose workers only wait; leave it out")
    counts = _counts(workers, device)
    modes = _modes(mode)
    _check(generations, population, simulate, cv, fail_rate)
    if population is not None and population < counts[-1]:
        raise UsageError(
            f"--population {population} leaves some of {counts[-1]} workers idle; use {counts[-1]} or more"
        )
    config = _config(counts, generations, population, simulate, device, seed)
    # Workers note on the clock of one machine what they do, so no address of a cluster is asked for.
    wishes = Wishes(device=lambda: config.device, n_workers=counts[-1], is_waiting=simulate is not None)
    choice = chosen_engine(engine, wishes)
    if out is not None:
        _check_out(out, force)
    from evoae_cli.bench.report import this_machine

    # Before anything is measured, whose load is not meant.
    machine = this_machine()
    show = Show(stderr_console(), quiet, as_json)
    with show.preparing("loading PyTorch"):
        from evoae_cli.bench.scale import Conditions

    asked = Conditions(modes=tuple(modes), engine=engine, simulate_s=simulate, cv=cv or 0.0, fail_rate=fail_rate)
    readings: list[Reading] = []
    compared: list[Throughput] = []
    try:
        for reading in _readings(config, counts, asked, Place(choice=choice), show):
            readings.append(reading)
        if compare:
            if out is not None:
                # Before more is measured for a disk that is full.
                _write(out, _as_json(machine, config, asked, readings, compared), readings, asked)
            for throughput in _compared(counts[-1], show):
                compared.append(throughput)
    finally:
        # What has been measured is told, whatever else fails, or is interrupted.
        if readings:
            found = _as_json(machine, config, asked, readings, compared)
            text = json.dumps(found) if as_json else "\n".join(scaling_lines(readings, compared, asked))
            sys.stdout.write(text + "\n")
            if out is not None:
                _write(out, found, readings, asked)


def _counts(text: str | None, device: str) -> list[int]:
    """The numbers of workers to measure, in order; one worker is always among them."""
    if text is None:
        from evoae_cli.evaluation.hardware import devices
        from evoae_cli.study.setup import worker_devices

        most = len(worker_devices(resolve("denoise", {}, {"device": device}), devices(device)))
        powers = [2**exponent for exponent in range(most.bit_length()) if 2**exponent <= most]
        return sorted({*powers, most})
    counts = []
    for part in text.split(","):
        if not (part.strip().isascii() and part.strip().isdigit()) or not 1 <= int(part) <= MAX_WORKERS:
            raise UsageError(f"--workers {part.strip()!r} is no number of workers; use 1 to {MAX_WORKERS}, as 1,2,4")
        counts.append(int(part))
    return sorted({1, *counts})


def _modes(mode: str) -> list["Mode"]:
    from evoae_cli.bench.scale import Mode

    if mode not in _MODES:
        raise UsageError(f"--mode {mode!r} is unknown; use {one_of(_MODES)}")
    return [known for known in get_args(Mode) if mode in (known, "both")]


def _check(
    generations: int, population: int | None, simulate: float | None, cv: float | None, fail_rate: float
) -> None:
    if not 1 <= generations <= 1000:
        raise UsageError(f"--generations {generations} is out of range; use 1 to 1000")
    if population is not None and not 2 <= population <= 10_000:
        raise UsageError(f"--population {population} is out of range; use 2 to 10000")
    if simulate is not None and not 0 < simulate <= 3600:
        raise UsageError(f"--simulate {simulate:g} is out of range; use above 0, and at most 3600 seconds")
    if cv is not None and simulate is None:
        raise UsageError(f"--cv {cv:g} is of the times to wait; give --simulate SECONDS too")
    if cv is not None and not 0 <= cv <= 10:
        raise UsageError(f"--cv {cv:g} is out of range; use 0 to 10")
    if not 0 <= fail_rate <= 0.9:
        raise UsageError(f"--fail-rate {fail_rate:g} is out of range; use 0 to 0.9")


def _config(
    counts: Sequence[int], generations: int, population: int | None, simulate: float | None, device: str, seed: int
) -> StudyConfig:
    settings: dict[str, Any] = {
        "generations": generations,
        "population": population or max(6, 2 * counts[-1]),
        "finalists": 1,
        "device": "cpu" if simulate is not None else device,
        "seed": seed,
        # What is drawn must not depend on how many copies of one there are.
        "keep_duplicates": False,
    }
    return resolve("denoise", _SIMULATED_SPACE if simulate is not None else {}, settings)


def _check_out(out: Path, is_forced: bool) -> None:
    check_writable(out, "--out")
    there = [name for name in _FILES if (out / name).exists()]
    if there and not is_forced:
        raise UsageError(f"--out {out / there[0]} exists; add --force to overwrite it, or name another folder")


def _readings(
    config: StudyConfig,
    counts: Sequence[int],
    asked: "Conditions",
    place: Place,
    show: Show,
) -> Iterator["Reading"]:
    from evoae_cli.bench.scale import measure
    from evoae_cli.bench.scaled import Orders

    def orders(folder: str) -> Orders:
        return Orders(folder=folder, seed=config.seed, wait_s=asked.simulate_s, cv=asked.cv, fail_rate=asked.fail_rate)

    with tempfile.TemporaryDirectory(prefix="evoae-scale-") as folder:
        for mode in asked.modes:
            for count in counts:
                own = msgspec.structs.replace(config, mode=mode, workers=count)
                with show.preparing(f"{mode} search with {count} worker{'s' * (count > 1)}"):
                    yield measure(own, orders, Path(folder), show.warn, place.make_engine())


def _compared(n_workers: int, show: Show) -> Iterator["Throughput"]:
    from evoae_cli.bench.executors import available, throughput

    for wait_s, chunk in ((0.0, 1), (_COMPARED_WAIT_S, 1), (0.0, _CHUNK)):
        n_tasks = _N_TASKS if not wait_s else max(1, n_workers) * 100
        for name in available():
            with show.preparing(f"{n_tasks:,} tasks through {name}"):
                try:
                    found = throughput(name, n_workers=n_workers, n_tasks=n_tasks, wait_s=wait_s, chunk=chunk)
                except Exception as error:
                    if name == "evoae":
                        raise
                    # Whatever another's software does on this machine, what has been measured is told.
                    show.warn(f"{name} could not be measured: {type(error).__name__}: {first_line(error)}")
                    continue
            yield found


def _as_json(
    machine: "Machine",
    config: StudyConfig,
    asked: "Conditions",
    readings: Sequence["Reading"],
    compared: Sequence["Throughput"],
) -> dict[str, Any]:
    rows = [
        msgspec.to_builtins(reading) | {"times_one_worker": times}
        for reading, times in zip(readings, times_of_one(readings), strict=True)
    ]
    return {
        "machine": msgspec.to_builtins(machine),
        "asked": msgspec.to_builtins(asked),
        "settings": msgspec.to_builtins(config),
        "readings": rows,
        "compared": [msgspec.to_builtins(one) for one in compared],
    }


def _write(out: Path, found: dict[str, Any], readings: Sequence["Reading"], asked: "Conditions") -> None:
    from evoae_cli.bench.scale_figure import scaling_png

    figure = scaling_png(list(zip(readings, times_of_one(readings), strict=True)), asked.unlike_a_search)
    was_there = out.is_dir()
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / _FILES[0], (json.dumps(found, indent=2) + "\n").encode())
        write_whole(out / _FILES[1], figure)
    except OSError as error:
        if not was_there:
            with contextlib.suppress(OSError):  # not made, or not empty
                out.rmdir()
        raise EvoaeError(f"cannot write to {out}: {error.strerror}; make room or choose another --out") from error
