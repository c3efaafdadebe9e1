"""Where a study's evaluations run: the options that say it, and what they come to."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from evoae_cli.app.common import read_as
from evoae_cli.app.hosting import Hosting
from evoae_cli.app.options import completion
from evoae_cli.engine.rayed.options import LOCAL, RayOptions, check_answers
from evoae_cli.errors import UsageError

if TYPE_CHECKING:
    from evoae_cli.engine.terms import MakeEngine

ENGINES = ("local", "ray")
_LEAST, _MOST_CPUS = 0.0001, 1024
"""What Ray can set aside."""

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
        if self._ray is not None:
            from evoae_cli.engine.rayed.engine import on_ray

            return on_ray(self._ray)
        if self.hosting is not None:
            from evoae_cli.engine.linked import among

            return among(self.hosting.host)
        from evoae_cli.engine.local import local_engine

        return local_engine


def ray_options(
    engine: str,
    address: str | None,
    cpus_per_task: float | None,
    gpus_per_task: float | None,
    device: str | None,
) -> RayOptions | None:
    """What is asked of Ray; None where evaluations do not run there. Raises UsageError for what cannot be."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine!r} is unknown; use {' or '.join(ENGINES)}")
    given = {"--ray-address": address, "--cpus-per-task": cpus_per_task, "--gpus-per-task": gpus_per_task}
    if engine == "local":
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"{option} {value} is for a Ray cluster; add --engine ray, or leave it out")
        return None
    if find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray, which is not installed; get it with: pip install 'evoae[ray]'")
    if address is not None and "://" in address:
        raise UsageError(
            f"--ray-address {address} is Ray's client, which cannot be used; run evoae on a host that reaches the "
            "cluster's head, and give HOST:6379"
        )
    if cpus_per_task is not None and not _LEAST <= cpus_per_task <= _MOST_CPUS:
        raise UsageError(
            f"--cpus-per-task {cpus_per_task:g} cannot be; Ray counts from {_LEAST:g}: use more than 0, to {_MOST_CPUS}"
        )
    if gpus_per_task is not None and gpus_per_task != 0 and not _LEAST <= gpus_per_task <= 1:
        raise UsageError(f"--gpus-per-task {gpus_per_task:g}: an evaluation uses one GPU or a part of it; use 0 to 1")
    if device == "cpu":
        if gpus_per_task:
            raise UsageError(f"--gpus-per-task {gpus_per_task:g} contradicts --device cpu; leave one of them out")
        gpus_per_task = 0.0
    if address is not None:
        check_answers(address)
    return RayOptions(address=address or LOCAL, cpus_per_task=cpus_per_task, gpus_per_task=gpus_per_task)


def place_for(hosting: Hosting | None, ray: RayOptions | None) -> Place:
    """Both together. Raises UsageError where both are asked for."""
    if hosting is not None and ray is not None:
        raise UsageError("--engine ray has the cluster's workers, which other hosts do not join; leave one of them out")
    return Place(hosting, ray)
