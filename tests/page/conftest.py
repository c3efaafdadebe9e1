"""Studies that several tests of pages look at."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from page_kit import Changed


@pytest.fixture
def changed(tmp_path: Path, finished_study: Path) -> Changed:
    """Makes a copy of the finished study under a name, without some files, after a script of SQL."""

    def change(name: str = "mine", *, without: tuple[str, ...] = (), sql: str = "") -> Path:
        folder = Path(shutil.copytree(finished_study, tmp_path / name))
        for file in without:
            (folder / file).unlink()
        with closing(sqlite3.connect(folder / "study.db")) as db:
            db.executescript(sql)
        return folder

    return change
