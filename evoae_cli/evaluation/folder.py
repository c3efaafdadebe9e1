"""Images of a folder, searched recursively."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.contract import Split
from evoae_cli.evaluation.readers import SUFFIXES, UnreadableImageError, read_image
from evoae_cli.evaluation.sources import SourceImage

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
    images = [name for name in files if Path(name).suffix.lower() in SUFFIXES]
    if not images:
        raise ImageError(_nothing_found(folder, files))
    unreadable: dict[str, list[str]] = {}
    n_tried = 0
    for name, split in _with_splits(folder, images, warn):
        n_tried += 1
        try:
            pixels = read_image(folder / name)
        except UnreadableImageError as error:
            unreadable.setdefault(error.reason, []).append(_printable(name))
            continue
        yield SourceImage(_printable(name), split, pixels)
    if not unreadable:
        return
    n_unreadable = sum(map(len, unreadable.values()))
    if n_unreadable == n_tried:
        raise ImageError(f"none of the {n_of(n_tried, 'image')} in {folder} can be read: {_by_reason(unreadable)}")
    warn(f"{n_of(n_unreadable, 'file')} skipped, unreadable: {_by_reason(unreadable)}")


def listed(names: list[str], most: int = 5) -> str:
    """`a, b, c and 12 more`: a warning stays one line however long the list."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def n_of(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _by_reason(unreadable: dict[str, list[str]]) -> str:
    """`a.png, b.png (the file is empty); c.tif (damaged)`: names under their reason, the commonest first."""
    groups = sorted(unreadable.items(), key=lambda group: -len(group[1]))
    shown = [f"{listed(names)} ({reason})" for reason, names in groups[:_MOST_REASONS]]
    rest = sum(len(names) for _, names in groups[_MOST_REASONS:])
    return "; ".join([*shown, *([f"{rest} more for other reasons"] if rest else [])])


def files_below(folder: Path) -> list[str]:
    """Paths of all files below `folder`, relative, sorted; hidden ones left out, linked folders followed once.

    Raises ImageError for a folder that cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise ImageError(f"cannot list {error.filename} ({error.strerror}); check its permissions") from error

    found: list[str] = []
    seen: set[str] = set()
    for place, subfolders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # A link to a folder above would go round for ever.
        if (real := os.path.realpath(place)) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found += [Path(place, name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def _with_splits(folder: Path, names: list[str], warn: Callable[[str], None]) -> Iterator[tuple[str, Split | None]]:
    present = [split for split in SPLITS if (folder / split).is_dir()]
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
        warn(f"{n_of(n_beside, 'image')} beside train/, val/ and test/ in {folder} left out")


def _printable(name: str) -> str:
    """A file's name may hold line breaks and bytes that are no text; messages and the index cannot."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _nothing_found(folder: Path, files: list[str]) -> str:
    if not files:
        return f"{folder} holds no files; give a folder with {_KINDS} images"
    counts = Counter(Path(name).suffix.lower() for name in files)
    common = counts.most_common(3)
    kinds = listed(
        [n_of(count, f"{suffix} file") if suffix else f"{count} without a suffix" for suffix, count in common]
    )
    return f"{folder} holds {kinds}, but no {_KINDS}; convert to TIFF"
