"""What is answered before PyTorch is loaded."""

import os
from pathlib import Path

import pytest
from PIL import Image

from evoae_cli.app.beforehand import Workers, check_source, check_writable, gpus_at_hand, workers_at_hand
from evoae_cli.errors import ImageError, StudyError
from evoae_cli.evaluation.hardware import devices
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.resolve import resolve


def of(data: Path | str, **settings: object) -> StudyConfig:
    return resolve("denoise", {"data": str(data), **settings})


def test_built_in_photographs_and_a_folder_that_names_an_image_pass(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "a" / "b" / "one.PNG")
    check_source(of("photographs"))
    check_source(of(tmp_path))


def test_a_folder_without_images_no_folder_and_a_file_are_refused_as_later_on(tmp_path: Path) -> None:
    (tmp_path / "czi").mkdir()
    (tmp_path / "czi" / "a.czi").touch()
    (tmp_path / "empty").mkdir()
    for data, part in (
        (tmp_path / "czi", "1 .czi file"),
        (tmp_path / "empty", "no files"),
        (tmp_path / "none", "no such folder"),
        (tmp_path / "czi" / "a.czi", "is a file"),
        ("photograph", "did you mean photographs"),
    ):
        with pytest.raises(ImageError, match=part):
            check_source(of(data))


def test_a_missing_data_set_is_refused_unless_it_is_to_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="--download"):
        check_source(of("stl10", data_root=str(tmp_path)))
    check_source(of("stl10", data_root=str(tmp_path), download=True))
    assert list(tmp_path.iterdir()) == []


def test_a_study_cannot_lie_below_a_file_or_where_nothing_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_writable(tmp_path / "new" / "deep")
    with pytest.raises(StudyError, match="is a file"):
        check_writable(tmp_path / "file" / "s")
    (tmp_path / "closed").mkdir(mode=0o500)
    if not os.access(tmp_path / "closed", os.W_OK):  # the superuser may write everywhere
        with pytest.raises(StudyError, match="no permission"):
            check_writable(tmp_path / "closed" / "s")


def test_the_workers_told_beforehand_are_those_that_start() -> None:
    assert workers_at_hand(resolve("denoise", {"device": "cpu", "workers": 3})) == Workers(3, is_on_gpu=False)
    told = workers_at_hand(resolve("denoise", {"workers": 2}))
    assert told in (None, Workers(2, is_on_gpu=devices("auto") != ["cpu"]))
    assert gpus_at_hand() in (None, len([name for name in devices("auto") if name != "cpu"]))


def test_nothing_is_said_of_gpus_that_are_not_there() -> None:
    assert workers_at_hand(resolve("denoise", {"device": "cuda:9999"})) is None
