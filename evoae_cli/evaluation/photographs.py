"""Natural photographs that lie inside the wheels of evoae's own dependencies, so that a first run needs no download."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.contract import Split
from evoae_cli.evaluation.imagefile import Pixels
from evoae_cli.evaluation.readers import read_image
from evoae_cli.evaluation.sources import SourceImage


class Photograph(NamedTuple):
    """One file inside a package. Files of one scene (a stereo pair) belong to the same split."""

    scene: str
    split: Split
    package: str
    file: str


# By hand: everyday scenes only. Microscopy, astronomy, medical images, logos, text and phantoms would teach and test
# something else. Val and test hold two colour scenes each, with fine texture as well as smooth parts; the grey surfaces
# serve training, where texture is what counts.
PHOTOGRAPHS = (
    Photograph("astronaut", "train", "skimage", "data/astronaut.png"),
    Photograph("rocket", "train", "skimage", "data/rocket.jpg"),
    Photograph("motorcycle", "train", "skimage", "data/motorcycle_left.png"),
    Photograph("motorcycle", "train", "skimage", "data/motorcycle_right.png"),
    Photograph("flower", "train", "sklearn", "datasets/images/flower.jpg"),
    Photograph("camera", "train", "skimage", "data/camera.png"),
    Photograph("brick", "train", "skimage", "data/brick.png"),
    Photograph("grass", "train", "skimage", "data/grass.png"),
    Photograph("gravel", "train", "skimage", "data/gravel.png"),
    Photograph("coffee", "val", "skimage", "data/coffee.png"),
    Photograph("grace_hopper", "val", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    Photograph("chelsea", "test", "skimage", "data/chelsea.png"),
    Photograph("china", "test", "sklearn", "datasets/images/china.jpg"),
)

_DISTRIBUTION = {"skimage": "scikit-image", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def photograph_images() -> Iterator[SourceImage]:
    """All photographs, 8-bit colour (greys repeated). Raises ImageError that names the package if a file is missing."""
    for photograph in PHOTOGRAPHS:
        pixels: Pixels = read_image(_path(photograph))
        name = f"{photograph.scene}/{Path(photograph.file).name}"
        yield SourceImage(name, photograph.split, np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _path(photograph: Photograph) -> Path:
    # Only the package's folder is wanted; importing scikit-learn for it would take a second.
    spec = importlib.util.find_spec(photograph.package)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    path = Path(folders[0] if folders else photograph.package, photograph.file)
    if not path.is_file():
        package = _DISTRIBUTION[photograph.package]
        raise ImageError(
            f"the photograph {path.name} is missing from the package {package}; reinstall it "
            f"(pip install --force-reinstall {package}), or use --data with a folder of images"
        )
    return path
