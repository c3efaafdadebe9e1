"""prepare_images: from what `--data` or `--pairs` names to one image file with split, depth and limits."""

import difflib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from evoae_cli.counted import several
from evoae_cli.errors import ImageError, UsageError
from evoae_cli.evaluation import torchvision_sets
from evoae_cli.evaluation.contract import Split
from evoae_cli.evaluation.folder import files_below, folder_images, listed
from evoae_cli.evaluation.imagefile import ImageFile, cache_folder, write_image_file
from evoae_cli.evaluation.pairs import pair_folders, pair_images
from evoae_cli.evaluation.patches import n_distinct
from evoae_cli.evaluation.photographs import photograph_images
from evoae_cli.evaluation.remembered import recall, remember, source_key
from evoae_cli.evaluation.sources import Draft, SourceImage, Spool
from evoae_cli.evaluation.splitting import splits_of

Warn = Callable[[str], None]
Source = str | tuple[str, str]
"""A data set or a folder; of pairs, the folder of the noisy and that of the clean images."""

BUILT_IN = ("photographs", *torchvision_sets.NAMES)


def prepare_images(
    source: Source,
    *,
    data_root: str | None,
    download: bool,
    pixel_range: tuple[float, float] | None,
    patch: int,
    crop: int,
    seed: int,
    n_val: int,
    n_test: int,
    warn: Warn,
    cache: Path | None = None,
) -> ImageFile:
    """Read, split and store what `source` names: `photographs`, `stl10`, `cifar10`, a folder, or two of pairs.

    Where the source leaves the split open, it is by image or pair, drawn by `seed`: 80 % train, 10 % val, 10 % test, at
    least one each, copies together; a folder with `train` but no `val` or no `test` has the missing one drawn from
    `train`. Pixels keep their depth; grey among colour is repeated to colour. 8 bits map 0..255 to [-1, 1], other
    depths each channel's limits over the training images (of pairs, over the clean ones), and `pixel_range` overrides
    both. Images that cannot hold a patch and a crop are left out. What is skipped or differs from what was asked goes
    to `warn`, a line each. Raises UsageError, mostly ImageError, with one line for a person.
    """
    if pixel_range is not None and not (pixel_range[0] < pixel_range[1] and all(map(math.isfinite, pixel_range))):
        low, high = pixel_range
        raise UsageError(f"--range {low:g} {high:g}: the first value must be below the second, and both finite")
    cache = cache_folder() if cache is None else cache
    n_warned = 0

    def note(warning: str) -> None:
        nonlocal n_warned
        n_warned += 1
        warn(warning)

    images, folders = _open(source, data_root=data_root, download=download, seed=seed, warn=note)
    key = _key(folders, source, seed, patch, crop, pixel_range)
    place = _named(source)
    image_file = None if key is None else recall(cache, key, place)
    if image_file is None:
        image_file = _write(_large_enough(images, place, patch, crop, note), place, seed, pixel_range, cache, note)
        # What was skipped may be readable next time, and else must be said again.
        if key is not None and not n_warned:
            remember(cache, key, image_file)
    wanted: dict[Split, int] = {"val": n_val, "test": n_test}
    for split, n_wanted in wanted.items():
        n_there = n_distinct([(image.height, image.width) for image in image_file.of(split)], patch)
        if n_there < n_wanted:
            found = several(n_there, "pair" if image_file.is_paired else "image")
            warn(f"{split} has only {found} of {patch}x{patch}, not the {n_wanted} asked for")
    return image_file


def _write(
    images: Iterable[SourceImage],
    source: str,
    seed: int,
    pixel_range: tuple[float, float] | None,
    cache: Path,
    warn: Warn,
) -> ImageFile:
    with Spool(cache) as spool:
        for image in images:
            spool.add(image)
        _check_depth(spool.drafts)
        channels = _common_channels(spool.drafts)
        splits = splits_of(spool.drafts, source, seed, warn)
        low, high = _limits(spool.drafts, splits, channels, pixel_range, source)
        return write_image_file(spool.images(splits, channels), low=low, high=high, source=source, cache=cache)


def _named(source: Source) -> str:
    """A source for people: `photos`, or `noisy with clean`."""
    return source if isinstance(source, str) else " with ".join(source)


def _key(folders: tuple[Path, ...], *settings: object) -> str | None:
    """What the images are remembered by; None where they depend on no folder."""
    if not folders:
        return None
    first, *others = folders
    return source_key(
        first, files_below(first), *settings, *(source_key(other, files_below(other)) for other in others)
    )


