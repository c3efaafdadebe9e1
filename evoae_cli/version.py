"""The version, alone in a module so that packaging and `evoae --version` read it without importing anything else."""

__version__ = "0.1.0"
