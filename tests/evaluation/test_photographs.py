import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.photographs import PHOTOGRAPHS, photograph_images


def test_no_scene_stands_in_two_splits_and_a_stereo_pair_is_one_scene():
    splits: dict[str, set[str]] = {}
    for photograph in PHOTOGRAPHS:
        splits.setdefault(photograph.scene, set()).add(photograph.split)
    assert all(len(found) == 1 for found in splits.values())
    assert sum(photograph.scene == "motorcycle" for photograph in PHOTOGRAPHS) == 2


def test_all_photographs_lie_in_the_wheels_as_8_bit_colour_and_hold_many_patches():
    images = list(photograph_images())
    assert len(images) == len(PHOTOGRAPHS) == len({image.name for image in images})
    for image in images:
        assert image.pixels.dtype == np.uint8
        assert image.pixels.shape[2] == 3
        assert min(image.pixels.shape[:2]) >= 3 * 96


@pytest.mark.parametrize("split", ["val", "test"])
def test_val_and_test_have_two_colour_scenes_at_least(split):
    scenes = {
        image.name.split("/")[0]
        for image in photograph_images()
        if image.split == split and (image.pixels[..., 0] != image.pixels[..., 2]).any()
    }
    assert len(scenes) >= 2


def test_greys_are_repeated_to_colour():
    camera = next(image.pixels for image in photograph_images() if image.name.startswith("camera/"))
    np.testing.assert_array_equal(camera[..., 0], camera[..., 2])


def test_a_package_that_is_missing_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ImageError, match=r"missing from the package scikit-image; reinstall it \(pip install"
    ) as refusal:
        list(photograph_images())
    assert "\n" not in str(refusal.value)


def test_reading_them_imports_none_of_the_packages():
    code = (
        "import sys; from evoae_cli.evaluation.photographs import photograph_images; list(photograph_images());"
        "print([name for name in ('skimage', 'sklearn', 'matplotlib', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
