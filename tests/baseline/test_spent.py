"""What a search has trained, and what is no search."""

import shutil
from pathlib import Path

import pytest

from evoae_cli.baseline.begin import new_plan
from evoae_cli.baseline.plan import PLAN, Plan, write_plan
from evoae_cli.baseline.spent import part_of, spent_of
from evoae_cli.errors import UsageError


@pytest.fixture
def comparison(finished_study: Path, tmp_path: Path) -> Path:
    """A comparison whose two studies are copies of one search."""
    for name in ("uniform-0", "evolution-1", "mine"):
        shutil.copytree(finished_study, tmp_path / name)
    plan = Plan(
        objective="denoise",
        settings={"seed": 0},
        protocols=("uniform",),
        n_samples=2,
        against=str(finished_study),
        n_pairs=2,
        references=(),
    )
    write_plan(tmp_path, plan)
    return tmp_path


def test_a_random_study_of_a_comparison_is_no_search_to_compare_with(comparison: Path) -> None:
    said = r"uniform-0 trains random architectures \(random, 1 to 10 layers\); name a study of evoae search$"
    with pytest.raises(UsageError, match=said):
        spent_of(comparison / "uniform-0")
    with pytest.raises(UsageError, match=said):
        new_plan(None, {}, against=str(comparison / "uniform-0"), n_samples=None, protocols=None, n_pairs=None)


def test_a_search_in_a_comparison_may_be_compared_with(comparison: Path, finished_study: Path) -> None:
    assert spent_of(comparison / "evolution-1") == spent_of(comparison / "mine") == spent_of(finished_study)


def test_a_part_is_known_by_the_plan_beside_it(
    comparison: Path, finished_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = part_of(comparison / "uniform-0")
    assert part is not None
    assert (part.protocol, part.seed) == ("uniform", 0)
    assert part_of(comparison / "mine") is part_of(finished_study) is None
    monkeypatch.chdir(comparison / "uniform-0")
    assert part_of(Path()) == part
    (comparison / PLAN).write_text("{")
    assert part_of(Path()) is None
