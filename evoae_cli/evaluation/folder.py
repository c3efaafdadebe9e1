"""Images of a folder, searched recursively."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from evoae_cli.counted import several
from evoae_cli.errors import ImageError
from evoae_cli.evaluation.contract import Split
from evoae_cli.evaluation.readers import SUFFIXES, UnreadableImageError, read_image
from evoae_cli.evaluation.sources import SourceImage
from evoae_cli.marks import STUDY

SPLITS: tuple[Split, ...] = ("train", "val", "test")
_MOST_REASONS = 3
_KINDS = "PNG, JPEG, TIFF, WebP or NPY"


def folder_images(folder: Path, warn: Callable[[str], None]) -> Iterator[SourceImage]:
    """All images below `folder`, ordered by path, one in memory at a time.

    Subfolders `train`, `val` and `test` are taken as the split; without a `train` the split is left open, and that of
    `train` itself is while `val` or `test` is missing, which are then to be drawn from it. Files that cannot be read
    are skipped, and `warn` gets one line that names them. Raises ImageError where nothing can be read.
    """
    files = files_below(folder)
    images = only_images(folder, files)
    unreadable, n_tried = Unreadable(), 0
    for name, split in with_splits(images, (folder,), warn):
        n_tried += 1
        try:
            pixels = read_image(folder / name)
        except UnreadableImageError as error:
            unreadable.add(name, error.reason)
            continue
        yield SourceImage(printable(name), split, pixels)
    unreadable.report(several(n_tried, "image"), n_tried, str(folder), warn)


class Unreadable:
    """Files that could not be read, by reason: told in one line at the end."""

    def __init__(self) -> None:
        self._by_reason: dict[str, list[str]] = {}

    def add(self, name: str, reason: str) -> None:
        """One more that is skipped."""
        self._by_reason.setdefault(reason, []).append(printable(name))

    def report(self, what: str, n_tried: int, place: str, warn: Callable[[str], None]) -> None:
        """Warn of them, if there are any. Raises ImageError if they are all of `what`, `n_tried`, there was."""
        n_unreadable = sum(map(len, self._by_reason.values()))
        if n_unreadable and n_unreadable == n_tried:
            raise ImageError(f"none of the {what} in {place} can be read: {self}")
        if n_unreadable:
            warn(f"{several(n_unreadable, 'file')} skipped, unreadable: {self}")

    def __str__(self) -> str:
        """`a.png, b.png (the file is empty); c.tif (damaged)`: names under their reason, the commonest first."""
        groups = sorted(self._by_reason.items(), key=lambda group: -len(group[1]))
        shown = [f"{listed(names)} ({reason})" for reason, names in groups[:_MOST_REASONS]]
        rest = sum(len(names) for _, names in groups[_MOST_REASONS:])
        return "; ".join([*shown, *([f"{rest} more for other reasons"] if rest else [])])


def only_images(folder: Path, files: list[str]) -> list[str]:
    """Those of `files`, paths below `folder`, that are named as images are. Raises ImageError if there are none."""
    images = [name for name in files if Path(name).suffix.lower() in SUFFIXES]
    if not images:
        raise ImageError(_nothing_found(folder, files))
    return images


def listed(names: list[str], most: int = 5) -> str:
    """`a, b, c and 12 more`: a warning stays one line however long the list."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def files_below(folder: Path) -> list[str]:
    """Paths of all files below `folder`, relative, sorted; hidden ones left out, linked folders followed once.

    Studies that lie there are left out: the pictures in them are made by evoae, and change while a search runs.
    Raises ImageError for a folder that cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise ImageError(f"cannot list {error.filename} ({error.strerror}); check its permissions") from error

    found: list[str] = []
    seen: set[str] = set()
    for place, subfolders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # A link to a folder above would go round for ever. A study that is named itself is searched.
        if (real := os.path.realpath(place)) in seen or (STUDY in names and Path(place) != folder):
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found += [Path(place, name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def with_splits(
    names: Iterable[str], folders: Sequence[Path], warn: Callable[[str], None], noun: str = "image"
) -> Iterator[tuple[str, Split | None]]:
    """Each of `names`, relative paths below all of `folders`, with its split; None where that is open.

    Where there is a `train`, what lies beside the splits is left out, and `warn` is told how many of `noun` that are.
    """
    present = [split for split in SPLITS if all((folder / split).is_dir() for folder in folders)]
    if "train" not in present:
        yield from ((name, None) for name in names)
        return
    n_beside = 0
    for name in names:
        top = name.split("/")[0]
        if top in SPLITS and "/" in name:
            yield name, None if top == "train" and len(present) < len(SPLITS) else top
        else:
            n_beside += 1
    if n_beside:
        place = " and ".join(map(str, folders))
        warn(f"{several(n_beside, noun)} beside train/, val/ and test/ in {place} left out")


def printable(name: str) -> str:
    """A name to show. A file's name may hold line breaks and bytes that are no text; messages and the index cannot."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _nothing_found(folder: Path, files: list[str]) -> str:
    if not files:
        return f"{folder} holds no files; give a folder with {_KINDS} images"
    counts = Counter(Path(name).suffix.lower() for name in files)
    common = counts.most_common(3)
    kinds = listed(
        [several(count, f"{suffix} file") if suffix else f"{count} without a suffix" for suffix, count in common]
    )
    return f"{folder} holds {kinds}, but no {_KINDS}; convert to TIFF"
