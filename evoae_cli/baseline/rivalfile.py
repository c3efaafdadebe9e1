"""The file of what a comparison has measured besides its studies: classical methods, hand-made networks, speeds."""

from pathlib import Path

import msgspec

from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.evaluation.contract import RivalFound
from evoae_cli.wholefile import write_whole

RIVALS = "rivals.json"


class RivalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rival under the name that it has in the table; a study's model has its part's title."""

    name: str
    found: RivalFound
    of: str = ""
    """What it was measured of, where that may change: the weights of a model, or the training whose time it had."""


def read_rivals(folder: Path) -> list[RivalRow]:
    """All rows so far. Raises StudyError for a file that is none."""
    path = folder / RIVALS
    if not path.is_file():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[RivalRow])
    except (OSError, msgspec.MsgspecError) as error:
        raise StudyError(f"{path} cannot be read: {error}; delete it, and resume measures again") from error


def add_rival(folder: Path, row: RivalRow) -> None:
    """Keep one more row, in place of one of the same name. Raises EvoaeError where it cannot be written."""
    rows = [*(one for one in read_rivals(folder) if one.name != row.name), row]
    try:
        write_whole(folder / RIVALS, msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(folder: Path, error: OSError) -> EvoaeError:
    """What is told where a comparison cannot note what it has done."""
    return EvoaeError(
        f"cannot write to {folder}: {error.strerror}; make room, and go on with it: evoae resume {folder}"
    )
