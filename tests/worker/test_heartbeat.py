import os
import subprocess
import sys
from pathlib import Path

import evoae_cli
from evoae_cli.worker.messages import HEARTBEAT

ROOT = Path(evoae_cli.__file__).parent.parent

# A process of its own, since a heart ends its process.
CODE = """
import sys
from evoae_cli.worker.heartbeat import Heart
heart = Heart(int(sys.argv[1]), 0.001)
heart.begin(7)
heart.progress(0.5)
heart.start()
sys.stdin.readline()
heart.end()
sys.stdin.readline()
"""


def test_beats_tell_lease_and_progress_and_the_process_ends_with_its_reader() -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(writing)],
        stdin=subprocess.PIPE,
        pass_fds=[writing],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    os.close(writing)
    assert process.stdin is not None
    assert HEARTBEAT.unpack(os.read(reading, HEARTBEAT.size)) == (7, 0.5)
    process.stdin.write(b"\n")
    process.stdin.flush()
    while (beat := HEARTBEAT.unpack(os.read(reading, HEARTBEAT.size))) == (7, 0.5):
        pass
    assert beat == (0, 0.0)
    os.close(reading)
    assert process.wait(timeout=30) == 1
    process.stdin.close()
