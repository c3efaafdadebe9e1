import os

import numpy as np

from evoae_cli.evaluation.imagefile import LabelledImage, write_image_file
from evoae_cli.evaluation.remembered import recall, remember, source_key


def written(cache):
    images = [LabelledImage(split, split, np.full((8, 8, 1), 7, np.uint8)) for split in ("train", "val", "test")]
    return write_image_file(images, low=(0.0,), high=(255.0,), source="here", cache=cache)


def test_what_was_remembered_is_recalled_under_the_source_s_present_name(tmp_path):
    image_file = written(tmp_path)
    remember(tmp_path, "key", image_file)
    assert recall(tmp_path, "key", "here") == image_file
    assert recall(tmp_path, "key", "there").source == "there"
    assert recall(tmp_path, "other", "here") is None


def test_a_damaged_or_deleted_image_file_is_not_recalled(tmp_path):
    image_file = written(tmp_path)
    remember(tmp_path, "key", image_file)
    os.chmod(image_file.path, 0o644)
    os.truncate(image_file.path, 100)
    assert recall(tmp_path, "key", "here") is None
    os.unlink(image_file.path)
    assert recall(tmp_path, "key", "here") is None


def test_the_key_follows_names_contents_times_and_settings(tmp_path):
    (tmp_path / "a.png").write_bytes(b"1")
    (tmp_path / "b.png").write_bytes(b"2")
    key = source_key(tmp_path, ["a.png", "b.png"], 1)
    assert key == source_key(tmp_path, ["a.png", "b.png", "dangling.png"], 1)
    others = [source_key(tmp_path, ["a.png"], 1), source_key(tmp_path, ["a.png", "b.png"], 2)]
    (tmp_path / "b.png").write_bytes(b"22")
    others.append(source_key(tmp_path, ["a.png", "b.png"], 1))
    os.utime(tmp_path / "b.png", ns=(1, 1))
    others.append(source_key(tmp_path, ["a.png", "b.png"], 1))
    assert len({key, *others}) == 5
