"""The engines by their names: those that come with evoae, and how one of your own is found."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from evoae_cli.engine.rayed.options import choose_ray
from evoae_cli.engine.wishes import Choice, Choose, Wishes, refuse_cluster_options
from evoae_cli.errors import EvoaeError, UsageError, first_line
from evoae_cli.named import here_importable, named_value

if TYPE_CHECKING:
    from evoae_cli.engine.protocol import Engine
    from evoae_cli.engine.terms import MakeEngine, Terms
    from evoae_cli.hosts.host import Host


def choose_local(wishes: Wishes) -> Choice:
    """The workers of this host."""
    refuse_cluster_options(wishes)
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
    with _theirs(name):
        choice = choose(wishes)
    if not isinstance(choice, Choice):
        raise UsageError(f"--engine {name} gives a {type(choice).__name__}, not a Choice")

    def make_engine(terms: "Terms") -> "Engine":
        with _theirs(name):
            return choice.make_engine(terms)

    return msgspec.structs.replace(choice, make_engine=make_engine)


@contextlib.contextmanager
def _theirs(name: str) -> Iterator[None]:
    """Say of whatever is raised that the engine of this name fails: it is a person's own program, theirs to mend.

    What it imports only now may lie beside it.
    """
    try:
        with here_importable():
            yield
    except EvoaeError:
        raise
    except Exception as error:
        raise UsageError(f"--engine {name} fails: {type(error).__name__}: {first_line(error)}") from error
