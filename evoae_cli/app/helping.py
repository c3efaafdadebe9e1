"""This host's workers at the service of others: shown while they work, until the searches end or Ctrl-C."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from evoae_cli.app.console import can_redraw
from evoae_cli.app.hosting import host_name
from evoae_cli.app.live import live_screen
from evoae_cli.app.running import Show
from evoae_cli.app.screen import MAX_WIDTH, worker_lines
from evoae_cli.app.signals import exit_code, interruptible
from evoae_cli.app.wording import shorten
from evoae_cli.counted import several
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.link import GONE_AFTER_S
from evoae_cli.study.config import StudyConfig

if TYPE_CHECKING:
    from evoae_cli.engine.linked import Helping


def help_others(
    links: Sequence[Address],
    nameserver: Address | None,
    key: bytes,
    config: StudyConfig,
    show: Show,
    *,
    spaces: tuple[str, ...] = (),
    gone_after_s: float = GONE_AFTER_S,
) -> int:
    """Help until those searches have ended, with a nameserver for ever, or until Ctrl-C; returns the exit code.

    `config` says on which devices, and with how many workers. Raises EvoaeError, also where nobody has been there for
    `gone_after_s`.
    """
    with show.preparing("loading PyTorch"):
        from evoae_cli.engine.linked import Helping
        from evoae_cli.engine.local import LocalEngine, WorkerSpec
        from evoae_cli.evaluation.hardware import devices
        from evoae_cli.hosts.host import Host
        from evoae_cli.study.setup import worker_devices
        from evoae_cli.study.study import RUNNER
        from evoae_cli.worker.freight import EvaluationFreight, kept_images

        chosen = worker_devices(config, devices(config.device))
    engine = LocalEngine(
        [WorkerSpec(device=device, threads=config.threads) for device in chosen],
        RUNNER,
        heartbeat_interval_s=config.heartbeat_interval_s,
        heartbeat_timeout_s=config.heartbeat_timeout_s,
        start_timeout_s=config.start_timeout_s,
    )
    host = Host(key=key, name=host_name(), links=links, nameserver=nameserver, gone_after_s=gone_after_s)
    depot = kept_images().with_outputs()
    leaving = _Leaving()
    with Helping(engine, host, EvaluationFreight(spaces), depot) as helping:
        leaving.helping = helping
        with interruptible(leaving.leave, leaving.end) as interruption, _shown(helping, show):
            _work(helping, leaving, show, is_endless=nameserver is not None)
    show.say(f"{several(helping.n_done, 'evaluation')} done here")
    return 0 if interruption.signum is None else exit_code(interruption.signum)


class _Leaving:
    """What Ctrl-C has asked for; set by signal handlers."""

    def __init__(self) -> None:
        self.helping: Helping | None = None
        self.is_asked = False
        self.is_at_once = False

    def leave(self) -> None:
        self.is_asked = True
        self._wake()

    def end(self) -> None:
        self.is_at_once = True
        self._wake()

    def _wake(self) -> None:
        if self.helping is not None:
            self.helping.wake()


def _work(helping: "Helping", leaving: _Leaving, show: Show, *, is_endless: bool) -> None:
    """Wait until there is nothing more to do, or somebody wants to leave. Raises EvoaeError where a link has failed."""
    is_draining = False
    while not leaving.is_at_once:
        for line in helping.take_news():
            show.say(line)
        if leaving.is_asked and not is_draining:
            is_draining = True
            helping.drain()
            n = sum(bool(worker.task) for worker in helping.workers())
            if n:
                show.say(f"leaving: waiting for {several(n, 'evaluation')}; Ctrl-C again leaves at once")
        if is_draining and not helping.n_held:
            return
        if not is_endless and not helping.is_needed:
            if helping.failures:
                raise helping.failures[0]
            return
        helping.wait()


def _shown(helping: "Helping", show: Show) -> AbstractContextManager[None]:
    if show.is_quiet or not can_redraw(show.console):
        return nullcontext()
    return live_screen(show.console, lambda width, height: _screen(helping, width, height))


def _screen(helping: "Helping", width: int, height: int) -> RenderableType:
    """Whom this host helps, what its workers do, and how much they have done."""
    width = max(min(width, MAX_WIDTH), 20)
    links = helping.links()
    lines = [
        Text(
            shorten(f"helping {link.name} at {link.address}" if not link.trouble else link.trouble, width),
            style="yellow" if link.trouble else "bold",
        )
        for link in links[: max(1, height // 4)]
    ]
    if not links:
        lines = [Text("looking for a search to help", style="dim")]
    lines += [Text(), *worker_lines(helping.workers(), width, max(4, height - len(lines) - 5)), Text()]
    return Group(*lines, Text(f"{several(helping.n_done, 'evaluation')} done here, {helping.n_held} here now"))
