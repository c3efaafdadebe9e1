import os
import subprocess
import sys
from pathlib import Path

import pytest

from evoae_cli.errors import StudyError
from evoae_cli.study.lock import StudyLock, lock_holder


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
