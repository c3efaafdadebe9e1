"""Several studies beside each other."""

import shutil
from pathlib import Path

import msgspec
import pytest
from page_kit import Changed

from evoae_cli.baseline.noted import noted_comparisons
from evoae_cli.baseline.plan import Plan, read_plan, write_plan
from evoae_cli.baseline.protocols import Protocol
from evoae_cli.baseline.rivalfile import RivalRow, add_rival
from evoae_cli.baseline.summary import baseline_summary
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import RivalFound, Scores
from evoae_cli.page.comparison_page import comparison_page
from evoae_cli.page.gather import comparison_with, gather
from evoae_cli.page.write import PAGE, found_studies, page_text, renew_pages, target_for, write_page

_SEED = "UPDATE meta SET value=json_set(value, '$.seed', 7) WHERE key='settings'"
_EPOCHS = "UPDATE meta SET value=json_set(value, '$.epochs', 5) WHERE key='settings'"

_BEST = Scores(mse=0.001, psnr_db=36.0, psnr_pooled_db=36.0, ssim=0.9)


def test_studies_of_the_same_test_images_are_compared_on_them(finished_study: Path, changed: Changed) -> None:
    """As the paper compares searches with 2 and with 5 epochs."""
    found = comparison_page([gather(finished_study), gather(changed("five", sql=_EPOCHS))])
    assert found.notes == ()
    assert "On the same test images" in found.lead
    assert found.gallery is not None
    captions = [picture.caption for picture in found.gallery.rows[0]]
    facts = gather(finished_study)
    assert facts.classical is not None
    assert captions == ["clean", "noisy", facts.classical.columns[0].name, "finished", "five"]
    assert found.gallery.rows[0][-1].alt.startswith("Test image 1: five, ")
    assert "both models" in found.gallery_note
    assert "eft out" not in found.gallery_note
    assert [(row.name, row.values) for row in found.settings] == [("epochs", ("1", "5"))]
    assert found.courses is not None
    assert "different numbers of epochs" in found.courses.caption


def test_epochs_of_finalists_are_those_that_there_was_time_for(finished_study: Path) -> None:
    whole = gather(finished_study)
    finals = whole.about["finalists"]
    assert [final["epochs"] for final in finals] == [2, 2]
    shorter = [finals[0] | {"epochs": 1}, finals[1]]
    cut = msgspec.structs.replace(whole, about=whole.about | {"finalists": shorter})
    failed = {name: finals[0][name] for name in ("genotype", "seed_index", "parameters")}
    failed |= {"outcome": "crashed", "reason": "as the test says", "epochs": 0}
    lost = msgspec.structs.replace(whole, about=whole.about | {"finalists": [failed, finals[1]]})
    none = msgspec.structs.replace(whole, about=whole.about | {"finalists": []})
    figures = comparison_page([whole, cut, lost, none]).figures
    (epochs,) = [row.values for row in figures if row.name == "epochs of finalists"]
    assert epochs == ("2", "1 to 2", "2", "2")


def test_studies_of_other_test_images_are_not_compared_as_if_they_were_of_the_same(
    finished_study: Path, changed: Changed
) -> None:
    found = comparison_page([gather(finished_study), gather(changed("other", sql=_SEED))])
    assert "differ in seed" in found.notes[0]
    assert found.gallery is None
    assert all(part.gallery is not None for part in found.parts)
    assert found.gallery_note == "Each study has its own, below."
    assert all(row.best == -1 for row in found.figures)
    assert found.lead == "Each study by its own figures."


def test_many_studies_are_all_in_the_tables_and_some_in_the_figures(finished_study: Path) -> None:
    facts = gather(finished_study)
    found = comparison_page([facts] * 12)
    assert found.title == "12 studies"
    assert len(found.names) == len(found.figures[0].values) == 12
    assert found.courses is not None
    assert "4 studies are left out" in found.courses.caption
    assert found.gallery is not None
    assert [picture.caption for picture in found.gallery.rows[0]].count(facts.title) == 5
    named = "; ".join([facts.title] * 7)
    assert found.gallery_note.endswith(f" Left out, as there is no room for more: {named}.")
    assert comparison_page([facts] * 14).gallery_note.endswith("room for more: 9 studies.")


