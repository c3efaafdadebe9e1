"""Remembers which image file a source became, so that a large folder is decoded once, not at every start.

Beside the image files lies one small file per source and settings, named by the SHA-256 of both: a fingerprint.
A source is known by its files' names, sizes and times: any change gives another name.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.imagefile import SUFFIX, ImageFile, open_image_file, writing_to
from evoae_cli.version import __version__
from evoae_cli.wholefile import write_whole

_MEMORY = ".evoae-source"


def source_key(folder: Path, names: Iterable[str], *settings: object) -> str:
    """The name that belongs to the files `names` of `folder` and to settings, under this version of evoae."""
    digest = hashlib.sha256(repr((__version__, str(folder.resolve()), settings)).encode())
    for name in names:
        try:
            status = (folder / name).stat()
        except OSError:
            # It vanished, or is a dangling link: reading it will say so.
            continue
        # The inode's own time too: copying tools set the time of modification as they please.
        known = (os.fsencode(name), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        digest.update(repr(known).encode())
    return digest.hexdigest()


def recall(cache: Path, key: str, source: str) -> ImageFile | None:
    """The image file remembered under `key`; None where there is none, or it is damaged."""
    try:
        fingerprint = (cache / f"{key}{_MEMORY}").read_text()
        return open_image_file(cache / f"{fingerprint}{SUFFIX}", source)
    except (OSError, ValueError, ImageError):
        return None


def remember(cache: Path, key: str, image_file: ImageFile) -> None:
    """Note what `recall` gives from now on. Raises ImageError where the cache cannot be written."""
    with writing_to(cache):
        write_whole(cache / f"{key}{_MEMORY}", image_file.fingerprint.encode(), is_synced=False)
