"""What is measured beside a comparison's studies is kept, or there is one line that says why not."""

import resource
from pathlib import Path

import pytest

from evoae_cli.baseline.rivalfile import RivalRow, add_rival, read_rivals
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import RivalFound, Scores


def row(name: str, mse: float) -> RivalRow:
    scores = Scores(mse=mse, psnr_db=26.5, psnr_pooled_db=26.0, ssim=0.7)
    return RivalRow(name=name, found=RivalFound(rival="wavelet", scores=scores, image_s=0.1, parameters=None))


def test_a_row_replaces_one_of_its_name(tmp_path: Path) -> None:
    for added in (row("a", 0.1), row("b", 0.2), row("a", 0.3)):
        add_rival(tmp_path, added)
    assert read_rivals(tmp_path) == [row("b", 0.2), row("a", 0.3)]


def test_where_there_is_no_room_is_told_with_the_remedy(tmp_path: Path) -> None:
    """As on a full disk, which a limit on the size of files stands for."""
    add_rival(tmp_path, row("a", 0.1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(
            EvoaeError, match=r"cannot write to .*: File too large; make room, .*: evoae resume"
        ) as told:
            add_rival(tmp_path, row("b", 0.2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.exit_code == 1
    assert read_rivals(tmp_path) == [row("a", 0.1)]
    assert [path.name for path in tmp_path.iterdir()] == ["rivals.json"]
