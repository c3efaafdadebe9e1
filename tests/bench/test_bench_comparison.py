from pathlib import Path

import pytest

from evoae_cli.bench.comparison import Common, tell_row
from evoae_cli.bench.report import this_machine
from evoae_cli.bench.results import Row
from evoae_cli.errors import UsageError
from evoae_cli.study.resolve import resolve


def test_a_study_has_a_folder_of_its_own_for_each_row_and_budget() -> None:
    short, long = (Common(data="", test=Path(), studies=Path("runs"), budget_s=time) for time in (60.0, 0.5))
    assert short.study_folder("denoise", "skip", "gaussian:25", 0) == Path("runs/denoise-skip-gaussian-25-0-60s")
    assert long.study_folder("manifold", "1/4", 2) == Path("runs/manifold-1-4-2-0.5s")


def test_images_results_and_machine_are_there_when_it_is_opened(photographs: Path) -> None:
    common = Common(data=str(photographs / "train"), test=photographs / "val", studies=Path("runs"), patch=32)
    config = resolve("denoise", {"data": common.data, "patch": 32, "crop": 32, "val_images": 1, "test_images": 1})
    results, images, clean = common.open("denoisers", config, None)
    assert results.rows == []
    assert results.setup.machine.cpu == this_machine().cpu
    assert len(images.images) == 8
    assert clean.shape == (3, 3, 32, 32)


@pytest.mark.parametrize(
    ("changed", "words"), [({"seeds": (0, -3)}, "--seeds 0 -3"), ({"patch": 12}, "a multiple of 8")]
)
def test_what_cannot_be_compared_is_refused(changed: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Common(data="", test=Path(), studies=Path(), **changed)  # type: ignore[arg-type]


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    tell_row(2, 7, Row(name="DnCNN", case="1/3", seed=1, psnr_db=23.456, ssim=0.5))
    assert capsys.readouterr() == ("", "2 of 7: DnCNN, 1/3, seed 1: 23.46 dB\n")