def test_studies_of_which_nothing_can_be_drawn_are_left_out_of_the_figures(
    finished_study: Path, changed: Changed
) -> None:
    """A search cut short in its first generation has no course; with other epochs too, which say nothing then."""
    first = f"{_EPOCHS}; DELETE FROM evaluations WHERE generation>0"
    whole, short = gather(finished_study), gather(changed("short", sql=first))
    found = comparison_page([whole, short])
    assert found.courses is not None
    assert found.courses.caption.endswith(
        "1 study is left out: a figure shows at most 8, and none of which there is nothing to draw."
    )
    assert found.fronts is not None
    assert "left out" not in found.fronts.caption
    many = comparison_page([whole] * 9 + [short] * 2).courses
    assert many is not None
    assert many.caption.endswith(
        "3 studies are left out: a figure shows at most 8, and none of which there is nothing to draw."
    )


def test_figures_show_fitness_of_one_kind_and_name_what_is_left_out(finished_study: Path) -> None:
    whole = gather(finished_study)
    about = whole.about | {"settings": whole.settings | {"noisy_only": True}}
    noisy = msgspec.structs.replace(whole, title="noisy", about=about)
    found = comparison_page([noisy, whole, whole])
    for plot in (found.courses, found.fronts):
        assert plot is not None
        assert plot.caption.endswith(" Left out, as fitness is another quantity there: noisy.")
        assert ">noisy<" not in plot.svg
    # Those with nothing to draw have no say in it.
    unbegun = msgspec.structs.replace(noisy, candidates=(), history=())
    courses = comparison_page([unbegun, unbegun, whole]).courses
    assert courses is not None
    assert courses.caption.endswith(" Left out, as fitness is another quantity there: noisy; noisy.")


def test_studies_of_one_name_are_told_apart_by_their_folders(finished_study: Path, changed: Changed) -> None:
    there = changed("there", sql=_EPOCHS)
    twin = there.parent / "twins" / finished_study.name
    twin.parent.mkdir()
    there.rename(twin)
    text, _ = page_text([finished_study, twin, finished_study])
    assert f"<h1>{finished_study} and {twin}</h1>" in text


def test_a_study_has_one_colour_in_all_figures(finished_study: Path, changed: Changed) -> None:
    """The first has no course, and its colour is then not the next one's."""
    short = gather(changed("short", sql="DELETE FROM evaluations WHERE generation>0"))
    found = comparison_page([short, gather(finished_study)])
    assert found.courses is not None
    assert found.fronts is not None
    assert "--vermillion" in found.courses.svg
    assert "--blue" not in found.courses.svg
    assert "--blue" in found.fronts.svg


def test_pictures_that_are_not_there_are_told_and_so_is_why(finished_study: Path, changed: Changed) -> None:
    whole, none = gather(finished_study), gather(changed("none", without=("best/pictures.npz",)))
    found = comparison_page([whole, none])
    assert found.gallery is not None
    assert [picture.caption for picture in found.gallery.rows[0]][2] == "output of the network"
    assert [part.gallery for part in found.parts] == [None, None]
    assert found.gallery_note.startswith("Test images through finished. ")
    assert "Left out, as they have not ended, or" in found.gallery_note
    assert found.gallery_note.endswith(": none.")
    mixed = comparison_page([whole, gather(changed("five", sql=_EPOCHS)), gather(changed("other", sql=_SEED))])
    assert mixed.gallery is not None
    assert [part.gallery is not None for part in mixed.parts] == [False, False, True]
    assert mixed.gallery_note.endswith(" With the study, below: other.")
    many = [gather(changed(f"other{seed}", sql=_SEED.replace("7", str(seed)))) for seed in range(1, 6)]
    found = comparison_page(many)
    assert (found.gallery, [part.gallery for part in found.parts]) == (None, [None] * 5)
    assert found.gallery_note.startswith("Left out, as they were tested on other images or with other noise: other1;")
    assert "below" not in found.gallery_note


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
    link = tmp_path / "link.html"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"link\.html is a link to nothing; add --force"):
        target_for([folder], link, is_forced=False)
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
    assert "Evolution is as good as random, 1 to 10 layers" in text
    assert text.count(">DnCNN<") == 1
    assert text.count(">wavelet<") == 1
    assert "Random search is missing" not in text
    (folder / "baseline.json").write_text("{")
    assert "Random search is missing" in page_text([study])[0]


def test_the_comparison_that_says_most_is_on_a_study_s_page(chance: tuple[Path, Path]) -> None:
    """One that was begun later, and has not ended, takes nothing away."""
    study, folder = chance
    plan = read_plan(folder)
    write_plan(folder, msgspec.structs.replace(plan, is_measured=True))
    for name, protocols in (("later", ("paper", "uniform", "lengths", "one-layer")), ("latest", ("paper",))):
        (folder.parent / name).mkdir()
        write_plan(folder.parent / name, msgspec.structs.replace(plan, protocols=protocols))
    assert comparison_with(study) == baseline_summary(folder)
    assert "This is the comparison chance." in page_text([study])[0]


