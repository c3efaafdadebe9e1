"""A small file of images for evaluations."""

from pathlib import Path

import numpy as np

from evoae_cli.evaluation.contract import ImagesRef
from evoae_cli.evaluation.imagefile import LabelledImage, write_image_file


def gradients(cache: Path) -> ImagesRef:
    """Colour gradients of 40x48 pixels: three for training, two each for val and test."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:40, 0:48] / 48
    labelled = []
    for number, split in enumerate(("train",) * 3 + ("val",) * 2 + ("test",) * 2):
        slopes = rng.uniform(0, 120, (2, 3))
        pixels = rows[..., None] * slopes[0] + columns[..., None] * slopes[1]
        labelled.append(LabelledImage(f"gradient {number}", split, pixels.astype(np.uint8)))
    file = write_image_file(labelled, low=(0.0,) * 3, high=(255.0,) * 3, source="gradients", cache=cache)
    return ImagesRef(path=str(file.path), fingerprint=file.fingerprint, patch=32, n_val=4, n_test=4)
