"""Ctrl-C and its kin, with real signals to this process."""

import os
import signal

import pytest

from evoae_cli.app.signals import Ended, ending_in_order, exit_code, interruptible


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_the_first_signal_asks_for_a_stop_in_order_and_decides_the_exit_code_later_ones_kill(
    signum: signal.Signals, code: int
) -> None:
    asked: list[str] = []
    with interruptible(lambda: asked.append("stop"), lambda: asked.append("kill")) as interruption:
        os.kill(os.getpid(), signum)
        assert asked == ["stop"]
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signum)
        assert asked == ["stop", "kill", "kill"]
    assert interruption.signum == signum
    assert exit_code(signum) == code


def test_afterwards_the_handlers_are_what_they_were() -> None:
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with interruptible(lambda: None, lambda: None):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_while_no_study_runs_a_signal_ends_the_command_in_order(signum: signal.Signals) -> None:
    with ending_in_order():
        with interruptible(lambda: None, lambda: None) as interruption:
            os.kill(os.getpid(), signum)
        assert interruption.signum == signum
        with pytest.raises(Ended) as ended:
            os.kill(os.getpid(), signum)
    assert exit_code(ended.value.signum) == 143
    assert signal.getsignal(signum) == signal.SIG_DFL


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(lambda: None, lambda: None) as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
        assert interruption.signum is None
    finally:
        signal.signal(signal.SIGHUP, previous)
