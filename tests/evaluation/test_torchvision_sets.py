import pickle
from pathlib import Path

import numpy as np
import pytest

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.torchvision_sets import torchvision_images

RNG = np.random.default_rng(3)


def write_stl10(root: Path, n_train: int = 30, n_test: int = 5, n_different: int | None = None):
    """The published layout: bytes, channel by channel, each channel column by column; labels from 1 beside them."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    images = {}
    for name, n in (("train", n_train), ("test", n_test)):
        images[name] = np.resize(RNG.integers(0, 256, (n_different or n, 96, 96, 3), dtype=np.uint8), (n, 96, 96, 3))
        images[name].transpose(0, 3, 2, 1).tofile(folder / f"{name}_X.bin")
        np.ones(n, np.uint8).tofile(folder / f"{name}_y.bin")
    return images


def write_cifar10(root: Path, n: int = 4):
    """The published layout: pickled dictionaries with one row of 3,072 bytes per image, channel by channel."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images = {}
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        images[name] = RNG.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        rows = images[name].transpose(0, 3, 1, 2).reshape(n, 3072)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [0] * n}, protocol=2))
    return images


def read(name: str, root: Path, seed: int = 0):
    warnings: list[str] = []
    images = list(torchvision_images(name, root, download=False, seed=seed, warn=warnings.append))
    return images, warnings


def test_stl10_gives_every_image_as_it_lies_in_the_file_and_a_tenth_of_train_as_val(tmp_path):
    written = write_stl10(tmp_path)
    images, _ = read("stl10", tmp_path)
    np.testing.assert_array_equal(
        [image.pixels for image in images if image.name.startswith("train")], written["train"]
    )
    np.testing.assert_array_equal([image.pixels for image in images if image.split == "test"], written["test"])
    splits = [image.split for image in images]
    assert (splits.count("train"), splits.count("val"), splits.count("test")) == (27, 3, 5)


def test_cifar10_gives_every_image_as_it_lies_in_the_files(tmp_path):
    written = write_cifar10(tmp_path)
    images, _ = read("cifar10", tmp_path)
    train = np.concatenate([written[f"data_batch_{number}"] for number in range(1, 6)])
    np.testing.assert_array_equal([image.pixels for image in images if image.split != "test"], train)
    np.testing.assert_array_equal([image.pixels for image in images if image.split == "test"], written["test_batch"])
    assert sum(image.split == "val" for image in images) == 2


def test_copies_of_an_image_that_is_val_are_val_too(tmp_path):
    write_stl10(tmp_path, n_different=10)
    images, _ = read("stl10", tmp_path)
    splits = [image.split for image in images if image.split != "test"]
    assert splits[:10] == splits[10:20] == splits[20:]
    assert 1 <= splits[:10].count("val") <= 3


def test_the_seed_decides_which_images_are_val(tmp_path):
    write_stl10(tmp_path)
    first, again, other = ([image.split for image in read("stl10", tmp_path, seed)[0]] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_set_of_another_size_than_the_published_one_is_used_and_said(tmp_path):
    write_stl10(tmp_path)
    _, warnings = read("stl10", tmp_path)
    assert len(warnings) == 2
    assert "has 30 training images, not the published 5000" in warnings[0]
    assert "has 5 test images, not the published 8000" in warnings[1]


def test_the_root_may_be_the_data_set_s_own_folder(tmp_path):
    write_stl10(tmp_path)
    assert len(read("stl10", tmp_path / "stl10_binary")[0]) == 35


@pytest.mark.parametrize("name", ["stl10", "cifar10"])
def test_a_missing_set_is_one_line_with_both_remedies(tmp_path, name):
    with pytest.raises(ImageError, match=rf"{name} is not in .*; add --download .* --data-root$") as refusal:
        read(name, tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_cut_stl10_is_called_damaged(tmp_path):
    write_stl10(tmp_path)
    path = tmp_path / "stl10_binary/train_X.bin"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(
        ImageError, match=r"stl10 in .* is damaged .*; delete that folder and add --download"
    ) as refusal:
        read("stl10", tmp_path)
    assert "\n" not in str(refusal.value)


def test_an_empty_stl10_is_refused(tmp_path):
    write_stl10(tmp_path, n_train=0)
    with pytest.raises(ImageError, match="has no images"):
        read("stl10", tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({"images": 1}), pickle.dumps([1])])
def test_a_cifar10_file_that_holds_something_else_is_called_damaged(tmp_path, content):
    write_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py/data_batch_3").write_bytes(content)
    with pytest.raises(ImageError, match="is damaged"):
        read("cifar10", tmp_path)


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_cifar10_file_that_holds_code_is_refused_before_the_code_runs(tmp_path):
    write_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py/test_batch").write_bytes(pickle.dumps(_Bomb(tmp_path / "ran")))
    with pytest.raises(ImageError, match="do not trust these files"):
        read("cifar10", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_nothing_is_printed_to_stdout(tmp_path, capsys):
    write_cifar10(tmp_path)
    list(torchvision_images("cifar10", tmp_path, download=True, seed=0, warn=lambda _: None))
    assert capsys.readouterr().out == ""
