"""The closing screen: the result, where the model is, and four lines to copy."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from evoae_cli.app.common import command_line
from evoae_cli.app.genotypes import broken
from evoae_cli.app.screen import counts_text
from evoae_cli.app.wording import by_strength_text, clock, wrapped
from evoae_cli.study.front import front_text
from evoae_cli.study.locate import BEST, SETTINGS, shortest_name
from evoae_cli.study.snapshot import ArchitectureRow, Counts

_OWN_IMAGES = ("--data", "FOLDER")
_TIME_UP = "its time was up; evoae resume goes on with the search"


def closing(summary: dict[str, Any], folder: Path, width: int, page: Path | None = None) -> RenderableType:
    """What a finished study came to; `summary` is the object of `evoae show --json`, with a best model, and
    `page` the study's page, where there is one.

    The others are broken between words and between the parts of the genotype. Lines to copy may be longer than `width`
    and must not be broken, so print it with `soft_wrap=True`.
    """
    best = summary["best"]
    split = "test" if best.get("test") else "val"
    scores = best["test"] or best
    facts = [
        against(summary, split),
        f"noise: {summary['noise']}",
        by_strength_text(scores),
        *broken(best["genotype"], width),
        f"{_further(scores)}{_sizes(best)}",
        f"{became_text(summary)}, in {clock(summary['active_s'])}",
        start_line(summary),
        front_line(summary),
        _end(summary),
    ]
    lines = [
        Text(f"{summary['objective']}: {_headline(scores)} on {split}", style="bold green"),
        *(Text(line) for fact in facts if fact for line in wrapped(fact, width)),
        Text(f"model: {folder / BEST}"),
        *([] if page is None else [Text(f"report: {page}")]),
        Text(),
        *[
            Text(f"  {line}", style="cyan")
            for line in next_lines(
                summary["objective"], folder, is_alone=is_training(summary), images=_like(summary["settings"])
            )
        ],
    ]
    return Group(*lines)


def became_text(summary: dict[str, Any]) -> str:
    """What became of all that was to be trained, as `32 trained, 4 cached`."""
    return counts_text(Counts(**summary["counts"]), is_training=is_training(summary))


def is_training(summary: dict[str, Any]) -> bool:
    """Whether the study trains one architecture; those of older versions never do."""
    return summary["settings"].get("genotype") is not None


def start_line(summary: dict[str, Any]) -> str:
    """`+0.82 dB on val (24.38 to 25.20) against the start, runs/a`; empty where a study has no start."""
    start, best = summary.get("start"), summary["best"]
    if start is None:
        return ""
    folder = Path(start["study"])
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    if best is None or "fitness" not in start:
        return f"trained further from {folder}"
    name, unit = ("fitness", "") if start["psnr_db"] is None else ("psnr_db", " dB")
    before, after = start[name], best[name]
    what = "" if unit else "fitness "
    return f"{what}{after - before:+.2f}{unit} on val ({before:.2f} to {after:.2f}) against the start, {folder}"


def front_line(summary: dict[str, Any]) -> str:
    """`front: 5 from 1,203 parameters/22.1 dB to 60,112/27.3 dB`; empty where there is one objective."""
    rows = msgspec.convert(summary["front"], list[ArchitectureRow])
    return front_text(rows, summary["settings"].get("objectives", ()))


def against(summary: dict[str, Any], split: str) -> str:
    """`noisy 12.3, wavelet 23.9, non-local means 25.6`: what the model was up against on `split`, weakest first.

    PSNR in dB, or with noisy images only the fitness.
    """
    found = summary["references"][split]
    if found is None:
        return "no references measured"
    named = [(found["baseline_name"], found["baseline"]), *found["methods"].items()]
    figures = [(name, _figure(scores)) for name, scores in named]
    figures[1:] = sorted(figures[1:], key=lambda item: item[1])
    what = "fitness of " if found["baseline"]["psnr_db"] is None else ""
    return what + ", ".join(f"{name} {figure:.1f}" for name, figure in figures)


def _figure(scores: dict[str, Any]) -> float:
    """The PSNR in dB, or with noisy images only the fitness: higher is better for both."""
    psnr_db: float | None = scores["psnr_db"]
    return 1 / scores["mse"] if psnr_db is None else psnr_db


def _headline(scores: dict[str, Any]) -> str:
    return f"fitness {scores['fitness']:.1f}" if scores["psnr_db"] is None else f"{scores['psnr_db']:.1f} dB"


def _further(scores: dict[str, Any]) -> str:
    """What the headline does not say."""
    return "" if scores["psnr_db"] is None else f"fitness {scores['fitness']:.1f}, SSIM {scores['ssim']:.3f}, "


def _end(summary: dict[str, Any]) -> str:
    """Why the search ended before its last generation; empty where it did not."""
    if summary["state"] != "exhausted":
        return _TIME_UP if summary["state"] == "time-up" else ""
    is_limited = any(summary["settings"].get(f"max_{name}") for name in ("parameters", "operations", "code"))
    return f"every architecture {'within the limits that came up' if is_limited else 'of the search space'} was trained"


def next_lines(
    objective: str, folder: Path, *, is_alone: bool = False, images: Sequence[str] = _OWN_IMAGES
) -> list[str]:
    """Four lines to copy: look closer, use the model, load it in Python, search on; or, without a search, train on.

    `images` are the options of a further search that say which images it gets, and what noise.
    """
    # So that lines with the default name fit 80 columns.
    name = shortest_name(folder)
    use = command_line("evoae", "denoise", name, "noisy.png", "-o", "clean.png")
    again = command_line("evoae", "train" if is_alone else "search", "--config", folder / SETTINGS, "--seed", "1")
    further = command_line("evoae", "train", objective, "--from", name, "--epochs", "200")
    return [
        command_line("evoae", "show", name, *([] if is_alone else ["--history"])),
        use if objective == "denoise" else again,
        _in_python(name),
        further if is_alone else command_line("evoae", "search", objective, *images),
    ]


def _like(settings: dict[str, Any]) -> tuple[str, ...]:
    """Options by which a search takes other images for what these were: noisy ones are not to be learnt as clean."""
    if settings["pairs"] is not None:
        return ("--pairs", "NOISY_DIR", "CLEAN_DIR")
    if settings["noisy_only"]:
        return (*_OWN_IMAGES, "--noisy-only")
    return _OWN_IMAGES if settings["noise"] is None else (*_OWN_IMAGES, "--noise", settings["noise"])


def _in_python(name: str) -> str:
    program = f"import evoae_cli as e; print(e.load({name!r}))"
    # Double quotes are easier to read and to change, where the path has nothing that a shell would replace in them.
    is_plain = re.fullmatch(r"[\w./ -]+", name) is not None
    return f'python -c "{program}"' if is_plain else command_line("python", "-c", program)


def _sizes(best: dict[str, Any]) -> str:
    return f"{best['parameters']:,} parameters, code of {best['code_values']:,} values"
