import csv
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from evoae_cli.evaluation.contract import Evaluation
from evoae_cli.outcome import Outcome
from evoae_cli.study.best import Best, BestWriter
from evoae_cli.study.pictures import fitness_png, preview_png
from evoae_cli.study.summary import history


def made(genotype: str) -> Best:
    found = Evaluation(genotype=genotype, stage="search", seed_index=0, outcome=Outcome.OK)
    return Best(found, Path("weights"))


def test_only_the_newest_of_those_that_came_meanwhile_is_written() -> None:
    started, go_on = threading.Event(), threading.Event()
    written: list[str] = []

    def write(best: Best, is_abandoned: Callable[[], bool]) -> None:
        written.append(best.evaluation.genotype)
        started.set()
        assert go_on.wait(30)

    writer = BestWriter(write)
    writer.put(made("first"))
    assert started.wait(30)
    writer.put(made("second"))
    writer.put(made("third"))
    go_on.set()
    writer.close()
    assert written == ["first", "third"]


def test_a_picture_that_cannot_be_drawn_is_told_and_the_next_one_is_drawn() -> None:
    written: list[str] = []

    def write(best: Best, is_abandoned: Callable[[], bool]) -> None:
        if best.evaluation.genotype == "bad":
            raise OSError("no room")
        written.append(best.evaluation.genotype)

    writer = BestWriter(write)
    writer.put(made("bad"))
    writer.flush()
    writer.put(made("good"))
    writer.close()
    assert list(writer.take_failures()) == ["best/ could not be renewed: OSError: no room"]
    assert written == ["good"]


def test_an_abandoned_writer_begins_nothing_more() -> None:
    written: list[str] = []
    writer = BestWriter(lambda best, _: written.append(best.evaluation.genotype))
    writer.abandon()
    writer.put(made("late"))
    writer._thread.join(30)
    assert not writer._thread.is_alive()
    assert written == []


def test_pictures_of_a_study_are_pictures(finished_study: Path) -> None:
    for name in ("preview.png", "fitness.png"):
        with Image.open(finished_study / "best" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10
    with Image.open(finished_study / "best" / "preview.png") as picture:
        assert picture.width > 3 * 32


def test_the_table_of_the_history_has_a_row_for_each_evaluation(finished_study: Path) -> None:
    with (finished_study / "best" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = [(str(g), genotype, outcome) for g, genotype, outcome, _ in history(finished_study)]
    assert [(row["generation"], row["genotype"], row["outcome"]) for row in rows] == expected


def test_grey_colour_and_other_channels_can_be_shown() -> None:
    for channels in (1, 2, 3, 8):
        images = np.full((2, 8, 8, channels), 200, dtype=np.uint8)
        assert preview_png([("clean", images), ("output", images)]).startswith(b"\x89PNG")


def test_a_study_without_a_success_still_has_a_curve() -> None:
    assert fitness_png([], []).startswith(b"\x89PNG")
