"""Resident: the images of a study on a device, and the crops and patches made from them there, batch by batch."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evoae_cli.evaluation.contract import Split, derive_seed
from evoae_cli.evaluation.imagefile import ImageFile, pixels
from evoae_cli.evaluation.patches import patch_positions
from evoae_cli.evaluation.pixelscale import to_pixels, to_signal


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

    def __repr__(self) -> str:
        return f"<Resident {self.image_file.summary()}, on {self.device}>"

    def n_patches(self, split: Split) -> int:
        """How many patches `patches(split)` gives: as many as were asked for, or all that differ."""
        return len(self._patch_starts[split][0])

    def crops(self, n: int, side: int, flips: bool, generator: torch.Generator) -> Tensor:
        """Draw `n` random training crops, [n, C, side, side] float32 on [-1, 1], in channels_last memory.

        Images are drawn uniformly, then the place within the image; with `flips` each crop is mirrored left to right
        with probability 1/2. All draws come from `generator`, which lives on the same device. Raises ValueError for a
        side larger than a training image.
        """
        if side > self._least_side:
            raise ValueError(f"crops of side {side} do not fit a training image of side {self._least_side}")
        # Remainders of 62-bit numbers are uniform to 1 in 10^13, and no float can round up to the size itself.
        draws = torch.randint(2**62, (4, n), generator=generator, device=self.device)
        image = draws[0] % len(self._train_offsets)
        widths = self._train_widths[image]
        top = draws[1] % (self._train_heights[image] - (side - 1))
        left = draws[2] % (widths - (side - 1))
        starts = self._train_offsets[image] + (top * widths + left) * self.image_file.channels
        nhwc = self._gather(starts, widths, side)
        if flips:
            # Both versions, then one of them per crop by its number: four times as fast as torch.where on bytes.
            both = torch.stack((nhwc, nhwc.flip(2))).view(2 * n, -1)
            chosen = torch.arange(n, device=self.device) + n * (draws[3] % 2)
            nhwc = both.index_select(0, chosen).view(nhwc.shape)
        return self._as_signal(nhwc)

    def patches(self, split: Split) -> Tensor:
        """Give the fixed patches of `val` or `test`, [n, C, patch, patch] float32 on [-1, 1], channels_last."""
        starts, widths = self._patch_starts[split]
        return self._as_signal(self._gather(starts, widths, self.patch))

    def to_pixels(self, x: Tensor) -> npt.NDArray[Any]:
        """Turn [..., C, H, W] on [-1, 1] into pixels [..., H, W, C] in the source's depth, clipped and rounded."""
        return to_pixels(x, self.image_file.low, self.image_file.high, self.image_file.dtype)

    def _gather(self, starts: Tensor, widths: Tensor, side: int) -> Tensor:
        """Squares as stored, [n, side, side, C]: first elements at `starts` [n], in images `widths` [n] wide.

        A row of a square is contiguous in the flat array, so row i of this overlapping view is the row that starts at
        element i, and index_select copies whole rows: ten times as fast as indexing the view, sixty times as elements.
        """
        channels = self.image_file.channels
        rows = starts[:, None] + torch.arange(side, device=self.device) * (widths * channels)[:, None]
        gathered = self._flat.unfold(0, side * channels, 1).index_select(0, rows.flatten())
        return gathered.view(len(starts), side, side, channels)

    def _as_signal(self, nhwc: Tensor) -> Tensor:
        return to_signal(nhwc, self.image_file.low, self.image_file.high).permute(0, 3, 1, 2)

    def _starts_of_patches(self, split: Split, n: int, study_seed: int) -> tuple[Tensor, Tensor]:
        images = self.image_file.of(split)
        seed = derive_seed(study_seed, self.image_file.fingerprint, split, "patches")
        positions = patch_positions([(image.height, image.width) for image in images], self.patch, n, seed)
        offsets = np.array([image.offset for image in images])[positions[:, 0]]
        widths = np.array([image.width for image in images])[positions[:, 0]]
        starts = offsets + (positions[:, 1] * widths + positions[:, 2]) * self.image_file.channels
        return torch.from_numpy(starts).to(self.device), torch.from_numpy(widths).to(self.device)
