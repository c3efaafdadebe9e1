"""Resident: the images of a study on a device, and the crops and patches made from them there, batch by batch."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evoae_cli.evaluation.augment import mirrored, recoloured
from evoae_cli.evaluation.contract import Augmentation, Split, derive_seed
from evoae_cli.evaluation.imagefile import ImageFile, pixels
from evoae_cli.evaluation.patches import patch_positions
from evoae_cli.evaluation.pixelscale import to_pixels, to_signal

_AHEAD = 4096
"""Images whose order is drawn at once at least, so that a handful of images costs no sort in every batch."""


class Resident:
    """The flat pixel array of an image file: on a CPU the mapped file itself, without a copy; on a GPU copied once.

    `patch`, `n_val`, `n_test` and `study_seed` fix the validation and test patches, the same ones on every device.
    """

    def __init__(
        self,
        image_file: ImageFile,
        device: torch.device | str,
        patch: int,
        n_val: int,
        n_test: int,
        study_seed: int,
    ) -> None:
        self.image_file = image_file
        self.device = torch.device(device)
        self.patch = patch
        flat = pixels(image_file)
        # torch has few operations for uint16; the same bits as int16 can be moved about by all of them.
        self._flat = torch.from_numpy(flat.view(np.int16) if flat.dtype == np.uint16 else flat).to(self.device)
        train = image_file.of("train")
        self._train_offsets, self._train_heights, self._train_widths = (
            torch.tensor(column, dtype=torch.int64, device=self.device)
            for column in (
                [image.offset for image in train],
                [image.height for image in train],
                [image.width for image in train],
            )
        )
        self._least_side = min(min(image.height, image.width) for image in train)
        n_wanted: dict[Split, int] = {"val": n_val, "test": n_test}
        self._patch_starts = {split: self._starts_of_patches(split, n, study_seed) for split, n in n_wanted.items()}

    @property
    def is_paired(self) -> bool:
        """Whether crops and patches are noisy and clean images, one behind the other: [n, 2C, H, W]."""
        return self.image_file.is_paired

    def __repr__(self) -> str:
        return f"<Resident {self.image_file.summary()}, on {self.device}>"

    def sampler(self, side: int, augmentation: Augmentation, generator: torch.Generator) -> "Sampler":
        """Random training crops of one training; every draw comes from `generator`, which lives on the same device.

        Raises ValueError for a side larger than a training image.
        """
        if side > self._least_side:
            raise ValueError(f"crops of side {side} do not fit a training image of side {self._least_side}")
        return Sampler(self, side, augmentation, generator)

    def training_crops(
        self, image: Tensor, side: int, augmentation: Augmentation, generator: torch.Generator
    ) -> Tensor:
        """One crop of each of the training images numbered `image` [n], as `Sampler.crops` gives them."""
        n = len(image)
        # Remainders of 62-bit numbers are uniform to 1 in 10^13, and no float can round up to the size itself.
        draws = torch.randint(2**62, (3, n), generator=generator, device=self.device)
        widths = self._train_widths[image]
        top = draws[0] % (self._train_heights[image] - (side - 1))
        left = draws[1] % (widths - (side - 1))
        starts = self._train_offsets[image] + (top * widths + left) * self.image_file.stored_channels
        stored = self._gather(starts, widths, side)
        nhwc = self._signal(mirrored(stored, draws[2]) if augmentation.flips else stored)
        if augmentation.colours:
            nhwc = recoloured(nhwc, generator)
        return nhwc.permute(0, 3, 1, 2)

    def patches(self, split: Split) -> Tensor:
        """Give the fixed patches of `val` or `test`, [n, C, patch, patch] float32 on [-1, 1], channels_last.

        Of pairs [n, 2C, patch, patch], the noisy image's channels first; these may lie outside [-1, 1].
        """
        starts, widths = self._patch_starts[split]
        return self._signal(self._gather(starts, widths, self.patch)).permute(0, 3, 1, 2)

    def to_pixels(self, x: Tensor) -> npt.NDArray[Any]:
        """Turn [..., C, H, W] on [-1, 1] into pixels [..., H, W, C] in the source's depth, clipped and rounded."""
        return to_pixels(x, self.image_file.low, self.image_file.high, self.image_file.dtype)

    def _gather(self, starts: Tensor, widths: Tensor, side: int) -> Tensor:
        """Squares as stored, [n, side, side, C or 2C]: first elements at `starts` [n], in images `widths` [n] wide.

        A row of a square is contiguous in the flat array, so row i of this overlapping view is the row that starts at
        element i, and index_select copies whole rows: ten times as fast as indexing the view, sixty times as elements.
        """
        channels = self.image_file.stored_channels
        rows = starts[:, None] + torch.arange(side, device=self.device) * (widths * channels)[:, None]
        gathered = self._flat.unfold(0, side * channels, 1).index_select(0, rows.flatten())
        return gathered.view(len(starts), side, side, channels)

    def _signal(self, nhwc: Tensor) -> Tensor:
        low, high = self.image_file.low, self.image_file.high
        if not self.is_paired:
            return to_signal(nhwc, low, high)
        # Noise is part of what a network sees, so it is never clipped; its target is, as any.
        signal = to_signal(nhwc, low + low, high + high, is_clipped=False)
        signal[..., self.image_file.channels :].clamp_(-1.0, 1.0)
        return signal

    def _starts_of_patches(self, split: Split, n: int, study_seed: int) -> tuple[Tensor, Tensor]:
        images = self.image_file.of(split)
        seed = derive_seed(study_seed, self.image_file.fingerprint, split, "patches")
        positions = patch_positions([(image.height, image.width) for image in images], self.patch, n, seed)
        offsets = np.array([image.offset for image in images])[positions[:, 0]]
        widths = np.array([image.width for image in images])[positions[:, 0]]
        starts = offsets + (positions[:, 1] * widths + positions[:, 2]) * self.image_file.stored_channels
        return torch.from_numpy(starts).to(self.device), torch.from_numpy(widths).to(self.device)


class Sampler:
    """Random crops in passes over the training images: each pass takes every image once, in a fresh random order.

    A pass goes on across batches, so an epoch of as many crops as there are images sees each of them.
    """

    def __init__(self, resident: Resident, side: int, augmentation: Augmentation, generator: torch.Generator) -> None:
        self._resident, self._side, self._augmentation, self._generator = resident, side, augmentation, generator
        # The images to come, from place `_at` on; `_at` is a plain number, so that no step waits for a GPU.
        self._order = torch.empty(0, dtype=torch.int64, device=resident.device)
        self._at = 0

    def crops(self, n: int) -> Tensor:
        """The next `n` crops, [n, C, side, side] float32 on [-1, 1], in channels_last memory; of pairs as `patches`.

        The place within the image is drawn uniformly; with flips each crop is mirrored left to right with probability
        1/2.
        """
        return self._resident.training_crops(self._next_images(n), self._side, self._augmentation, self._generator)

    def _next_images(self, n: int) -> Tensor:
        while self._at + n > len(self._order):
            self._order = torch.cat((self._order[self._at :], self._passes()))
            self._at = 0
        self._at += n
        return self._order[self._at - n : self._at]

    def _passes(self) -> Tensor:
        """The order of some whole passes: random keys, sorted within each pass."""
        n_images = self._resident.image_file.n_images("train")
        shape = (max(1, _AHEAD // n_images), n_images)
        keys = torch.randint(2**62, shape, generator=self._generator, device=self._resident.device)
        return keys.argsort(dim=1, stable=True).flatten()
