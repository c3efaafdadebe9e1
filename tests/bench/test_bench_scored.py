import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evoae_cli.bench.scored import centre_crops, fingerprint, on_one_core, scored
from evoae_cli.errors import ImageError
from evoae_cli.evaluation.imagefile import ImageFile


def test_the_middle_of_each_photograph_is_cut_out_on_the_scale_of_training(
    photographs: Path, training_images: ImageFile
) -> None:
    crops = centre_crops(photographs / "val", 32, training_images)
    assert crops.shape == (3, 3, 32, 32)
    with Image.open(photographs / "val" / "08.png") as image:
        middle = np.asarray(image)[8:40, 8:40]
    expected = torch.from_numpy(middle.copy()).permute(2, 0, 1).float() / 127.5 - 1
    assert torch.allclose(crops[0], expected, atol=1e-6)
    assert fingerprint(crops) == fingerprint(crops.clone())
    assert fingerprint(crops) != fingerprint(crops + 1e-3)


@pytest.mark.parametrize(
    ("shape", "words"), [((48, 48), "1 channels of uint8"), ((20, 48, 3), "20x48, smaller than --patch 32")]
)
def test_images_that_cannot_be_compared_on_are_named(
    training_images: ImageFile, tmp_path: Path, shape: tuple[int, ...], words: str
) -> None:
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "odd.png")
    with pytest.raises(ImageError, match=r"odd\.png") as refused:
        centre_crops(tmp_path, 32, training_images)
    assert words in str(refused.value)


def test_a_folder_that_is_not_there_is_named(training_images: ImageFile, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such folder"):
        centre_crops(tmp_path / "none", 32, training_images)


def test_each_image_goes_through_by_itself_in_its_place() -> None:
    clean = torch.rand(3, 1, 16, 16) * 2 - 1
    seen = []

    def method(image: torch.Tensor) -> torch.Tensor:
        seen.append(len(image))
        return image

    found = scored(method, clean, clean)
    assert set(seen) == {1}
    assert found.scores.psnr_db == 100.0
    assert found.ms >= 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems keep no thread on a core")
def test_a_process_is_on_one_core_for_a_while_and_then_on_all_again() -> None:
    before = os.sched_getaffinity(0)
    with on_one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
