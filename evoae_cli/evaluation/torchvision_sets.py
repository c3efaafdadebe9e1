"""STL-10 and CIFAR-10, read through torchvision from the published files (or smaller ones of the same layout)."""

import contextlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evoae_cli.draws import generator, sample
from evoae_cli.errors import ImageError, first_line
from evoae_cli.evaluation.contract import derive_seed
from evoae_cli.evaluation.imagefile import cache_folder
from evoae_cli.evaluation.sources import SourceImage, digest_of


class _Published(NamedTuple):
    """What is known of a data set before it is opened."""

    folder: str
    files: tuple[str, ...]
    """Needed here. STL-10's 100,000 unlabelled images (2.6 GB) are not."""
    download: str
    n_train: int
    n_test: int


_STL10 = _Published(
    "stl10_binary", ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"), "2.6 GB", n_train=5000, n_test=8000
)
_CIFAR10 = _Published(
    "cifar-10-batches-py",
    (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
    "170 MB",
    n_train=50000,
    n_test=10000,
)
_SETS = {"stl10": _STL10, "cifar10": _CIFAR10}
NAMES = tuple(_SETS)


def root_folder(data_root: str | None) -> Path:
    """Where data sets lie: `data_root`, else below the user's cache folder, wherever a study's cache is meanwhile."""
    return cache_folder() / "datasets" if data_root is None else Path(os.path.expanduser(data_root))


def torchvision_images(
    name: str, root: Path, *, download: bool, seed: int, warn: Callable[[str], None]
) -> Iterator[SourceImage]:
    """All images of `stl10` (96x96) or `cifar10` (32x32), 8-bit colour.

    A tenth of the labelled training images, drawn by `seed`, is val (500 of STL-10's 5,000, as in the paper's code),
    with copies of these where there are any; the data set's own test images are test. Raises ImageError where files are
    missing (and `download` is off), damaged, or cannot be fetched.
    """
    published = _SETS[name]
    folder = data_folder(name, root)
    root = folder.parent
    if not download and not _has_files(folder, published):
        raise ImageError(
            f"{name} is not in {folder}; add --download to fetch it ({published.download}), "
            "or name the folder that holds it with --data-root"
        )
    train, test = _arrays(name, root, folder, published, download)
    for split, found, expected in (("training", train, published.n_train), ("test", test, published.n_test)):
        if len(found) != expected:
            warn(f"{name} in {folder} has {len(found)} {split} images, not the published {expected}; used as it is")
    n_val = max(1, len(train) // 10)
    drawn = sample(len(train), n_val, generator(derive_seed(seed, name, "split")))
    # With all of their copies.
    val = {digest_of(train[number]) for number in drawn}
    for number, image in enumerate(train):
        yield SourceImage(f"train/{number:05}", "val" if digest_of(image) in val else "train", image)
    for number, image in enumerate(test):
        yield SourceImage(f"test/{number:05}", "test", image)


def data_folder(name: str, root: Path) -> Path:
    """Where the files of a data set lie below `root`, which may also be that folder itself."""
    folder = _SETS[name].folder
    return root if root.name == folder else root / folder


def _arrays(
    name: str, root: Path, folder: Path, published: _Published, download: bool
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Training and test images, [n, height, width, 3]."""
    try:
        # Older releases of torchvision print to stdout, which carries only the result.
        with contextlib.redirect_stdout(sys.stderr):
            if name == "stl10":
                train, test = (_open_stl10(root, split, folder, published, download) for split in ("train", "test"))
            else:
                if _has_files(folder, published):
                    _refuse_code(folder, published)
                train, test = (_open_cifar10(root, split, folder, published, download) for split in ("train", "test"))
    except ImageError:
        raise
    except (OSError, RuntimeError) as error:
        # urllib's errors are OSErrors; torchvision raises RuntimeError for a download with a wrong checksum.
        action = "downloaded" if download and not _has_files(folder, published) else "read"
        raise ImageError(
            f"{name} could not be {action} ({first_line(error)}); unpack it in {root} yourself, or use another --data"
        ) from error
    except Exception as error:  # Damaged files make their readers raise anything.
        raise ImageError(
            f"{name} in {folder} is damaged ({first_line(error)}); delete that folder and add --download"
        ) from error
    if not len(train) or not len(test):
        raise ImageError(f"{name} in {folder} has no images; delete that folder and add --download")
    return train, test


def _open_stl10(root: Path, split: str, folder: Path, published: _Published, download: bool) -> npt.NDArray[np.uint8]:
    from torchvision.datasets import STL10

    # torchvision's own check wants the 2.6 GB of unlabelled images too, and takes ten seconds to hash them.
    dataset = type("LabelledSTL10", (STL10,), {"_check_integrity": lambda self: _has_files(folder, published)})
    data: npt.NDArray[np.uint8] = dataset(str(root), split=split, download=download).data
    return data.transpose(0, 2, 3, 1)


def _open_cifar10(root: Path, split: str, folder: Path, published: _Published, download: bool) -> npt.NDArray[np.uint8]:
    from torchvision.datasets import CIFAR10

    members: dict[str, Any] = {
        "_check_integrity": lambda self: _has_files(folder, published),
        # Names of classes, which are not needed.
        "_load_meta": lambda self: None,
    }
    dataset = type("PlainCIFAR10", (CIFAR10,), members)
    data: npt.NDArray[np.uint8] = dataset(str(root), train=split == "train", download=download).data
    return data


def _has_files(folder: Path, published: _Published) -> bool:
    return all((folder / file).is_file() for file in published.files)


class _PlainUnpickler(pickle.Unpickler):
    """Unpickles arrays of numbers and nothing else."""

    ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype", "encode", "_frombuffer"})

    def find_class(self, module: str, name: str) -> Any:
        if name in self.ALLOWED and module.split(".")[0] in ("numpy", "_codecs"):
            return super().find_class(module, name)
        raise ImageError(f"a CIFAR-10 file refers to {module}.{name}, which no data needs; do not trust these files")


def _refuse_code(folder: Path, published: _Published) -> None:
    """Raise ImageError for code: CIFAR-10's files are pickles, to be proved harmless before torchvision reads them."""
    for file in published.files:
        with (folder / file).open("rb") as stream:
            _PlainUnpickler(stream, encoding="latin1").load()
