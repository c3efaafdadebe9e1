"""What a case of wrong use is, and how the folder it happens in is made."""

import contextlib
import hashlib
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


@dataclass(frozen=True)
class Kit:
    """Where a case happens and what it may be made from."""

    folder: Path
    """The current folder of the command; nothing in it may change."""
    study: Path
    """A finished study, to be copied and never written to."""
    until_checked: contextlib.ExitStack
    """Undone once the case has been checked."""

    def copy_study(self, name: str = "runs/mine") -> Path:
        """A study of the case's own."""
        return Path(shutil.copytree(self.study, self.folder / name))


Prepare = Callable[[Kit], None]


def nothing(kit: Kit) -> None:
    """The folder stays empty."""


@dataclass(frozen=True)
class Case:
    """One wrong use: a folder is prepared, the command runs in it, and its one line names value and remedy."""

    name: str
    argv: tuple[str, ...]
    words: tuple[str, ...]
    prepare: Prepare = nothing
    is_process: bool = False
    """Whether the command runs as a process of its own, as people run it."""
    is_unprivileged: bool = False
    """Whether permissions must bind, which they do not for root."""


def case(
    name: str,
    line: str,
    *words: str,
    prepare: Prepare = nothing,
    is_process: bool = False,
    is_unprivileged: bool = False,
) -> Case:
    """A case from the command's `line`, as a shell would read it, and words that its answer contains."""
    return Case(name, tuple(shlex.split(line)), words, prepare, is_process or is_unprivileged, is_unprivileged)


def several(*parts: Prepare) -> Prepare:
    """Prepare one thing after another."""

    def prepare(kit: Kit) -> None:
        for part in parts:
            part(kit)

    return prepare


def file(name: str, content: bytes | str = b"") -> Prepare:
    """A file of this content, in folders that are made for it."""

    def prepare(kit: Kit) -> None:
        path = kit.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return prepare


def folder(name: str) -> Prepare:
    """An empty folder."""
    return lambda kit: (kit.folder / name).mkdir(parents=True)


def mode(name: str, bits: int) -> Prepare:
    """Permissions of what is there; folders get the old ones back, so that they can be removed."""

    def prepare(kit: Kit) -> None:
        path = kit.folder / name
        kit.until_checked.callback(path.chmod, path.stat().st_mode)
        path.chmod(bits)

    return prepare


def link(name: str, target: str) -> Prepare:
    """A symbolic link."""
    return lambda kit: (kit.folder / name).symlink_to(target)


def study(kit: Kit) -> None:
    """The finished study as `mine`."""
    kit.copy_study()


def cut(name: str, size: float) -> Prepare:
    """A file that ends early: after `size` bytes, or after this share of its own where that is below 1."""

    def prepare(kit: Kit) -> None:
        path = kit.folder / name
        os.truncate(path, int(size if size >= 1 or not size else path.stat().st_size * size))

    return prepare


def without(name: str) -> Prepare:
    """A file or folder fewer."""

    def prepare(kit: Kit) -> None:
        path = kit.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return prepare


def sql(name: str, script: str) -> Prepare:
    """What SQLite makes of `script`."""

    def prepare(kit: Kit) -> None:
        path = kit.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.executescript(script)

    return prepare


def in_use(name: str) -> Prepare:
    """Another process that holds the study's lock."""
    program = (
        "import fcntl, sys\nlock = open(sys.argv[1], 'r+')\nfcntl.flock(lock, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )

    def prepare(kit: Kit) -> None:
        command = [sys.executable, "-c", program, str(kit.folder / name / "study.lock")]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        kit.until_checked.enter_context(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

    return prepare


def pixels(height: int = 40, width: int = 40, channels: int = 0) -> npt.NDArray[np.uint8]:
    """An image in which there is something to see, the same each time."""
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def picture(name: str, array: npt.NDArray[np.generic]) -> Prepare:
    """An image file of the kind that its name says."""

    def prepare(kit: Kit) -> None:
        path = kit.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, array)
        elif path.suffix == ".tif":
            import tifffile

            tifffile.imwrite(path, array, photometric="minisblack")
        else:
            Image.fromarray(array).save(path)

    return prepare


def pictures(where: str, n: int, array: npt.NDArray[np.generic]) -> Prepare:
    """`n` image files in a folder, each a shade brighter than the one before."""
    return several(*(picture(f"{where}/{number}.png", array + array.dtype.type(number)) for number in range(n)))


def contents(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below `root`: what it is and its permissions; of files also size, time and content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        about: tuple[object, ...] = (oct(status.st_mode),)
        if path.is_symlink():
            about += (os.readlink(path),)
        elif path.is_file():
            about += (status.st_size, status.st_mtime_ns)
            with contextlib.suppress(PermissionError):
                about += (hashlib.sha256(path.read_bytes()).hexdigest(),)
        found[path.relative_to(root).as_posix()] = about
    return found


def changes(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> dict[str, object]:
    """What is new, gone or different, by name."""
    names = sorted(before.keys() | after.keys())
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}
