from pathlib import Path

import pytest
import torch
from PIL import Image

from evoae_cli.bench.plain import ImageFiles
from evoae_cli.bench.training import Files, Sizes, measure, write_files

TINY = Sizes(crop=32, batch_size=4, reading_s=0.01, n_readings=1)


# Python 3.12 and later warn of what a loader does by default: it forks a process that has threads.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_every_way_of_training_is_timed_and_compared_with_the_better_plain_loop() -> None:
    n_threads = torch.get_num_threads()
    report = measure(["3x3conv2d:8"], ["bfloat16"], ["tiles"], TINY)
    [case] = report.figures["images_per_s"]
    rates = [case["evoae"], *case["plain"].values(), *case["channels_last"].values()]
    assert len(rates) == 5
    assert all(rate > 0 for rate in rates)
    assert case["times_plain"] == case["evoae"] / max(case["plain"].values())
    assert case["times_channels_last"] == case["evoae"] / max(case["channels_last"].values())
    [row] = report.rows
    assert len(row) == len(report.columns)
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize(("kind", "n_train"), [("tiles", 4 * 16 + 3 * 5 + 2 * 3 * 5 + 3 * 5 + 16), ("photographs", 9)])
def test_the_photographs_are_written_as_files_of_both_kinds(tmp_path: Path, kind: Files, n_train: int) -> None:
    write_files(kind, tmp_path)
    train = sorted((tmp_path / "train").iterdir())
    assert len(train) == n_train
    assert {path.suffix for path in train} == {".png", ".jpg"}
    assert list((tmp_path / "val").iterdir())
    assert list((tmp_path / "test").iterdir())
    if kind == "tiles":
        with Image.open(train[-1]) as image:
            assert image.size == (128, 128)


def test_the_plain_loop_reads_the_same_scale(tmp_path: Path) -> None:
    path = tmp_path / "black.png"
    Image.new("L", (40, 40), 0).save(path)
    files = ImageFiles([path], 32, 3)
    assert len(files) == 3
    assert torch.equal(files[2], torch.full((3, 32, 32), -1.0))
