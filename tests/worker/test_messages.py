import pytest

from evoae_cli.broker.task import MAX_PAYLOAD
from evoae_cli.outcome import Outcome
from evoae_cli.worker.channel import MAX_FRAME
from evoae_cli.worker.messages import (
    HEARTBEAT,
    HEARTBEATS_BYTES,
    MAX_REASON,
    Ready,
    Report,
    Work,
    decode_from_worker,
    decode_work,
    encode,
)


@pytest.mark.parametrize(
    "message",
    [
        Ready("NVIDIA H100"),
        Report(7, Outcome.OK, b"\0found", ""),
        Report(7, Outcome.CRASHED, b"", "/runs/x: No space left on device", is_host_failure=True),
        Report(7, Outcome.OK, b"", "", is_last=True),
    ],
)
def test_what_a_worker_says_arrives_as_it_was_said(message: Ready | Report) -> None:
    assert decode_from_worker(encode(message)) == message


def test_work_arrives_as_it_was_given() -> None:
    work = Work(2**62, b"\0task")
    assert decode_work(encode(work)) == work


def test_the_largest_messages_fit_into_a_frame() -> None:
    payload = bytes(MAX_PAYLOAD)
    assert len(encode(Work(2**63 - 1, payload))) <= MAX_FRAME
    longest = "\U0001f5bc" * MAX_REASON
    assert (
        len(encode(Report(2**63 - 1, Outcome.DIVERGED, payload, longest, is_host_failure=True, is_last=True)))
        <= MAX_FRAME
    )


def test_heartbeats_are_read_whole() -> None:
    assert HEARTBEATS_BYTES % HEARTBEAT.size == 0
