from pathlib import Path

import msgspec
import pytest

from evoae_cli.baseline.plan import PLAN, Plan, is_baseline, read_plan, write_plan
from evoae_cli.baseline.protocols import PROTOCOLS
from evoae_cli.errors import StudyError

WHOLE = Plan(
    objective="denoise",
    settings={"seed": 5, "epochs": 2},
    protocols=PROTOCOLS,
    n_samples=30,
    against="/runs/search",
    n_pairs=2,
    references=(),
)


def test_a_search_runs_before_what_is_to_be_fair_to_it() -> None:
    assert [part.name for part in WHOLE.parts] == [
        "paper-5",
        *("uniform-5", "lengths-5", "one-layer-5"),
        *("evolution-6", "uniform-6", "lengths-6", "one-layer-6"),
    ]


def test_the_first_search_is_the_one_that_was_named() -> None:
    assert WHOLE.search_of(Path("/c"), 5) == Path("/runs/search")
    assert WHOLE.search_of(Path("/c"), 6) == Path("/c/evolution-6")
    assert msgspec.structs.replace(WHOLE, against=None).search_of(Path("/c"), 5) is None


def test_without_a_search_there_is_the_papers_protocol_alone() -> None:
    alone = msgspec.structs.replace(WHOLE, against=None, protocols=("paper",), n_pairs=1)
    assert [part.name for part in alone.parts] == ["paper-5"]


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert not is_baseline(tmp_path)
    write_plan(tmp_path, WHOLE)
    assert is_baseline(tmp_path)
    assert read_plan(tmp_path) == WHOLE


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is no comparison"), ('{"format": 1, "x": 1}', "is no comparison"), ('{"format": 2}', "has format 2")],
)
def test_what_is_no_plan_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / PLAN).write_text(text)
    with pytest.raises(StudyError, match=said):
        read_plan(tmp_path)


def test_a_plan_of_another_format_is_left_alone(tmp_path: Path) -> None:
    write_plan(tmp_path, msgspec.structs.replace(WHOLE, format=2))
    with pytest.raises(StudyError, match="format 2, this version reads 1"):
        read_plan(tmp_path)
