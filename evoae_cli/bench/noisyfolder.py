"""A folder of photographs, and the same with noise: what somebody has who has no clean images."""

import shutil
from pathlib import Path

import numpy as np
import torch

from evoae_cli.errors import EvoaeError, ImageError
from evoae_cli.evaluation.contract import derive_seed
from evoae_cli.evaluation.folder import files_below, only_images
from evoae_cli.evaluation.imagefile import ImageFile
from evoae_cli.evaluation.noise import Noise
from evoae_cli.evaluation.objective import fixed_noisy
from evoae_cli.evaluation.pixelscale import to_signal
from evoae_cli.evaluation.readers import read_image


def noisy_folder(clean: Path, noisy: Path, like: ImageFile, noise: Noise) -> Path:
    """`noisy`, with every image below `clean` in it: noise of its own on it, on the scale [-1, 1] of `like`.

    They are NPY files of float32, as noise goes beyond that scale and is not to be clipped, under the same names, so
    that a study splits them as it splits the clean ones. What is there already is kept. Raises ImageError where `clean`
    is no folder, EvoaeError where the disk has no room.
    """
    if noisy.is_dir():
        return noisy
    if not clean.is_dir():
        raise ImageError(f"--data {clean} is no folder, and its images are to be written with noise; give a folder")
    aside = noisy.with_name(f"{noisy.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for name in only_images(clean, files_below(clean)):
            target = (aside / name).with_suffix(".npy")
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, _with_noise(clean / name, name, like, noise))
        aside.rename(noisy)
    except OSError as error:
        raise EvoaeError(f"cannot write images with noise to {aside}: {error.strerror}; make room") from error
    return noisy


def _with_noise(
    path: Path, name: str, like: ImageFile, noise: Noise
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """[H, W, C] on the scale [-1, 1], not clipped."""
    pixels = read_image(path)
    signal = to_signal(torch.from_numpy(pixels.astype(np.float32)), like.low, like.high)
    drawn = fixed_noisy(
        signal.permute(2, 0, 1)[None], noise, derive_seed(0, "images of their own noise", name), "train"
    )
    return drawn[0].permute(1, 2, 0).contiguous().numpy()
