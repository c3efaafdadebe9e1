"""evoae designs autoencoders by evolution.

From Python:

    from evoae_cli import denoise, load_model, search

    result = search("denoise", data="photos/", generations=5)
    clean = denoise(load_model(result.folder), image)

Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evoae_cli.version import __version__

if TYPE_CHECKING:
    from evoae_cli.applying.apply import denoise_array as denoise
    from evoae_cli.applying.codes import decode_array as decode
    from evoae_cli.applying.codes import encode_array as encode
    from evoae_cli.applying.export import export_onnx
    from evoae_cli.interface import load, random_baseline, report, resume, search, train
    from evoae_cli.study.model import load_model

__all__ = [
    "__version__",
    "decode",
    "denoise",
    "encode",
    "export_onnx",
    "load",
    "load_model",
    "random_baseline",
    "report",
    "resume",
    "search",
    "train",
]

_HOMES = {
    "decode": ("applying.codes", "decode_array"),
    "denoise": ("applying.apply", "denoise_array"),
    "encode": ("applying.codes", "encode_array"),
    "export_onnx": ("applying.export", "export_onnx"),
    "load": ("interface", "load"),
    "load_model": ("study.model", "load_model"),
    "random_baseline": ("interface", "random_baseline"),
    "report": ("interface", "report"),
    "resume": ("interface", "resume"),
    "search": ("interface", "search"),
    "train": ("interface", "train"),
}
"""Where each function lives, and its name there."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, own_name = _HOMES[name]
        return getattr(import_module(f"{__name__}.{module}"), own_name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
