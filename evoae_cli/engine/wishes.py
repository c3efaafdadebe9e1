"""What a user says of where evaluations run, and what an engine makes of it: all that is known of engines outside them.

Free of all that takes time to load, until the engine is made.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from evoae_cli.errors import UsageError

if TYPE_CHECKING:
    from evoae_cli.engine.terms import MakeEngine
    from evoae_cli.hosts.host import Host


class Wishes(msgspec.Struct, frozen=True):
    """What was asked for. An engine heeds what concerns it, and refuses what it cannot heed."""

    device: Callable[[], str | None] = lambda: None
    """The setting, as `auto` or `cuda:0`; a function, since it may lie in a study that is not read otherwise."""
    ray_address: str | None = None
    cpus_per_task: float | None = None
    gpus_per_task: float | None = None
    n_workers: int | None = None
    """So many must run at once, on this machine; None: as many as there is room for."""
    is_waiting: bool = False
    """Whether evaluations only wait, and need next to no CPU and memory."""


def refuse_cluster_options(wishes: Wishes) -> None:
    """Raise UsageError for options that only a Ray cluster can heed."""
    given = {
        "--ray-address": wishes.ray_address,
        "--cpus-per-task": wishes.cpus_per_task,
        "--gpus-per-task": wishes.gpus_per_task,
    }
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} {value} is for a Ray cluster; add --engine ray, or leave it out")


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """An engine that has been chosen."""

    make_engine: "MakeEngine"
    """Makes it, for one study."""
    make_helped: "Callable[[Host], MakeEngine] | None" = None
    """What makes it where other hosts may run its tasks; None: they cannot."""
    where: str = ""
    """For people, behind the number of workers, as `on Ray`; empty: on this host."""
    is_here: bool = True
    """Whether its workers are this host's, which can be counted and measured beforehand."""


Choose = Callable[[Wishes], Choice]
"""Chooses an engine. Raises UsageError for wishes that it cannot heed."""
