import os
from pathlib import Path

import pytest

from evoae_cli.wholefile import write_whole


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, b"one")
    write_whole(path, b"two", is_synced=False)
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").touch()
    with pytest.raises(OSError):  # noqa: PT011  (which one differs between systems)
        write_whole(tmp_path / "taken", b"x")
    assert os.listdir(tmp_path) == ["taken"]
