import os
import subprocess
import sys
from pathlib import Path

import pytest

from evoae_cli.errors import StudyError
from evoae_cli.study.files import StudyLock, lock_holder, write_whole


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


def test_a_second_holder_is_refused_with_the_first_ones_process_id(tmp_path: Path) -> None:
    with StudyLock(tmp_path):
        script = (
            "import sys; from pathlib import Path; from evoae_cli.study.files import StudyLock;"
            "StudyLock(Path(sys.argv[1]))"
        )
        refused = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
        assert f"in use by process {os.getpid()}" in refused.stderr
        with pytest.raises(StudyError, match=str(os.getpid())):
            StudyLock(tmp_path)
        assert lock_holder(tmp_path) == os.getpid()
    assert lock_holder(tmp_path) is None
    StudyLock(tmp_path).release()


def test_a_folder_without_a_lock_has_no_holder(tmp_path: Path) -> None:
    assert lock_holder(tmp_path) is None
