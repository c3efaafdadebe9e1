"""A script for the workers of one test, and a study that such workers have finished."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import scripted
from scripted import Script


@contextmanager
def scripted_study(home: Path, **changes: Any) -> Iterator[Path]:
    """The folder of a finished study in which nothing went wrong, while its script is the one that holds."""
    with pytest.MonkeyPatch.context() as patch:
        new_script(home / "script", patch)
        scripted.created(home / "study", **changes).run()
        yield home / "study"


def new_script(folder: Path, patch: pytest.MonkeyPatch) -> Script:
    """A script that holds until `patch` is undone."""
    # A script sets these itself; so they are set back afterwards.
    patch.setenv(scripted.SCRIPT, "")
    patch.setenv(scripted.WEIGHTS, "")
    return Script(folder)
