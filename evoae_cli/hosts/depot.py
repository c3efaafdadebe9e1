"""Files by fingerprint on a host that borrows: its own copies, those it fetched, and room for those that tasks make."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from evoae_cli.errors import EvoaeError

FetchPart = Callable[[int], tuple[bytes, int]]
"""(offset) -> (bytes from there, size of the whole file)."""


class MismatchError(EvoaeError):
    """What came is not the file that was asked for."""


class KeptFiles:
    """A folder where files are called `<fingerprint><suffix>`, as in a host's cache of images.

    `fingerprint_of` reads a file's fingerprint from what is in it; it raises ValueError for a file that has none.
    """

    def __init__(self, cache: Path, suffix: str, fingerprint_of: Callable[[Path], str]) -> None:
        self._cache = cache
        self._suffix = suffix
        self._fingerprint_of = fingerprint_of

    def find(self, fingerprint: str) -> Path | None:
        """Where this host has the file; None if it has not."""
        path = self._path(fingerprint)
        return path if path.is_file() else None

    def fetch(self, fingerprint: str, part: FetchPart) -> Path:
        """Have the file brought in parts, check that it is the one, and keep it.

        Raises MismatchError for another, with both fingerprints, OSError where it cannot be kept, and whatever `part`
        raises; nothing is left of the file then.
        """
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._cache, prefix=".", suffix=".part", delete=False) as file:
            try:
                size = -1
                while size < 0 or file.tell() < size:
                    data, size = part(file.tell())
                    if not data and file.tell() < size:
                        raise MismatchError(f"file {fingerprint} ends at byte {file.tell()} of {size}")
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
                self._check(Path(file.name), fingerprint)
                os.fchmod(file.fileno(), 0o444)
                os.replace(file.name, self._path(fingerprint))
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file.name)
        return self._path(fingerprint)

    def with_outputs(self) -> "Depot":
        """The same with room for what tasks make. Raises EvoaeError where there is none."""
        return Depot(self._cache, self._suffix, self._fingerprint_of)

    def _check(self, path: Path, fingerprint: str) -> None:
        try:
            found = self._fingerprint_of(path)
        except ValueError as error:
            raise MismatchError(f"file {fingerprint} has come damaged: {error}") from error
        if found != fingerprint:
            raise MismatchError(f"file {fingerprint} has come as {found}, so it was changed on its way")

    def _path(self, fingerprint: str) -> Path:
        return self._cache / f"{fingerprint}{self._suffix}"


class Depot(KeptFiles):
    """Such a folder, and one for the files that tasks make.

    Raises EvoaeError where there is no room for temporary files.
    """

    def __init__(self, cache: Path, suffix: str, fingerprint_of: Callable[[Path], str]) -> None:
        super().__init__(cache, suffix, fingerprint_of)
        try:
            self._outputs = tempfile.TemporaryDirectory(prefix="evoae-made-")
        except OSError as error:
            raise EvoaeError(f"no room for temporary files ({error.strerror}); set TMPDIR to another folder") from error

    def output(self, number: int) -> Path:
        """Where a task writes the file that it makes."""
        return Path(self._outputs.name) / str(number)

    def close(self) -> None:
        """Delete what tasks have made."""
        self._outputs.cleanup()

    def __enter__(self) -> "Depot":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
