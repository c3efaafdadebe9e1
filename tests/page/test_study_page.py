"""The page of a study, from its folder to its text."""

import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from page_kit import Changed

from evoae_cli import __version__
from evoae_cli.app.tables import study_lines
from evoae_cli.baseline.rivalfile import RivalRow
from evoae_cli.baseline.summary import BaselineSummary
from evoae_cli.evaluation.contract import Evaluation, RivalFound, Scores
from evoae_cli.outcome import Outcome
from evoae_cli.page.gather import gather
from evoae_cli.page.headline import headline_of
from evoae_cli.page.howto import lines_of
from evoae_cli.page.pictures import gallery_of
from evoae_cli.page.study_page import study_page
from evoae_cli.page.write import PAGE, page_text, renew_page
from evoae_cli.study.lock import StudyLock
from evoae_cli.study.store import Record, Store
from evoae_cli.study.summary import summary

ORDER = ["pictures", "results", "fitness", "architecture", "cost", "workers", "outcomes", "settings", "use", "paper"]


class Reader(HTMLParser):
    """Notes what a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.sections: list[str] = []
        self.targets: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.alts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert value is not None
            if name == "id":
                self.ids.append(value)
                self.sections += [value] if tag == "section" else []
            if name in ("href", "xlink:href", "src"):
                (self.targets if value.startswith("#") else self.sources).append(value.removeprefix("#"))
            if name == "alt" or (tag == "svg" and name == "aria-label"):
                self.alts.append(value)
            self.targets += re.findall(r"url\(#([^)]+)\)", value)


def text_of(folder: Path) -> str:
    return page_text([folder])[0]


def test_its_parts_come_in_their_order_and_it_needs_nothing_else(finished_study: Path) -> None:
    text = text_of(finished_study)
    read = Reader(text)
    assert read.sections == ORDER
    assert "default-src 'none'" in text
    assert not read.tags & {"script", "iframe", "object", "embed"}
    assert all(source.startswith("data:") for source in read.sources)
    assert "url(http" not in text
    assert "@import" not in text
    assert len(text) < 1_000_000


def test_ids_are_unique_and_what_refers_to_one_finds_it(finished_study: Path) -> None:
    read = Reader(text_of(finished_study))
    assert len(set(read.ids)) == len(read.ids)
    assert set(read.targets) <= set(read.ids)
    assert all(read.alts)
    assert len(read.alts) >= 4 * 4 + 4


def test_the_same_study_gives_the_same_bytes(finished_study: Path) -> None:
    assert text_of(finished_study) == text_of(finished_study)


def test_colours_are_the_page_s_own_so_that_they_turn_with_it(finished_study: Path) -> None:
    text = text_of(finished_study)
    assert "prefers-color-scheme: dark" in text
    for stand_in in ("#010203", "#040506", "#070809"):
        assert stand_in not in text


def test_its_figures_are_those_of_show(finished_study: Path) -> None:
    best, text = summary(finished_study)["best"], text_of(finished_study)
    assert f"{best['test']['psnr_db']:.2f}" in text
    assert f"{best['test']['psnr_pooled_db']:.2f}" in text
    assert f"{best['fitness']:.2f}" in text
    assert f"{best['parameters']:,}" in text
    assert __version__ in text
    for method in ("wavelet", "total variation", "non-local means", "noisy", "constant image"):
        assert method in text


def test_the_headline_sets_the_network_beside_bm3d_where_a_comparison_has_measured_it(finished_study: Path) -> None:
    facts = gather(finished_study)
    assert "BM3D" not in headline_of(facts) + study_page(facts).gallery_note
    found = RivalFound(rival="BM3D", scores=Scores(mse=0.001, psnr_db=36.0, psnr_pooled_db=36.0, ssim=0.9), image_s=1.0)
    comparison = BaselineSummary(
        baseline="chance",
        objective="denoise",
        state="done",
        against=str(finished_study),
        n_pairs=1,
        random=None,
        studies=(),
        verdicts=(),
        rivals=(RivalRow(name="BM3D", found=found),),
    )
    apart = 36.0 - facts.about["best"]["test"]["psnr_db"]
    compared = msgspec.structs.replace(facts, comparison=comparison)
    assert headline_of(compared).endswith(f": {apart:.2f} dB below BM3D, the best classical method.")
    assert "is the best of those without BM3D, which has no pictures" in study_page(compared).gallery_note


def test_the_pictures_are_test_images_whose_mean_psnr_is_that_of_the_study(finished_study: Path) -> None:
    """The small study has as many test images as are shown."""
    facts = gather(finished_study)
    assert facts.pictures is not None
    assert facts.classical is not None
    assert facts.pictures.numbers == facts.classical.numbers == (0, 1, 2, 3)
    best, references = facts.about["best"], facts.about["references"]["test"]
    clean, noisy, output = facts.pictures.columns
    (method,) = facts.classical.columns
    assert (clean.name, noisy.name, output.name) == ("clean", "noisy", "output")
    assert method.name == max(references["methods"], key=lambda name: references["methods"][name]["psnr_db"])
    expected = [references["baseline"], best["test"], references["methods"][method.name]]
    for column, scores in zip((noisy, output, method), expected, strict=True):
        assert column.psnr_db is not None
        assert sum(column.psnr_db) / 4 == pytest.approx(scores["psnr_db"], abs=1e-3)
    assert clean.psnr_db is None
    gallery = gallery_of(facts)
    assert gallery is not None
    assert [len(row) for row in gallery.rows] == [4, 4, 4, 4]
    assert all(sum(picture.is_best for picture in row) == 1 for row in gallery.rows)


def test_pictures_for_which_there_is_no_room_are_left_out_and_counted(finished_study: Path) -> None:
    gallery = gallery_of(gather(finished_study), room=20_000)
    assert gallery is not None
    assert len(gallery.rows) + gallery.n_left_out == 4
    assert gallery.n_left_out > 0


def test_a_study_of_an_older_version_says_what_is_missing_and_why(changed: Changed) -> None:
    folder = changed(
        without=("best/pictures.npz", "best/classical.npz", "study.toml"),
        sql="DELETE FROM meta WHERE key LIKE 'references%'",
    )
    text = text_of(folder)
    assert Reader(text).sections == ORDER
    assert "kept no pictures" in text
    assert "evoae resume" in text
    assert "Versions are not known" in text


def test_pictures_of_a_classical_method_alone_can_be_missing(changed: Changed) -> None:
    assert "were not kept when the study ended" in text_of(changed(without=("best/classical.npz",)))


def test_a_damaged_file_of_pictures_is_named_with_what_makes_it_anew(changed: Changed) -> None:
    folder = changed()
    (folder / "best" / "pictures.npz").write_bytes(b"PK\x03\x04 no archive")
    text = text_of(folder)
    assert "pictures.npz cannot be read" in text
    assert f"this makes them: evoae resume {folder}" in text


def test_an_interrupted_study_has_a_page_of_how_far_it_was(changed: Changed) -> None:
    folder = changed(
        sql="DELETE FROM meta WHERE key IN ('winner', 'finalists', 'references_test');"
        "DELETE FROM evaluations WHERE stage<>'search';"
        "INSERT OR REPLACE INTO meta VALUES ('state', '\"interrupted\"')",
        without=("best/pictures.npz", "best/classical.npz"),
    )
    text = text_of(folder)
    assert "was interrupted; this page shows how far it was" in text
    assert "looked at once the winner is chosen" in text
    assert "the best candidate so far" in text
    assert "evoae resume" in text


def test_a_study_in_which_nothing_has_ended_has_a_page_too(changed: Changed) -> None:
    folder = changed(sql="DELETE FROM evaluations; DELETE FROM meta WHERE key IN ('winner', 'finalists')")
    shutil.rmtree(folder / "best")
    text = text_of(folder)
    assert Reader(text).sections == ORDER
    assert '<p class="lead">No candidate has been evaluated yet.</p>' in text
    assert "No evaluation has ended yet." in text


def test_a_study_in_which_all_has_failed_says_so_as_show_does(changed: Changed) -> None:
    folder = changed(
        sql="DELETE FROM meta WHERE key IN ('winner', 'finalists'); DELETE FROM evaluations WHERE stage<>'search';"
        "UPDATE evaluations SET outcome='crashed', fitness=0,"
        " record=json_set(record, '$.outcome', 'crashed', '$.scores', NULL);"
        "UPDATE meta SET value=json_set(value, '$.crashed', 2) WHERE key='counts'"
    )
    shutil.rmtree(folder / "best")
    headline = headline_of(gather(folder))
    assert headline == "No candidate has been trained with success yet."
    assert headline.rstrip(".").lower() in study_lines(summary(folder), folder)
    page = study_page(gather(folder))
    assert page.tiles[-2].what.endswith(", 2 of which failed")
    assert page.no_architecture == "It is drawn once there is a model."
    assert all("Finalists" not in plot.caption for plot in page.costs)


@pytest.mark.parametrize(
    ("state", "lines"),
    [
        ("interrupted", ["evoae resume {folder}"]),
        ("failed", ["evoae resume {folder} --retry-failed"]),
        ("done", ["evoae train denoise --from {folder} --epochs 200", "evoae random-baseline --against {folder}"]),
    ],
)
def test_the_line_with_which_to_go_on_is_one_that_helps(changed: Changed, state: str, lines: list[str]) -> None:
    folder = changed(sql=f"INSERT OR REPLACE INTO meta VALUES ('state', '\"{state}\"')")
    told = [one.line for one in lines_of(gather(folder))]
    assert [line for line in told if "resume" in line or "--from" in line or "--against" in line] == [
        line.format(folder=folder) for line in lines
    ]


def test_a_study_that_runs_is_to_be_watched(changed: Changed) -> None:
    folder = changed(sql="INSERT OR REPLACE INTO meta VALUES ('state', '\"running\"')")
    with StudyLock(folder):
        told = [one.line for one in lines_of(gather(folder))]
    assert f"evoae show {folder} --watch" in told
    assert not [line for line in told if "resume" in line]


def test_what_was_trained_behind_the_history_s_end_is_counted_and_not_drawn_in_it(changed: Changed) -> None:
    """Time was up in generation 1, with later proposals of it already trained."""
    ended = "INSERT OR REPLACE INTO meta VALUES ('state', '\"time-up\"'), ('history_end', '[1, 0]')"
    folder = changed(sql=ended)
    facts = gather(folder)
    n_all, n_history = facts.about["counts"]["trained"], sum(r.generation == 0 for r in facts.candidates)
    assert (len(facts.candidates), len(facts.history)) == (n_all, n_history)
    assert 0 < n_history < n_all
    page = study_page(facts)
    assert page.fitness is not None
    assert page.fitness.caption.startswith(f"{n_history} of {n_all} candidates on validation")
    assert f"The other {n_all - n_history} were proposed behind" in page.fitness.caption
    assert f" of {n_all} candidates cannot be beaten" in page.costs[0].caption
    assert sum(bar.kind == "search" for bar in page.timeline.bars) == n_all
    assert sum(row.n for row in page.outcomes) == len(facts.runs) > n_all


def test_settings_of_another_version_are_shown_as_they_are(changed: Changed) -> None:
    changes = "json_remove(json_set(value, '$.wings', 2, '$.mode', 'async'), '$.space', '$.preset')"
    text = text_of(changed(sql=f"UPDATE meta SET value={changes} WHERE key='settings'"))
    assert "<code>wings</code>" in text
    assert "an asynchronous search" in text


def test_an_architecture_that_cannot_be_read_is_told_in_its_place(changed: Changed) -> None:
    folder = changed()
    description = folder / "best" / "model.json"
    description.write_text(description.read_text().replace("conv2d", "wing2d"))
    text = text_of(folder)
    assert "It cannot be drawn: " in text
    assert Reader(text).sections == ORDER
    description.write_text("{}")
    assert "It cannot be drawn, as best/model.json is not as evoae writes it: " in text_of(folder)


def test_names_and_reasons_are_text_whatever_they_hold(changed: Changed) -> None:
    reason = "<img src=x onerror=alert(1)> & $a_{b}$"
    folder = changed(
        "<b>bold & $x^2$",
        sql="UPDATE evaluations SET outcome='crashed', fitness=0, record=json_set(record, '$.outcome', 'crashed',"
        f" '$.scores', NULL, '$.reason', '{reason}') WHERE id=1;"
        f"INSERT INTO events (at, kind, text) VALUES (0, 'warning', '{reason}')",
    )
    text = text_of(folder)
    assert "<b>bold" not in text
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; $a_{b}$" in text


def test_ten_thousand_candidates_fit_in_a_page_and_are_drawn_at_once(changed: Changed) -> None:
    folder = changed()
    store = Store.open(folder)
    try:
        at = time.time()
        store.append(*(_record(number, at) for number in range(10_000)), meta={})
    finally:
        store.close()
    begun = time.perf_counter()
    text = text_of(folder)
    assert time.perf_counter() - begun < 30
    assert len(text.encode()) < 5_000_000
    assert "further reasons are left out" not in text
    assert text.count("ran into wall") == 1


def _record(number: int, at: float) -> Record:
    is_ok = number % 20 > 0
    mse = 1 / (20 + number % 997 / 50)
    found = Evaluation(
        genotype=f"3x3conv2d:{1 + number % 4000},5x5conv2d:{1 + number // 4000}",
        stage="search",
        seed_index=0,
        outcome=Outcome.OK if is_ok else Outcome.CRASHED,
        reason="" if is_ok else f"ran into wall {number}",
        scores=Scores(mse=mse, psnr_db=20.0, psnr_pooled_db=20.0, ssim=0.5) if is_ok else None,
        parameters=1000 + 37 * number,
    )
    return Record(
        evaluation=found,
        generation=2 + number // 100,
        number=100 + number,
        worker=f"worker-{number % 64 + 1}",
        attempt=1,
        run_s=2.0,
        finished_at=at + 2.0 * (number // 64),
    )


def test_a_page_that_cannot_be_written_is_a_warning(changed: Changed) -> None:
    folder, told = changed(without=(PAGE,)), list[str]()
    (folder / PAGE).mkdir()
    assert renew_page(folder, told.append) is None
    assert len(told) == 1
    assert "report.html could not be written" in told[0]


def test_all_that_a_page_says_of_a_study_is_plain_values(finished_study: Path) -> None:
    page = study_page(gather(finished_study))
    assert [row.outcome for row in page.outcomes] == ["ok"]
    assert page.timeline.busy > 0
    assert msgspec.structs.asdict(page)["title"] == finished_study.name
