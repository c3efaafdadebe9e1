"""Where a search was compared with random architectures, noted in its own folder: comparisons may lie anywhere."""

from pathlib import Path

import msgspec

from evoae_cli.wholefile import write_whole

NOTES = "comparisons.json"


def note_comparison(study: Path, comparison: Path) -> None:
    """Note a comparison with `study`, unless it is there. Raises OSError where nothing can be written."""
    there, place = noted_comparisons(study), comparison.absolute()
    if place not in there:
        write_whole(study / NOTES, msgspec.json.encode([str(one) for one in (*there, place)]), is_synced=False)


def noted_comparisons(study: Path) -> list[Path]:
    """The folders in which `study` was compared, in that order; they may be gone since."""
    try:
        return [Path(one) for one in msgspec.json.decode((study / NOTES).read_bytes(), type=list[str])]
    except (OSError, msgspec.MsgspecError):
        return []
