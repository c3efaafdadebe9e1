import numpy as np
import pytest

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.sources import SourceImage, Spool

RNG = np.random.default_rng(1)


def test_images_come_out_of_the_spool_as_they_went_in_with_grey_repeated(tmp_path):
    grey = RNG.integers(0, 256, (8, 9, 1), dtype=np.uint8)
    colour = RNG.integers(0, 256, (7, 8, 3), dtype=np.uint8)
    with Spool(tmp_path) as spool:
        spool.add(SourceImage("grey", None, grey))
        spool.add(SourceImage("colour", None, colour))
        first, second = list(spool.images(["train", "val"], channels=3))
    assert (first.name, first.split, second.name, second.split) == ("grey", "train", "colour", "val")
    np.testing.assert_array_equal(first.pixels, np.repeat(grey, 3, axis=2))
    np.testing.assert_array_equal(second.pixels, colour)


def test_limits_are_per_channel_in_every_depth(tmp_path):
    deep = np.array([[[3, 100], [9, 60000]]], dtype=np.uint16)
    with Spool(tmp_path) as spool:
        spool.add(SourceImage("deep", None, deep))
        spool.add(SourceImage("bytes", None, deep.astype(np.uint8)))
        drafts = spool.drafts
    assert (drafts[0].low, drafts[0].high) == ((3.0, 100.0), (9.0, 60000.0))
    assert (drafts[1].low, drafts[1].high) == ((3.0, 96.0), (9.0, 100.0))


def test_the_spool_has_no_name_so_a_killed_process_leaves_nothing(tmp_path):
    with Spool(tmp_path) as spool:
        spool.add(SourceImage("a", None, np.zeros((64, 64, 3), np.uint8)))
        assert list(tmp_path.iterdir()) == []


def test_a_cache_folder_that_is_a_file_is_refused_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("EVOAE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ImageError, match="cannot write to the cache folder"):
        Spool(tmp_path / "cache")