def test_a_search_finds_a_comparison_wherever_it_lies_and_misses_none_that_is_gone(chance: tuple[Path, Path]) -> None:
    study, folder = chance
    elsewhere = folder.parent / "other" / "chance"
    elsewhere.parent.mkdir()
    folder.rename(elsewhere)
    assert "Random search is missing" in page_text([study])[0]
    for _ in range(2):
        assert renew_pages(elsewhere, pytest.fail) == [elsewhere / PAGE, study / PAGE]
    assert noted_comparisons(study) == [elsewhere]
    assert "Random search is missing" not in (study / PAGE).read_text(encoding="utf-8")
    elsewhere.rename(folder)
    assert comparison_with(study) == baseline_summary(folder)
    shutil.rmtree(folder)
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
    assert (
        text.count("0.00 dB, 2 pairs") == text.count("Evolution is on average as good as random, 1 to 10 layers") == 1
    )


def test_a_comparison_has_a_page_of_all_its_studies(chance: tuple[Path, Path]) -> None:
    study, folder = chance
    text, studies = page_text([folder])
    assert [path.name for path in studies] == ["mine", "paper-0", "uniform-0"]
    assert "Evolution and random search" in text
    assert "evolution is as good as random, 1 to 10 layers" in text
    assert text.count(">DnCNN<") == 1
    assert page_text([folder, study])[1] == studies


def test_a_comparison_of_several_seeds_has_the_pictures_of_its_first(
    chance: tuple[Path, Path], changed: Changed
) -> None:
    _, folder = chance
    plan = msgspec.structs.replace(read_plan(folder), n_pairs=2)
    write_plan(folder, plan)
    for part in (part for part in plan.parts if part.seed != 0):
        changed(f"chance/{part.name}", sql=_SEED.replace("7", str(part.seed)))
    text, _ = page_text([folder])
    pictures = text.partition('id="pictures"')[2].partition("</section>")[0]
    assert "through 3 models" in pictures
    assert "or with other noise: evolution, seed 1; random, 1 to 10 layers, seed 1." in pictures
    assert "below" not in pictures
    assert pictures.count("<img") == text.count("<img") == 4 * (2 + 1 + 3)


def test_random_architectures_alone_are_not_set_beside_evolution(chance: tuple[Path, Path]) -> None:
    _, folder = chance
    write_plan(folder, msgspec.structs.replace(read_plan(folder), against=None, protocols=("paper",), references=()))
    add_rival(folder, RivalRow(name="BM3D", found=RivalFound(rival="BM3D", scores=_BEST, image_s=1.0)))
    text, studies = page_text([folder])
    assert [path.name for path in studies] == ["paper-0"]
    assert "evoae report, 1 study<" in text
    assert "<h1>Random architectures</h1>" in text
    assert "Evolution" not in text.partition('id="paper"')[0]
    assert "What chance finds" in text
    assert "no better than a constant image" in text
    assert "Random search, with about as many" not in text
    assert text.count("<img") == 4 * 4
    assert "finished by a version" not in text
    assert "below BM3D, the best classical method" in text
    assert "is the best of those without BM3D" in text


def test_a_random_study_is_called_by_its_protocol_wherever_it_is_shown(chance: tuple[Path, Path]) -> None:
    _, folder = chance
    title = "Random, 1 to 10 layers: the finalists, ranked on validation"
    text, _ = page_text([folder])
    assert text.count(title) == text.count("Random, as the paper: the finalists") == text.count("Evolution: the") == 1
    own, _ = page_text([folder / "uniform-0"])
    assert own.count(title) == 1
    assert "evoae random-baseline denoise: random, 1 to 10 layers" in own
    assert "Evolution" not in own.partition('id="paper"')[0]
    assert "Random search is missing" not in own
    assert f"the page of all its parts: evoae report {folder}" in own
    assert "--against" not in own
    (folder / "baseline.json").write_text("{")
    assert "Evolution: the finalists" in page_text([folder / "uniform-0"])[0]


def test_a_comparison_is_written_whole(finished_study: Path, changed: Changed, tmp_path: Path) -> None:
    written = write_page([finished_study, changed("second")], tmp_path / "compare.html")
    assert written.studies == (finished_study, tmp_path / "second")
    text = written.path.read_text(encoding="utf-8")
    assert text == page_text([finished_study, tmp_path / "second"])[0]
    assert len(text.encode()) == written.n_bytes < 5_000_000
