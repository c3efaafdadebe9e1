"""The registry of search spaces, and spaces in files of the user's own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.spaces import SPACES, genotype_of, named_space

LAYERS = """
from dataclasses import dataclass, replace

from evoae_cli.genome.layers import CustomLayer
from evoae_cli.genome.spaces import SPACES

@dataclass(frozen=True)
class Negate(CustomLayer):
    text = "negate"

    def n_out(self, n_in):
        return n_in

    def build(self, n_in):
        from torch import nn

        return nn.Hardtanh()

space = replace(SPACES["skip"], further=(Negate(),))
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_papers_space_is_the_default_one() -> None:
    assert named_space("paper") == SearchSpace()
    assert not named_space("paper").has_genes


def test_a_space_of_ones_own_is_found_in_the_current_folder_and_leaves_the_path_alone(folder: Path) -> None:
    (folder / "own_layers.py").write_text(LAYERS)
    path = list(sys.path)
    space = named_space("own_layers:space")
    assert [layer.text for layer in space.choices][-1] == "negate"
    assert sys.path == path


def test_a_genotype_is_read_with_the_layers_of_the_space_that_its_network_names(folder: Path) -> None:
    (folder / "my_own.py").write_text(LAYERS)
    spec = NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same", space="my_own:space")
    genotype = genotype_of("negate,3x3conv2d:8/reductions:2", spec)
    assert [type(layer).__name__ for layer in genotype.module] == ["Negate", "Conv2d"]


def test_a_layer_that_is_gone_from_its_space_is_named_with_the_space(folder: Path) -> None:
    (folder / "shrunk.py").write_text(LAYERS)
    spec = NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same", space="shrunk:space")
    with pytest.raises(UsageError) as refusal:
        genotype_of("gone,3x3conv2d:8", spec)
    assert str(refusal.value).startswith("gone,3x3conv2d:8: unknown layer 'gone'; ")
    assert "it was found in --space shrunk:space, whose layers must stay as they were" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("skips", "--space 'skips' is unknown; use paper, skip, or module:attribute"),
        ("a b:c", "is unknown"),
        ("mine:", "is unknown"),
        (
            "not_there:space",
            "the search space not_there:space is not found: No module named 'not_there'; run where not_there.py lies",
        ),
        ("needs:space", "--space needs:space: needs needs 'not_installed', which is not installed"),
        ("torn:space", "--space torn:space: torn fails: SyntaxError: '(' was never closed (torn.py, line 1)"),
        ("failing:space", "--space failing:space: failing fails: ZeroDivisionError: division by zero"),
        ("comma:space", "--space comma:space: further: the text 'neg,ate' of a layer has a space, comma or slash"),
        ("loose:space", "further: layer 'negate' can change; make its class a @dataclass(frozen=True)"),
        ("unmade:space", "is no layer; derive its class from CustomLayer and make one of it"),
        ("mine:other", "mine has no 'other'; name the search space in it"),
        ("mine:number", "--space mine:number is a int, not a SearchSpace"),
        ("broken:space", "two layers of the search space have one text"),
    ],
)
def test_a_space_that_is_none_is_refused_in_one_line(folder: Path, name: str, says: str) -> None:
    (folder / "mine.py").write_text(LAYERS)
    (folder / "broken.py").write_text(LAYERS.replace("further=(Negate(),)", "further=(Negate(), Negate())"))
    (folder / "needs.py").write_text("import not_installed")
    (folder / "torn.py").write_text("space = (")
    (folder / "failing.py").write_text("1 / 0")
    (folder / "comma.py").write_text(LAYERS.replace('"negate"', '"neg,ate"'))
    (folder / "loose.py").write_text(LAYERS.replace("frozen=True", "frozen=False"))
    (folder / "unmade.py").write_text(LAYERS.replace("(Negate(),)", "(Negate,)"))
    with pytest.raises(UsageError) as refusal:
        named_space(name)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_registry_holds_the_two_that_the_command_names() -> None:
    assert list(SPACES) == ["paper", "skip"]
