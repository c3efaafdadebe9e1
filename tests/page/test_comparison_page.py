"""Several studies beside each other."""

from pathlib import Path

import msgspec
import pytest
from page_kit import Changed

from evoae_cli.baseline.plan import Plan, read_plan, write_plan
from evoae_cli.baseline.protocols import Protocol
from evoae_cli.baseline.rivalfile import RivalRow, add_rival
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import RivalFound, Scores
from evoae_cli.page.comparison_page import comparison_page
from evoae_cli.page.gather import gather
from evoae_cli.page.write import found_studies, page_text, target_for, write_page

_SEED = "UPDATE meta SET value=json_set(value, '$.seed', 7) WHERE key='settings'"
_EPOCHS = "UPDATE meta SET value=json_set(value, '$.epochs', 5) WHERE key='settings'"


def test_studies_of_the_same_test_images_are_compared_on_them(finished_study: Path, changed: Changed) -> None:
    """As the paper compares searches with 2 and with 5 epochs."""
    found = comparison_page([gather(finished_study), gather(changed("five", sql=_EPOCHS))])
    assert found.notes == ()
    assert "On the same test images" in found.lead
    assert found.gallery is not None
    captions = [picture.caption for picture in found.gallery.rows[0]]
    assert len(captions) == 5
    assert {"clean", "noisy", "finished", "five"} < set(captions)
    assert [(row.name, row.values) for row in found.settings] == [("epochs", ("1", "5"))]
    assert found.courses is not None
    assert "different numbers of epochs" in found.courses.caption


def test_studies_of_other_test_images_are_not_compared_as_if_they_were_of_the_same(
    finished_study: Path, changed: Changed
) -> None:
    found = comparison_page([gather(finished_study), gather(changed("other", sql=_SEED))])
    assert "differ in seed" in found.notes[0]
    assert found.gallery is None
    assert all(part.gallery is not None for part in found.parts)
    assert all(row.best == -1 for row in found.figures)
    assert found.lead == "Each study by its own figures."


def test_many_studies_are_all_in_the_tables_and_some_in_the_figures(finished_study: Path) -> None:
    facts = gather(finished_study)
    found = comparison_page([facts] * 12)
    assert found.title == "12 studies"
    assert len(found.names) == len(found.figures[0].values) == 12
    assert found.courses is not None
    assert "4 studies are left out" in found.courses.caption


def test_studies_of_which_nothing_can_be_drawn_are_left_out_of_the_figures(
    finished_study: Path, changed: Changed
) -> None:
    """A search cut short in its first generation has no course; with other epochs too, which say nothing then."""
    first = f"{_EPOCHS}; DELETE FROM evaluations WHERE generation>0"
    whole, short = gather(finished_study), gather(changed("short", sql=first))
    found = comparison_page([whole, short])
    assert found.courses is not None
    assert found.courses.caption.endswith("mean of each generation. 1 study is left out.")
    assert found.fronts is not None
    assert "left out" not in found.fronts.caption
    many = comparison_page([whole] * 9 + [short] * 2).courses
    assert many is not None
    assert many.caption.endswith("mean of each generation. 3 studies are left out.")


def test_a_study_named_twice_is_one(finished_study: Path) -> None:
    folders, is_newest = found_studies([str(finished_study), f"{finished_study}/../{finished_study.name}"])
    assert (folders, is_newest) == ((finished_study,), False)


def test_a_page_replaces_the_study_s_own_and_nothing_else(changed: Changed, tmp_path: Path) -> None:
    folder = changed()
    own = target_for([folder], None, is_forced=False)
    assert own == folder / "report.html"
    assert write_page([folder], own).n_bytes == own.stat().st_size
    assert target_for([folder], own, is_forced=False) == own
    other = tmp_path / "other.html"
    other.write_text("mine")
    with pytest.raises(UsageError, match=r"other\.html exists; add --force"):
        target_for([folder], other, is_forced=False)
    assert target_for([folder], other, is_forced=True) == other
    with pytest.raises(UsageError, match="exists"):
        target_for([folder, folder.parent], own, is_forced=False)


@pytest.fixture
def chance(changed: Changed, tmp_path: Path) -> tuple[Path, Path]:
    """A study, and beside it a comparison with random search, whose studies are copies of it."""
    study = changed("mine")
    folder = tmp_path / "chance"
    folder.mkdir()
    settings = gather(study).settings
    plan = Plan(
        objective="denoise",
        settings=settings,
        protocols=("paper", "uniform"),
        n_samples=3,
        against=str(study),
        n_pairs=1,
        references=("dncnn",),
    )
    write_plan(folder, plan)
    for part in plan.parts:
        changed(f"chance/{part.name}")
    scores = Scores(mse=0.01, psnr_db=26.5, psnr_pooled_db=26.0, ssim=0.7)
    for rival in ("DnCNN", "wavelet"):
        found = RivalFound(rival=rival, scores=scores, image_s=0.1, parameters=1234)  # type: ignore[arg-type]
        add_rival(folder, RivalRow(name=rival, found=found))
    return study, folder


def test_a_comparison_with_random_search_beside_a_study_is_on_its_page(chance: tuple[Path, Path]) -> None:
    study, folder = chance
    text, _ = page_text([study])
    assert f"mean of {len(gather(study).candidates)} random architectures, as the paper" in text
    assert "Evolution is 0.00 dB worse than random, 1 to 10 layers" in text
    assert text.count(">DnCNN<") == 1
    assert text.count(">wavelet<") == 1
    assert "Random search is missing" not in text
    (folder / "baseline.json").write_text("{")
    assert "Random search is missing" in page_text([study])[0]


@pytest.mark.parametrize("protocols", [("paper", "uniform"), ("uniform",)])
def test_a_study_s_page_has_random_search_of_its_own_seed_and_sentences_about_all(
    protocols: tuple[Protocol, ...], chance: tuple[Path, Path], changed: Changed
) -> None:
    """With other seeds the test images and their noise are others."""
    study, folder = chance
    plan = msgspec.structs.replace(read_plan(folder), n_pairs=2, protocols=protocols)
    write_plan(folder, plan)
    seed = plan.settings["seed"]
    for part in (part for part in plan.parts if part.seed != seed):
        changed(f"chance/{part.name}")
    text, _ = page_text([study])
    assert f"random, 1 to 10 layers, seed {seed}: " in text
    assert f"random, 1 to 10 layers, seed {seed + 1}: " not in text
    assert text.count("0.00 dB, 2 pairs") == text.count("Evolution is 0.00 dB worse than random, 1 to 10 layers") == 1


def test_a_comparison_has_a_page_of_all_its_studies(chance: tuple[Path, Path]) -> None:
    study, folder = chance
    text, studies = page_text([folder])
    assert [path.name for path in studies] == ["mine", "paper-0", "uniform-0"]
    assert "Evolution and random search" in text
    assert "evolution is 0.00 dB worse than random, 1 to 10 layers" in text
    assert text.count(">DnCNN<") == 1
    assert page_text([folder, study])[1] == studies


def test_a_comparison_is_written_whole(finished_study: Path, changed: Changed, tmp_path: Path) -> None:
    written = write_page([finished_study, changed("second")], tmp_path / "compare.html")
    assert written.studies == (finished_study, tmp_path / "second")
    text = written.path.read_text(encoding="utf-8")
    assert text == page_text([finished_study, tmp_path / "second"])[0]
    assert len(text.encode()) == written.n_bytes < 5_000_000
