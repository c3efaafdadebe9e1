"""Wrong use of --engine, and of what belongs to a Ray cluster."""

from pathlib import Path

from wrong_use_kit import Kit, case

RAY = "search denoise --engine ray"

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "one_process.py"


def examples_engine(kit: Kit) -> None:
    """The file of the documents."""
    (kit.folder / "engine_strict.py").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")


CASES = (
    case(
        "an engine with another's options",
        "search denoise --engine engine_strict:choose --gpus-per-task 1",
        *("--gpus-per-task 1", "is for a Ray cluster"),
        prepare=examples_engine,
    ),
    case(
        "an unknown engine",
        "search denoise --engine dask",
        "--engine 'dask'",
        "local, ray, or",
        is_process=True,
    ),
    case(
        "an unknown engine of a dry run",
        "search denoise --dry-run --engine x",
        "--engine 'x'",
        "local, ray, or",
    ),
    case("a dry run on a cluster", f"{RAY} --dry-run", "--dry-run", "leave one of them out"),
    case("a GPU of this host", f"{RAY} --device cuda:1", "--device cuda:1", "--gpus-per-task 1"),
    case("a name that is none", f"{RAY} --ray-address a..b:6379", "--ray-address a..b:6379", "nobody answers"),
    case("a port that is no number", f"{RAY} --ray-address 127.0.0.1:²", "--ray-address 127.0.0.1:²", "HOST:6379"),
    case(
        "workers without cores",
        "scale-benchmark --engine ray --workers 200 --device cpu",
        "--workers 200",
        "use at most",
    ),
    case("a cluster without Ray", "search denoise --ray-address auto", "--ray-address auto", "add --engine ray"),
    case("CPUs without Ray", "resume mine --cpus-per-task 2", "--cpus-per-task 2", "add --engine ray"),
    case("Ray's client", f"{RAY} --ray-address ray://gpu-1:10001", "ray://gpu-1:10001", "HOST:6379"),
    case("endless CPUs for a task", f"{RAY} --cpus-per-task inf", "--cpus-per-task inf", "1024"),
    case("next to no GPU for a task", f"{RAY} --gpus-per-task 0.00001", "--gpus-per-task 1e-05", "0 to 1"),
    case("no CPUs for a task", f"{RAY} --cpus-per-task 0", "--cpus-per-task 0", "more than 0"),
    case("CPUs of no number", f"{RAY} --cpus-per-task x", "--cpus-per-task 'x'", "as 0.5"),
    case("two GPUs for a task", f"{RAY} --gpus-per-task 2", "--gpus-per-task 2", "0 to 1"),
    case("GPUs for tasks of CPUs", f"{RAY} --gpus-per-task 1 --device cpu", "--gpus-per-task 1", "--device cpu"),
    case("other hosts for a cluster", f"{RAY} --listen 47079", "--engine ray", "leave one of them out"),
    case(
        "an unknown engine of a comparison",
        "random-baseline denoise --engine x",
        "--engine 'x'",
        "local, ray, or",
    ),
    case("an engine of no module", "search denoise --engine mine:choose", "the engine mine:choose", "PYTHONPATH"),
    case("an engine that is none", "search denoise --engine os.path:join", "--engine os.path:join", "TypeError"),
    case("an engine that is a value", "search denoise --engine os:sep", "--engine os:sep", "is a str, not a function"),
    case(
        "an engine that gives another thing",
        "search denoise --engine builtins:str",
        "--engine builtins:str",
        "not a Choice",
    ),
    case("an engine's file", "search denoise --engine mine.py:choose", "--engine 'mine.py:choose'", "mine:choose"),
    case("an unknown engine to measure", "scale-benchmark --engine x", "--engine 'x'", "local, ray, or"),
)
