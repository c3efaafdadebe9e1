"""Which engine a user asks for. Free of all that takes time to load, until the engine is made."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from evoae_cli.engine.rayed.options import LOCAL, RayOptions, check_answers
from evoae_cli.errors import UsageError

if TYPE_CHECKING:
    from evoae_cli.engine.terms import MakeEngine

ENGINES = ("local", "ray")
_LEAST, _MOST_CPUS = 0.0001, 1024
"""What Ray can set aside."""


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
            f"--ray-address {address} is Ray's client, which cannot be used; run evoae on a node of the cluster, "
            "and give HOST:6379 of its head"
        )
    if cpus_per_task is not None and not _LEAST <= cpus_per_task <= _MOST_CPUS:
        raise UsageError(
            f"--cpus-per-task {cpus_per_task:g} cannot be; Ray counts from {_LEAST:g}: use more than 0, to {_MOST_CPUS}"
        )
    if gpus_per_task is not None and gpus_per_task != 0 and not _LEAST <= gpus_per_task <= 1:
        raise UsageError(f"--gpus-per-task {gpus_per_task:g}: an evaluation uses one GPU or a part of it; use 0 to 1")
    if device not in (None, "auto", "cpu"):
        raise UsageError(
            f"--device {device} is a GPU of this host; with --engine ray give --device auto, and --gpus-per-task 1"
        )
    if device == "cpu":
        if gpus_per_task:
            raise UsageError(f"--gpus-per-task {gpus_per_task:g} contradicts --device cpu; leave one of them out")
        gpus_per_task = 0.0
    if address is not None:
        check_answers(address)
    return RayOptions(address=address or LOCAL, cpus_per_task=cpus_per_task, gpus_per_task=gpus_per_task)


def engine_on(ray: RayOptions | None) -> "MakeEngine":
    """What makes the engine there; on this host without `ray`."""
    if ray is not None:
        from evoae_cli.engine.rayed.engine import on_ray

        return on_ray(ray)
    from evoae_cli.engine.local import local_engine

    return local_engine
