"""The engines by their names: those that come with evoae, and how one of your own is found."""

from typing import TYPE_CHECKING

from evoae_cli.engine.rayed.options import choose_ray
from evoae_cli.engine.wishes import Choice, Choose, Wishes
from evoae_cli.errors import UsageError, first_line
from evoae_cli.named import named_value

if TYPE_CHECKING:
    from evoae_cli.engine.protocol import Engine
    from evoae_cli.engine.terms import MakeEngine, Terms
    from evoae_cli.hosts.host import Host


def choose_local(wishes: Wishes) -> Choice:
    """The workers of this host."""
    given = {
        "--ray-address": wishes.ray_address,
        "--cpus-per-task": wishes.cpus_per_task,
        "--gpus-per-task": wishes.gpus_per_task,
    }
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} {value} is for a Ray cluster; add --engine ray, or leave it out")
    return Choice(make_engine=_make_local, make_helped=_make_helped)


def _make_local(terms: "Terms") -> "Engine":
    from evoae_cli.engine.local import local_engine

    return local_engine(terms)


def _make_helped(host: "Host") -> "MakeEngine":
    from evoae_cli.engine.linked import among

    return among(host)


ENGINES: dict[str, Choose] = {"local": choose_local, "ray": choose_ray}


def chosen_engine(name: str, wishes: Wishes) -> Choice:
    """The engine of a name: `local`, `ray`, or `module:attribute` for a `Choose` in a Python file of your own.

    Raises UsageError, with the remedy, where there is none, and for wishes that it cannot heed.
    """
    if name in ENGINES:
        return ENGINES[name](wishes)
    choose = named_value("--engine", name, what="engine", known=ENGINES)
    if not callable(choose):
        raise UsageError(f"--engine {name} is a {type(choose).__name__}, not a function that gives a Choice")
    try:
        choice = choose(wishes)
    except UsageError:
        raise
    except Exception as error:
        # It is a person's own program, so what it raises is theirs to mend.
        raise UsageError(f"--engine {name} fails: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(choice, Choice):
        raise UsageError(f"--engine {name} gives a {type(choice).__name__}, not a Choice")
    return choice
