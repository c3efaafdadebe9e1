"""Folders among settings by their full paths, so that a study can be gone on with from anywhere. Free of torch."""

import os

import msgspec

from evoae_cli.study.config import StudyConfig
from evoae_cli.study.locate import plain_path


def with_full_names(config: StudyConfig) -> StudyConfig:
    """`config` with the full path of every folder; names of data sets stay as they are."""
    return msgspec.structs.replace(
        config,
        data=None if config.data is None else full_name(config.data),
        pairs=None if config.pairs is None else tuple(str(plain_path(name).absolute()) for name in config.pairs),
        output=None if config.output is None else str(plain_path(config.output).absolute()),
        data_root=None if config.data_root is None else full_name(config.data_root),
    )


def full_name(name: str) -> str:
    """The full path of a folder that is there; any other name as it is."""
    # Loads numpy, which commands that are to be quick do without.
    from evoae_cli.evaluation.images import BUILT_IN

    folder = plain_path(name)
    return str(folder.absolute()) if name not in BUILT_IN and os.path.isdir(folder) else name
