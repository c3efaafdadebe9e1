"""Where a study's evaluations run: the options that say it, and what they come to."""

from typing import TYPE_CHECKING, Annotated

import typer

from evoae_cli.app.common import read_as
from evoae_cli.app.hosting import Hosting
from evoae_cli.app.options import completion
from evoae_cli.engine.choice import ENGINES, chosen_engine
from evoae_cli.engine.wishes import Choice, Wishes
from evoae_cli.errors import UsageError

if TYPE_CHECKING:
    from evoae_cli.engine.terms import MakeEngine

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="What runs the evaluations: local (workers of this host), ray (a Ray cluster), or module:attribute.",
        autocompletion=completion(list(ENGINES)),
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        help="Of the cluster, as auto or HOST:6379 (a Ray of its own on this machine).",
        show_default=False,
    ),
]
CpusPerTask = Annotated[
    float | None,
    typer.Option(
        "--cpus-per-task",
        parser=read_as(float, "--cpus-per-task"),
        metavar="N",
        help="CPUs that Ray sets aside for each evaluation (its --threads).",
        show_default=False,
    ),
]
GpusPerTask = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-task",
        parser=read_as(float, "--gpus-per-task"),
        metavar="N",
        help="GPUs that Ray sets aside for each evaluation, as 0.5 (1 where the cluster has any).",
        show_default=False,
    ),
]


class Place:
    """Where evaluations run: on an engine, with help from other hosts where `hosting` has them."""

    def __init__(self, hosting: Hosting | None = None, choice: Choice | None = None) -> None:
        self.hosting = hosting
        self._choice = choice or chosen_engine("local", Wishes())

    @property
    def is_here(self) -> bool:
        """Whether the workers are this host's."""
        return self._choice.is_here

    @property
    def where(self) -> str:
        """For people; empty: on this host."""
        return self._choice.where

    def make_engine(self, *, has_more: bool = False) -> "MakeEngine":
        """What makes the engine of a study there; with `has_more` another follows, and hosts that help wait for it."""
        if self.hosting is None:
            return self._choice.make_engine
        assert self._choice.make_helped is not None
        self.hosting.host.is_kept = has_more
        return self._choice.make_helped(self.hosting.host)


def place_for(hosting: Hosting | None, engine: str, choice: Choice) -> Place:
    """Both together. Raises UsageError where other hosts cannot help the engine."""
    if hosting is not None and choice.make_helped is None:
        raise UsageError(f"--engine {engine} has workers that other hosts do not join; leave one of them out")
    return Place(hosting, choice)
