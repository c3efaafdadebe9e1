"""Writes pages: where they go, and what must not be overwritten."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from evoae_cli.applying.deliver import check_target, deliver
from evoae_cli.baseline.comparison import sides_of
from evoae_cli.baseline.noted import note_comparison
from evoae_cli.baseline.plan import is_baseline, named_baseline, read_plan
from evoae_cli.baseline.summary import baseline_summary
from evoae_cli.errors import EvoaeError, StudyError, UsageError, first_line
from evoae_cli.study.locate import find_study, is_study
from evoae_cli.study.summary import summary

PAGE = "report.html"
"""Name of a study's own page, in its folder."""
SUFFIX = ".html"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A page on disk."""

    path: Path
    n_bytes: int
    studies: tuple[Path, ...]
    """What it is about."""


def found_studies(names: Sequence[str]) -> tuple[tuple[Path, ...], bool]:
    """The folders of studies and comparisons that are named, each once; without names the newest study, and whether so.

    Raises StudyError for one that is not there.
    """
    if not names:
        return (find_study(None)[0],), True
    folders: dict[Path, Path] = {}
    for name in names:
        folder = named_baseline(name) or find_study(name)[0]
        folders.setdefault(folder.resolve(), folder)
    return tuple(folders.values()), False


def target_for(folders: Sequence[Path], out: Path | None, *, is_forced: bool) -> Path:
    """Where the page of `folders` goes. Raises UsageError where it may not go there."""
    if out is None:
        if len(folders) > 1:
            raise UsageError("several studies have no folder in common; name the file, as --out compare.html")
        target = folders[0] / PAGE
        if target.is_dir():
            raise UsageError(f"{target} is a folder; move it, or name a file with --out")
        if not os.access(folders[0], os.W_OK | os.X_OK):
            raise UsageError(f"no permission to write in {folders[0]}; name a file elsewhere with --out")
        return target
    is_own = len(folders) == 1 and out.resolve() == (folders[0] / PAGE).resolve()
    check_target("--out", out, SUFFIX, is_forced=is_forced or is_own)
    return out


def write_page(folders: Sequence[Path], target: Path) -> Written:
    """Make the page of one study, or of several beside each other, and write it whole to `target`.

    Raises StudyError for what is no study, UsageError or EvoaeError where the file cannot be written; `target` is then
    as it was.
    """
    text, studies = page_text(folders)
    content = text.encode()
    deliver(target, content)
    return Written(path=target, n_bytes=len(content), studies=studies)


def renew_page(folder: Path, warn: Callable[[str], None]) -> Path | None:
    """Write the own page of a study, or a comparison, at the end of its run; where that fails, `warn`, and give None.

    Whatever goes wrong with a page must not be the loss of a search.
    """
    try:
        return write_page([folder], target_for([folder], None, is_forced=False)).path
    except Exception as error:
        warn(f"{folder / PAGE} could not be written: {first_line(error)}; all else is complete")
        return None


@contextlib.contextmanager
def page_of_failure(
    study: Path, warn: Callable[[str], None], tell: Callable[[Path], None] = lambda page: None
) -> Iterator[None]:
    """Within the block `study` runs; where all of its candidates fail, which ends it, its page still says why.

    `tell` hears where the page is.
    """
    try:
        yield
    except EvoaeError:
        # What is told is the failure, whatever keeps the page from being made.
        with contextlib.suppress(EvoaeError, OSError):
            if is_study(study) and summary(study)["state"] == "failed":
                page = renew_page(study, warn)
                if page is not None:
                    tell(page)
        raise


def renew_pages(comparison: Path, warn: Callable[[str], None]) -> list[Path]:
    """Write the page of a comparison, and anew that of its search, which now has its rows, wherever it lies.

    Raises StudyError where there is no comparison.
    """
    against = read_plan(comparison).against
    folders = [comparison]
    if against is not None:
        # Where nothing can be written, neither can the page.
        with contextlib.suppress(OSError):
            note_comparison(Path(against), comparison)
        folders.append(Path(against))
    return [page for folder in folders if (page := renew_page(folder, warn)) is not None]


def page_text(folders: Sequence[Path]) -> tuple[str, tuple[Path, ...]]:
    """The page as HTML, and the studies that it is about. Raises StudyError."""
    from evoae_cli.page.comparison_page import comparison_page
    from evoae_cli.page.gather import gather
    from evoae_cli.page.render import render_comparison, render_study
    from evoae_cli.page.study_page import study_page

    titled = _titled(folders)
    if len(titled) == 1 and not is_baseline(folders[0]):
        (folder, title) = titled[0]
        return render_study(study_page(gather(folder, title))), (folder,)
    baseline = baseline_summary(folders[0]) if len(folders) == 1 else None
    studies = [gather(folder, title) for folder, title in titled]
    return render_comparison(comparison_page(studies, baseline)), tuple(folder for folder, _ in titled)


def _titled(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """All studies and what they are called, those of comparisons among them. Raises StudyError for one without any."""
    titled: dict[Path, tuple[Path, str]] = {}
    n_called = Counter({folder.resolve(): folder.absolute().name for folder in folders}.values())
    for folder in folders:
        if not is_baseline(folder):
            name = folder.absolute().name
            titled.setdefault(folder.resolve(), (folder, name if n_called[name] == 1 else str(folder)))
            continue
        plan = read_plan(folder)
        sides = sides_of(folder, plan)
        if not sides:
            raise StudyError(f"{folder} has no study yet; let it begin: evoae resume {folder}")
        for side in sides:
            seed = f", seed {side.part.seed}" if plan.n_pairs > 1 else ""
            place = Path(side.study)
            is_own = sum(map(is_baseline, folders)) > 1 and folder.resolve() in place.resolve().parents
            where = f", {folder.absolute().name}" if is_own else ""
            titled.setdefault(place.resolve(), (place, f"{side.part.title}{seed}{where}"))
    return list(titled.values())
