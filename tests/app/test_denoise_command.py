"""Which files `evoae denoise` reads and writes."""

from pathlib import Path

import pytest

from evoae_cli.app.denoise import check_paths
from evoae_cli.errors import UsageError


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    path.touch()
    return path


def test_a_new_file_may_be_written(image: Path) -> None:
    check_paths(image, image.with_name("out.tif"), is_forced=False)


def test_an_existing_file_is_only_overwritten_by_force(image: Path) -> None:
    output = image.with_name("out.png")
    output.touch()
    with pytest.raises(UsageError, match="--force"):
        check_paths(image, output, is_forced=False)
    check_paths(image, output, is_forced=True)


def test_the_image_itself_is_never_overwritten_under_any_name(image: Path) -> None:
    link = image.with_name("link.png")
    link.symlink_to(image)
    for output in (image, link, image.parent / "." / image.name):
        with pytest.raises(UsageError, match="the image itself"):
            check_paths(image, output, is_forced=True)


def test_a_missing_folder_a_folder_and_an_unknown_ending_are_named(image: Path, tmp_path: Path) -> None:
    (tmp_path / "sub.png").mkdir()
    for output, part in (("no/out.png", "does not exist"), ("sub.png", "is a folder"), ("out.xyz", "'.xyz'")):
        with pytest.raises(UsageError, match=part):
            check_paths(image, tmp_path / output, is_forced=True)
    with pytest.raises(UsageError, match=r"nothing\.png does not exist"):
        check_paths(tmp_path / "nothing.png", tmp_path / "out.png", is_forced=False)
