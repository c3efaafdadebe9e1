"""Values that people name in files of their own; what is refused, and how, tests/genome/test_spaces.py has."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evoae_cli.engine.choice import chosen_engine
from evoae_cli.engine.wishes import Wishes
from evoae_cli.errors import UsageError
from evoae_cli.named import named_value


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, which is not among those of `import`; what is imported there is forgotten."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def value(name: str) -> object:
    return named_value("--thing", name, what="thing", known=("one", "two"))


ENGINE = """
from evoae_cli.engine.wishes import Choice

def choose(wishes):
    import named_second
    return Choice(make_engine=make, where=named_second.WHERE)

def make(terms):
    import named_third
    return named_third.ENGINE
"""


def test_what_an_engine_of_ones_own_imports_later_may_lie_beside_it(folder: Path) -> None:
    (folder / "named_first.py").write_text(ENGINE)
    (folder / "named_second.py").write_text("WHERE = 'next door'")
    (folder / "named_third.py").write_text("ENGINE = 3")
    choice = chosen_engine("named_first:choose", Wishes())
    assert choice.where == "next door"
    assert choice.make_engine(None) == 3  # type: ignore[arg-type,comparison-overlap]  # no engine is needed here
    assert "" not in sys.path


def test_a_folder_in_which_nothing_was_found_is_not_among_those_of_import(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"the thing not_there:x is not found: .*; run where not_there\.py lies"):
        value("not_there:x")
    assert "" not in sys.path


def test_names_that_would_have_done_and_files_are_told() -> None:
    with pytest.raises(UsageError, match=r"--thing 'three' is unknown; use one, two, or module:attribute"):
        value("three")
    with pytest.raises(UsageError, match=r"--thing 'my/own.py:x' names a file; name the module in it: my\.own:x"):
        value("my/own.py:x")
