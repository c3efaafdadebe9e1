"""Peak memory of a CPU worker that trains a wide layer on the study's own photographs."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.bench.report import Report, formatted, options, this_machine
from evoae_cli.broker.task import Task
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.evaluation.contract import Evaluation, Precision
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import prepare
from evoae_cli.study.study import RUNNER

_GOAL_MB = 900
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def measure(genotype: str, crop: int, batch_size: int, n_images: int) -> Report:
    """Train `genotype` in a fresh worker for each precision, score it on val, and read the worker's peak.

    Raises UsageError where the system does not tell it, EvoaeError if an evaluation fails.
    """
    rows: list[tuple[str, ...]] = []
    figures: dict[str, Any] = {}
    for precision in _PRECISIONS:
        found, peak, shared = _peak(genotype, crop, batch_size, n_images, precision)
        case = f"`{genotype}`, {crop}x{crop}, batch {batch_size}, {precision}"
        rows.append((case, f"{peak / 1e6:.0f} MB", f"{shared / 1e6:.0f} MB"))
        figures[precision] = {
            "peak_bytes": peak,
            "file_bytes": shared,
            "images_seen": found.images_seen,
            "fitness": found.fitness,
        }
    return Report(
        benchmark="memory",
        goal=f"a peak under {_GOAL_MB} MB",
        columns=("training", "peak resident memory", "of it files that workers share, at the end"),
        rows=tuple(rows),
        figures=figures,
    )


def _peak(
    genotype: str, crop: int, batch_size: int, n_images: int, precision: Precision
) -> tuple[Evaluation, int, int]:
    settings = {"crop": crop, "batch_size": batch_size, "train_images": n_images, "epochs": 1, "precision": precision}
    setup = prepare(resolve("denoise", settings, {"device": "cpu", "workers": 1}), _refuse)
    with tempfile.TemporaryDirectory(prefix="evoae-bench-") as folder:
        (Path(folder) / "weights").mkdir()
        request = setup.requests(Path(folder)).search(genotype, 0.0)
        with LocalEngine([WorkerSpec(device="cpu", threads=setup.config.threads)], RUNNER) as engine:
            engine.submit([Task(id=1, payload=msgspec.msgpack.encode(request))])
            result = engine.next_result()
            if result is None:
                raise EvoaeError("a worker was lost, so nothing was measured; run it again")
            if result.outcome != "ok":
                raise EvoaeError(f"{genotype} ended as {result.outcome}: {result.reason}")
            [worker] = engine.view().workers
            status = _status(worker.pid)
    return msgspec.msgpack.decode(result.payload, type=Evaluation), status["VmHWM"], status["RssFile"]


def _status(pid: int) -> dict[str, int]:
    """Memory figures of a living process, in bytes, by Linux's names."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError as error:
        raise UsageError("the peak memory of another process is read from /proc, which only Linux has") from error
    fields = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {name.rstrip(":"): int(value) * 1024 for name, value, _ in fields}


def _refuse(warning: str) -> None:
    raise EvoaeError(f"the benchmark's images are not as expected: {warning}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    parser.add_argument("--genotype", default="3x3conv2d:64")
    parser.add_argument("--crop", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=640, help="crops to train on (default 640)")
    given = parser.parse_args(argv)
    machine = this_machine()
    report = measure(given.genotype, given.crop, given.batch_size, given.images)
    print(formatted(report, machine, given))


if __name__ == "__main__":
    main()
