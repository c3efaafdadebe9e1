import os
from pathlib import Path

import pytest

from evoae_cli.wholefile import write_whole, writing_whole


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


def test_a_file_that_is_filled_piece_by_piece_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    with writing_whole(tmp_path / "a.bin") as aside:
        aside.write_bytes(b"one")
        assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin").read_bytes() == b"one"
    with pytest.raises(ZeroDivisionError), writing_whole(tmp_path / "a.bin") as aside:
        aside.write_bytes(bytes(1 // 0))
    assert (tmp_path / "a.bin").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a.bin"]
