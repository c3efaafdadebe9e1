"""Pairs of a noisy and a clean image of one scene, from two folders, matched by name."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from evoae_cli.counted import several
from evoae_cli.errors import ImageError
from evoae_cli.evaluation.folder import Unreadable, files_below, listed, only_images, printable, with_splits
from evoae_cli.evaluation.imagefile import Pixels
from evoae_cli.evaluation.readers import UnreadableImageError, read_image
from evoae_cli.evaluation.sources import SourceImage

_MOST_LISTED = 40
"""A wrongly named file is found by its name, so more of them are listed than of other files."""


class Pair(NamedTuple):
    """Two files that belong together."""

    noisy: Path
    clean: Path


def pair_folders(names: tuple[str, str]) -> tuple[Path, Path]:
    """The folders of noisy and of clean images that `--pairs` names. Raises ImageError if they are not two folders."""
    for name in names:
        folder = os.path.expanduser(name)
        if not os.path.isdir(folder):
            what = "is a file" if os.path.isfile(folder) else "is no folder"
            raise ImageError(f"--pairs: {name!r} {what}; give two folders, of noisy and of clean images")
    noisy, clean = (Path(os.path.expanduser(name)) for name in names)
    if noisy.samefile(clean):
        raise ImageError(f"--pairs {' '.join(names)} names one folder twice; give that of the clean images second")
    return noisy, clean


def pair_images(noisy: Path, clean: Path, warn: Callable[[str], None]) -> Iterator[SourceImage]:
    """All pairs of the folders `noisy` and `clean`, ordered by name, one in memory at a time: pixels HxWx2xC.

    Names and splits are as `matched_pairs` and `folder_images` say. Pairs that cannot be read, or whose two images
    differ in size, channels or depth, are left out, and `warn` gets one line of each kind that names them. Raises
    ImageError where nothing is left, and where no pair has any noise.
    """
    pairs = matched_pairs(noisy, clean, warn)
    unreadable, n_tried = Unreadable(), 0
    unlike: list[str] = []
    n_kept, has_noise = 0, False
    for name, split in with_splits(pairs, (noisy, clean), warn, "pair"):
        n_tried += 1
        try:
            given, wanted = _read("noisy", pairs[name].noisy), _read("clean", pairs[name].clean)
        except UnreadableImageError as error:
            unreadable.add(name, error.reason)
            continue
        if difference := _difference(given, wanted):
            unlike.append(f"{printable(name)} ({difference})")
            continue
        n_kept += 1
        has_noise = has_noise or not np.array_equal(given, wanted)
        yield SourceImage(printable(name), split, np.stack((given, wanted), axis=2))
    unreadable.report(several(n_tried, "pair"), n_tried, f"{noisy} and {clean}", warn)
    if unlike and not n_kept:
        raise ImageError(
            f"no pair of {noisy} and {clean} fits together: {listed(unlike, _MOST_LISTED)}; "
            "both images of a pair need the same height, width, channels and depth"
        )
    if unlike:
        warn(f"{several(len(unlike), 'pair')} left out, whose images differ: {listed(unlike, _MOST_LISTED)}")
    if n_kept and not has_noise:
        raise ImageError(f"the images of {noisy} equal those of {clean}, so there is no noise to remove; use others")


def matched_pairs(noisy: Path, clean: Path, warn: Callable[[str], None]) -> dict[str, Pair]:
    """The pairs by name: the path below its folder without the ending, the same for both. Reads names only.

    Files without a partner are left out, and `warn` gets one line that counts them all. Raises ImageError where a
    folder holds no images, where two files could be one's partner, and where no names match.
    """
    given, wanted = _by_name(noisy), _by_name(clean)
    names = sorted(given.keys() & wanted.keys())
    if not names:
        raise ImageError(
            f"no image of {noisy} has a partner of its name in {clean} ({_first(given)} and {_first(wanted)}, for "
            "example); name both images of a pair alike"
        )
    for folder, files in ((noisy, given), (clean, wanted)):
        for name in names:
            if len(files[name]) > 1:
                found = " and ".join(map(printable, files[name][:2]))
                raise ImageError(f"{found} in {folder} could both belong to the pair {printable(name)}; keep one")
    alone = [
        f"{several(len(rest), 'file')} in {folder} ({listed(rest, _MOST_LISTED)})"
        for folder, files, others in ((noisy, given, wanted), (clean, wanted, given))
        if (rest := [printable(file) for name in sorted(files.keys() - others.keys()) for file in files[name]])
    ]
    if alone:
        warn(f"left out without a partner: {' and '.join(alone)}")
    return {name: Pair(noisy / given[name][0], clean / wanted[name][0]) for name in names}


def _by_name(folder: Path) -> dict[str, list[str]]:
    """The image files below a folder, by their path without its ending."""
    found: dict[str, list[str]] = {}
    for file in only_images(folder, files_below(folder)):
        found.setdefault(str(PurePosixPath(file).with_suffix("")), []).append(file)
    return found


def _first(files: dict[str, list[str]]) -> str:
    return printable(next(iter(files.values()))[0])


def _read(which: str, path: Path) -> Pixels:
    try:
        return read_image(path)
    except UnreadableImageError as error:
        raise UnreadableImageError(path, f"{which}: {error.reason}") from None


def _difference(noisy: Pixels, clean: Pixels) -> str:
    """What keeps two images from being a pair, as `noisy 40x48, clean 32x32`; empty if nothing does."""
    if noisy.shape[:2] != clean.shape[:2]:
        (height, width), (clean_height, clean_width) = noisy.shape[:2], clean.shape[:2]
        return f"noisy {height}x{width}, clean {clean_height}x{clean_width}"
    if noisy.shape[2] != clean.shape[2]:
        return f"noisy {several(noisy.shape[2], 'channel')}, clean {several(clean.shape[2], 'channel')}"
    if noisy.dtype != clean.dtype:
        return f"noisy {noisy.dtype}, clean {clean.dtype}"
    return ""
