"""Where a study's evaluations run: the options that say it, and what they come to."""

from typing import TYPE_CHECKING, Annotated

import typer

from evoae_cli.app.common import read_as
from evoae_cli.app.hosting import Hosting
from evoae_cli.app.options import completion
from evoae_cli.engine.choice import ENGINES, engine_on
from evoae_cli.engine.rayed.options import RayOptions
from evoae_cli.errors import UsageError

if TYPE_CHECKING:
    from evoae_cli.engine.terms import MakeEngine

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray",
        help="What runs the evaluations: workers of this host, or a Ray cluster.",
        autocompletion=completion(ENGINES),
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
    """Where evaluations run."""

    def __init__(self, hosting: Hosting | None = None, ray: RayOptions | None = None) -> None:
        self.hosting = hosting
        self._ray = ray

    @property
    def is_ray(self) -> bool:
        """Whether it is a cluster, whose workers are not this host's."""
        return self._ray is not None

    def make_engine(self) -> "MakeEngine":
        """What makes the engine of a study there."""
        if self.hosting is not None:
            from evoae_cli.engine.linked import among

            return among(self.hosting.host)
        return engine_on(self._ray)


def place_for(hosting: Hosting | None, ray: RayOptions | None) -> Place:
    """Both together. Raises UsageError where both are asked for."""
    if hosting is not None and ray is not None:
        raise UsageError("--engine ray has the cluster's workers, which other hosts do not join; leave one of them out")
    return Place(hosting, ray)
