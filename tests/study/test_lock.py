import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evoae_cli.errors import StudyError
from evoae_cli.study.ground import _locked
from evoae_cli.study.lock import LOCK, StudyLock, lock_holder


def test_a_second_holder_is_refused_with_the_first_ones_process_id(tmp_path: Path) -> None:
    with StudyLock(tmp_path):
        script = (
            "import sys; from pathlib import Path; from evoae_cli.study.lock import StudyLock;"
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


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_is_named_and_its_studies_do_not_seem_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StudyError, match=f"cannot be locked .{os.strerror(number)}.*no flock.*another disk"):
        StudyLock(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StudyError, match="no flock"):
        _locked(tmp_path / "new", is_new=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / LOCK).write_text("1234\n")
    assert lock_holder(tmp_path) is None
