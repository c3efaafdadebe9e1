"""What is known of the settings by name: which there are, what they mean, and which belong together."""

import functools
from typing import Any, get_args, get_type_hints

import msgspec

from evoae_cli.study.config import StudyConfig

CHANGEABLE = ("generations", "workers", "device", "timeout", "output")
"""Settings that may change when a study is resumed: they leave what it has found so far as it is."""

OF_TRAINING = ("genotype", "from_model")
"""Settings that make a study the training of one architecture, without a search."""
OF_SEARCH = (
    *("population", "generations", "mode", "keep_duplicates", "objectives", "start_from"),
    *("max_parameters", "max_operations", "max_code", "kernels", "filters", "dropout", "max_layers"),
    *("final_epochs", "finalists"),
)
"""Settings that mean nothing without a search: what is trained is given, and has one number of epochs."""


def field_names() -> tuple[str, ...]:
    """Names of all settings, in the order of the class."""
    return StudyConfig.__struct_fields__


SEARCH_SETTINGS = tuple(name for name in field_names() if name not in ("objective", *OF_TRAINING))
"""What may be set for a search: all but its objective, which is no option, and what makes a study a training."""


def field_type(name: str) -> Any:
    """The annotated type of a setting: the type, then a `msgspec.Meta` with description, panel and bounds."""
    return _hints()[name]


@functools.cache
def _hints() -> dict[str, Any]:
    return get_type_hints(StudyConfig, include_extras=True)


def field_meta(name: str) -> msgspec.Meta:
    """Description, panel and bounds of a setting."""
    return next(part for part in get_args(field_type(name))[1:] if isinstance(part, msgspec.Meta))
