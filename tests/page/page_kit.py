"""What tests of pages say of their fixtures."""

from collections.abc import Callable
from pathlib import Path

Changed = Callable[..., Path]
"""Makes a copy of the finished study: see the fixture `changed`."""
