"""evoae designs autoencoders by evolution.

From Python:

    from evoae_cli import search, load

    result = search("denoise", data="photos/", generations=5)
    network = load(result.folder)

Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evoae_cli.version import __version__

if TYPE_CHECKING:
    from evoae_cli.study.interface import load, resume, search

__all__ = ["__version__", "load", "resume", "search"]


def __getattr__(name: str) -> Any:
    if name in ("load", "resume", "search"):
        return getattr(import_module("evoae_cli.study.interface"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