def _open(
    source: Source, *, data_root: str | None, download: bool, seed: int, warn: Warn
) -> tuple[Iterator[SourceImage], tuple[Path, ...]]:
    """The images, read as they are asked for, and the folders of files that they depend on, if they are there."""
    if not isinstance(source, str):
        noisy, clean = pair_folders(source)
        return pair_images(noisy, clean, warn), (noisy, clean)
    if source == "photographs":
        # A quarter of a second to read, and they change only with the packages: not worth remembering.
        return photograph_images(), ()
    if source in torchvision_sets.NAMES:
        root = torchvision_sets.root_folder(data_root)
        images = torchvision_sets.torchvision_images(source, root, download=download, seed=seed, warn=warn)
        place = torchvision_sets.data_folder(source, root)
        return images, (place,) if place.is_dir() else ()
    folder = os.path.expanduser(source)
    if os.path.isfile(folder):
        raise ImageError(f"--data {source} is a file; name its folder, {os.path.dirname(folder) or '.'}")
    if not os.path.isdir(folder):
        near = difflib.get_close_matches(source.lower(), BUILT_IN, n=1)
        hint = f"did you mean {near[0]}?" if near else f"give a folder of images, or {', '.join(BUILT_IN)}"
        raise ImageError(f"--data {source!r}: there is no such folder; {hint}")
    return folder_images(Path(folder), warn), (Path(folder),)


def _large_enough(
    images: Iterable[SourceImage], source: str, patch: int, crop: int, warn: Warn
) -> Iterator[SourceImage]:
    """Leave out images too small for a patch or a crop.

    In any split: the classical methods are tuned on patches of training images.
    """
    small: list[tuple[int, int, str]] = []
    n_kept, noun = 0, "image"
    for image in images:
        height, width = image.pixels.shape[:2]
        noun = image.noun
        if min(height, width) >= max(patch, crop):
            n_kept += 1
            yield image
        else:
            small.append((height, width, image.name))
    if not small:
        return
    if not n_kept:
        raise ImageError(_all_too_small(source, [(height, width) for height, width, _ in small], noun, patch, crop))
    names = listed([f"{name} ({height}x{width})" for height, width, name in small])
    warn(f"{several(len(small), noun)} skipped, smaller than {max(patch, crop)}x{max(patch, crop)}: {names}")


def _all_too_small(source: str, sizes: list[tuple[int, int]], noun: str, patch: int, crop: int) -> str:
    height, width = max(sizes, key=min)
    # The median side keeps half of the images; a multiple of 8 survives three reductions.
    side = sorted(min(size) for size in sizes)[len(sizes) // 2] // 8 * 8
    options = [f"--{name} {side}" for name, now in (("patch", patch), ("crop", crop)) if now > side]
    remedy = f"use {' '.join(options)}" if side else "use larger ones"
    asked = f"--{'patch' if patch >= crop else 'crop'} {max(patch, crop)}"
    return f"all {several(len(sizes), noun)} of {source} are smaller than {asked} (largest {height}x{width}); {remedy}"


def _check_depth(drafts: list[Draft]) -> None:
    """One depth for a study: scaling one depth to another needs knowledge that only the user has."""
    first = {draft.dtype: draft.name for draft in reversed(drafts)}
    if len(first) > 1:
        kinds = " and ".join(
            f"{dtype} ({several(sum(draft.dtype == dtype for draft in drafts), 'file')}, as {name})"
            for dtype, name in sorted(first.items())
        )
        raise ImageError(f"the images mix depths: {kinds}; convert them to one depth")


def _common_channels(drafts: list[Draft]) -> int:
    first = {draft.channels: draft.name for draft in reversed(drafts)}
    if len(first) > 1 and set(first) != {1, 3}:
        kinds = " and ".join(f"{channels} (as {name})" for channels, name in sorted(first.items()))
        raise ImageError(f"the images mix numbers of channels: {kinds}; only grey and colour can be mixed")
    return max(first, default=0)


def _limits(
    drafts: list[Draft], splits: list[Split], channels: int, pixel_range: tuple[float, float] | None, source: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Pixel values mapped to -1 and to 1, per channel. Raises ImageError where that leaves nothing to see."""
    training = [draft for draft, split in zip(drafts, splits, strict=True) if split == "train"]
    lows, highs = (
        np.stack([np.broadcast_to(values, channels) for values in column])
        for column in ([draft.low for draft in training], [draft.high for draft in training])
    )
    low, high = lows.min(axis=0), highs.max(axis=0)
    if (low == high).all():
        values = ",".join(f"{value:g}" for value in dict.fromkeys(low.tolist()))
        raise ImageError(
            f"all pixels of the training images of {source} are equal ({values}); there is nothing to learn"
        )
    if pixel_range is not None:
        bottom, top = pixel_range
        if ((highs <= bottom) | (lows >= top)).all():
            raise ImageError(
                f"--range {bottom:g} {top:g} leaves nothing to see: the training images of {source} hold values "
                f"from {low.min():g} to {high.max():g}"
            )
        return (bottom,) * channels, (top,) * channels
    if training[0].dtype == "uint8":
        return (0.0,) * channels, (255.0,) * channels
    # A channel that is the same everywhere still needs two limits that differ.
    high = np.where(high > low, high, low + 1.0)
    return tuple(low.tolist()), tuple(high.tolist())
