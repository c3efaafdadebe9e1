"""The inside of a worker process: load the runner once, then run task after task until the coordinator goes away.

This module imports nothing heavy: a worker loads torch only if its runner does.
"""

import faulthandler
import os
import sys
import traceback
from typing import NoReturn

import msgspec

from evoae_cli.worker import channel
from evoae_cli.worker.attempt import attempt, in_short
from evoae_cli.worker.heartbeat import Heart
from evoae_cli.worker.lifeline import go_first_when_memory_is_short, tie_to
from evoae_cli.worker.memory import watch
from evoae_cli.worker.messages import Ready, Report, Work, decode_work, encode
from evoae_cli.worker.runner import Run, loaded


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told at its birth."""

    coordinator: int
    """Process id."""
    runner: str
    """`module:function`, a `Start`."""
    device: str
    threads: int
    heartbeat_interval_s: float


def main(
    setup: Setup,
    tasks: channel.Inherited,
    results: channel.Inherited,
    heartbeats: channel.Inherited,
    log: channel.Inherited,
) -> NoReturn:
    """Be a worker, until the coordinator closes `tasks` or the memory held does not fall back."""
    tie_to(setup.coordinator)
    go_first_when_memory_is_short()
    _redirect(log.fd)
    heart = Heart(heartbeats.fd, setup.heartbeat_interval_s)
    heart.start()
    try:
        hardware, run = loaded(setup.runner, setup.device, setup.threads)
    except BaseException as error:
        traceback.print_exc()
        # The last line of the log is what people will be told.
        print(in_short(error), file=sys.stderr)
        os._exit(1)
    memory = watch(setup.device)
    channel.write_frame(results.fd, encode(Ready(hardware)))
    reader = channel.FrameReader(tasks.fd)
    is_last = False
    while not (reader.is_ended or is_last):
        for body in reader.read():
            report = _run(run, decode_work(body), heart)
            if why_last := memory.after_task():
                print(f"this worker ends and is replaced: it {why_last}", file=sys.stderr)
                report = msgspec.structs.replace(report, is_last=True)
            channel.write_frame(results.fd, encode(report))
            heart.end()
            is_last = report.is_last
    os._exit(0)


def _run(run: Run, work: Work, heart: Heart) -> Report:
    heart.begin(work.lease_id)
    return Report(work.lease_id, *attempt(run, work.payload, heart.progress))


def _redirect(log: int) -> None:
    """Send everything that is printed, also by libraries, to the log: the screen belongs to the coordinator."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    # Line by line, so that a killed worker's last words are there; made anew, since a coordinator may have no stderr.
    sys.stdout = sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    faulthandler.enable()
