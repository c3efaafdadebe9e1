"""The images that methods are compared on, and how good and how fast, one at a time on one core, each is there."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.contract import Scores
from evoae_cli.evaluation.folder import files_below, only_images
from evoae_cli.evaluation.imagefile import ImageFile
from evoae_cli.evaluation.metrics import scores
from evoae_cli.evaluation.pixelscale import to_signal
from evoae_cli.evaluation.readers import read_image
from evoae_cli.evaluation.reproducible import reproducible
from evoae_cli.evaluation.rivals import timed


class Scored(NamedTuple):
    """What a method did."""

    scores: Scores
    ms: float
    """Milliseconds for one image: the median."""


def centre_crops(folder: Path, side: int, like: ImageFile) -> Tensor:
    """The centres of all images below `folder`, ordered by path: [n, C, side, side] on [-1, 1], scaled as `like` is.

    Raises ImageError for a folder without images, and for an image of another depth or number of channels than those of
    `like`, or smaller than `side`.
    """
    if not folder.is_dir():
        raise ImageError(f"--test {folder}: there is no such folder; give one with images that nothing was chosen by")
    crops = []
    for name in only_images(folder, files_below(folder)):
        pixels = read_image(folder / name)
        height, width, n_channels = pixels.shape
        if (pixels.dtype.name, n_channels) != (like.dtype, like.channels):
            raise ImageError(
                f"{folder / name} has {n_channels} channels of {pixels.dtype.name}, those of --data "
                f"{like.channels} of {like.dtype}; give images of one kind"
            )
        if min(height, width) < side:
            raise ImageError(f"{folder / name} is {height}x{width}, smaller than --patch {side}; give larger images")
        top, left = (height - side) // 2, (width - side) // 2
        # 16 bits travel as the same bits with a sign.
        crop = pixels[top : top + side, left : left + side]
        crops.append(torch.from_numpy((crop.view("int16") if like.dtype == "uint16" else crop).copy()))
    return to_signal(torch.stack(crops), like.low, like.high).permute(0, 3, 1, 2).contiguous()


def fingerprint(images: Tensor) -> str:
    """Names these images: 16 hexadecimal digits of the SHA-256 of their values."""
    return hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()[:16]


def scored(method: Callable[[Tensor], Tensor], given: Tensor, clean: Tensor) -> Scored:
    """Run `method`, [1, C, H, W] -> [1, C, H, W], over each of [n, C, H, W] images on one core."""
    with reproducible(threads=1), on_one_core():
        found = timed(lambda image, number: method(image), given)
        return Scored(scores(found.output, clean), 1e3 * found.image_s)


def ready(network: nn.Module) -> nn.Module:
    """The network as it is run here: on the CPU, in evaluation mode, with a pixel's channels together in memory."""
    return network.cpu().eval().to(memory_format=torch.channels_last)


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """Keep all threads of this process on one core, where the system can do that: libraries start threads of their own.

    Threads that end or begin meanwhile are passed over, and on other systems than Linux all are.
    """
    threads = Path("/proc/self/task")
    if not hasattr(os, "sched_setaffinity") or not threads.is_dir():
        yield
        return
    allowed = os.sched_getaffinity(0)
    # Another one for another process, as far as there are some: two benchmarks at once should not share one.
    _pin(threads, {sorted(allowed)[os.getpid() % len(allowed)]})
    try:
        yield
    finally:
        _pin(threads, allowed)


def _pin(threads: Path, cores: set[int]) -> None:
    for thread in threads.iterdir():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(thread.name), cores)
