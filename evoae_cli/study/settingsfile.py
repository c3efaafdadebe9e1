"""`study.toml`: every resolved setting of a study, for people and for `search --config`."""

import os
import platform
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.imagefile import ImageFile
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.locate import SETTINGS
from evoae_cli.study.settings import OF_SEARCH
from evoae_cli.version import __version__
from evoae_cli.wholefile import write_whole

_RECORD = "record"
"""The table that says what was found rather than what was set; `read_settings` passes over it."""


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"evoae": __version__, "python": platform.python_version()}
    for package in ("torch", "torchvision", "numpy", "scikit-image"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_settings(folder: Path, config: StudyConfig, images: ImageFile) -> None:
    """Write `study.toml`. Settings that are None are left out: TOML has no word for them."""
    left_out = OF_SEARCH if config.is_training else ()
    settings = {
        key: value for key, value in msgspec.to_builtins(config).items() if value is not None and key not in left_out
    }
    command = "train" if config.is_training else "search"
    record = {"images": images.summary(), "fingerprint": images.fingerprint, "versions": versions()}
    text = (
        f"# All settings of this study. Repeat it: evoae {command} {config.objective} --config {SETTINGS}\n"
        + tomli_w.dumps(settings | {_RECORD: record})
    )
    write_whole(folder / SETTINGS, text.encode())


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file made by `write_settings` or by hand. Raises UsageError if it cannot be read."""
    if os.path.isdir(path):
        path = path / SETTINGS
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--config {path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--config {path} is no TOML: {error}") from None
    settings.pop(_RECORD, None)
    return settings
