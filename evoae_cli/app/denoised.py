"""How `evoae denoise` speaks: its progress while it works, and what is said of the results."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evoae_cli.app.console import can_redraw, say
from evoae_cli.app.lines import ticking
from evoae_cli.app.running import Show
from evoae_cli.app.wording import shorten, visible
from evoae_cli.counted import several

if TYPE_CHECKING:
    from evoae_cli.applying.batch import FileResult, Work
    from evoae_cli.applying.inputs import Job
    from evoae_cli.applying.noisecheck import Trained
    from evoae_cli.applying.tryout import Figures

_FEW = 3
"""Warnings of one kind that are told one by one; more are summed up."""
_NAMED = 5
_NAME_WIDTH = 40

Tell = Callable[[int, float, bool], None]
"""Takes the number of a file, the share of it that is done, and whether it is finished."""


@contextmanager
def progress(show: Show, names: Sequence[str]) -> Iterator[Tell]:
    """Within the block, show how far the work on these files is: a bar where the terminal can, else plain lines."""
    names = [visible(name) for name in names]
    if show.is_quiet:
        yield lambda number, share, is_done: None
    elif can_redraw(show.console):
        with _bar(show, names) as tell:
            yield tell
    else:
        with _lines(show, names) as tell:
            yield tell


@contextmanager
def _bar(show: Show, names: Sequence[str]) -> Iterator[Tell]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    # File names may hold what rich takes for markup.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=show.console, transient=True) as bar:
        task = bar.add_task("denoising", total=len(names))

        def tell(number: int, share: float, is_done: bool) -> None:
            name = shorten(names[number], _NAME_WIDTH)
            bar.update(task, completed=number + share, description=f"{number + 1}/{len(names)} {name}")

        yield tell


@contextmanager
def _lines(show: Show, names: Sequence[str]) -> Iterator[Tell]:
    at, is_silent = (0, 0.0), True

    def tell(number: int, share: float, is_done: bool) -> None:
        nonlocal at, is_silent
        at = (number, share)
        if is_done:
            is_silent = False
            say(show.console, f"{number + 1}/{len(names)} {names[number]}")

    def tick(passed_s: float) -> None:
        nonlocal is_silent
        number, share = at
        if is_silent:
            say(show.console, f"{number + 1}/{len(names)} {names[number]}: {share:.0%} ({passed_s:.0f} s)")
        is_silent = True

    with ticking(tick):
        yield tell


def denoise_jobs(
    show: Show,
    work: "Work",
    jobs: "Sequence[Job]",
    device: str,
    *,
    names_failures: bool = True,
    is_stopped: Callable[[], bool] = lambda: False,
) -> "list[FileResult]":
    """Do the jobs, with progress, and say what a person should know of the results; which failed, unless told not to.

    Once `is_stopped` says so, the file that is being worked on is the last. Raises what `run_jobs` raises.
    """
    from evoae_cli.applying.batch import run_jobs

    with progress(show, [job.name for job in jobs]) as tell:

        def listen(number: int, share: float, result: "FileResult | None") -> None:
            tell(number, share, result is not None)
            if result is not None and result.failure is not None and names_failures:
                say(show.console, f"evoae: {visible(str(result.failure))}", "red")

        results = []
        for result in run_jobs(work, jobs, device, listen):
            results.append(result)
            if is_stopped():
                break
    for line in warnings(results, work.trained):
        show.warn(visible(line))
    return results


def warnings(results: "Sequence[FileResult]", trained: "Trained | None") -> Iterator[str]:
    """What a person should know of the results: line by line if it is little, else summed up."""
    lost = [result for result in results if result.warning]
    if len(lost) <= _FEW:
        yield from (result.warning for result in lost)
    else:
        yield f"{_of(len(lost), results)} have transparency (an alpha channel), which is left out: {_named(lost)}"
    odd = [result for result in results if result.noise_warning]
    if trained is None or len(odd) <= _FEW:
        yield from (result.noise_warning for result in odd)
    else:
        readings = sorted(result.noise_strength or 0.0 for result in odd)
        yield (
            f"{_of(len(odd), results)} read as more or less noisy ({trained.told(readings[0], readings[-1])}) than "
            f"what this model was trained for ({trained}): {_named(odd)}"
        )


def _of(count: int, results: "Sequence[FileResult]") -> str:
    return f"{count:,} of {several(len(results), 'image')}"


def _named(results: "Sequence[FileResult]") -> str:
    shown = ", ".join(str(result.source) for result in results[:_NAMED])
    return shown + (f" and {len(results) - _NAMED:,} more" if len(results) > _NAMED else "")


def table(results: "Sequence[FileResult]") -> Iterator[str]:
    """The figures of files that noise was added to, and their mean; nothing where none was."""
    from evoae_cli.applying.tryout import mean

    scored = [(visible(str(result.source)), result.figures) for result in results if result.figures is not None]
    if not scored:
        return
    if len(scored) > 1:
        scored.append((f"mean of {len(scored):,}", mean([figures for _, figures in scored])))
    width = max(len(name) for name, _ in scored)
    for name, figures in scored:
        yield (
            f"{name:{width}}  noisy {figures.noisy_psnr_db:5.2f} dB, SSIM {figures.noisy_ssim:.3f}"
            f"  output {figures.psnr_db:5.2f} dB, SSIM {figures.ssim:.3f}"
        )


def report(results: "Sequence[FileResult]", model: Path) -> dict[str, Any]:
    """All that is known of the results, for `--json`."""
    from evoae_cli.applying.tryout import mean

    scored = [result.figures for result in results if result.figures is not None]
    n_failed = sum(result.failure is not None for result in results)
    return {
        "model": str(model),
        "done": len(results) - n_failed,
        "failed": n_failed,
        "mean": _figures(mean(scored)) if scored else None,
        "files": [_file(result) for result in results],
    }


def _file(result: "FileResult") -> dict[str, Any]:
    return {
        "input": str(result.source),
        "output": None if result.target is None else str(result.target),
        "error": None if result.failure is None else str(result.failure),
        "planes": result.n_planes,
        "noise_kind": result.noise_kind,
        "noise_strength": result.noise_strength,
        "noise_std_8bit": result.noise_std_8bit,
        "warnings": [line for line in (result.warning, result.noise_warning) if line],
        "figures": None if result.figures is None else _figures(result.figures),
    }


def _figures(figures: "Figures") -> dict[str, float]:
    return {
        "noisy_psnr_db": figures.noisy_psnr_db,
        "noisy_ssim": figures.noisy_ssim,
        "psnr_db": figures.psnr_db,
        "ssim": figures.ssim,
    }
