"""Trying a model out: noise added to an image, and how far the model takes it away. Figures as in a study."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import derive_seed
from evoae_cli.evaluation.noise import Noise, parse_noise

if TYPE_CHECKING:
    from torch import Tensor

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

_ROWS = 512
"""Rows whose SSIM is taken at once: its maps take ten times the memory of the image."""
_BORDER = 10
"""Rows by which the 11x11 window of the SSIM makes its map smaller than the image."""


@dataclass(frozen=True)
class AddedNoise:
    """Noise to add to each image, and the seed of its draws."""

    noise: Noise
    seed: int

    def added(self, clean: Floats, *parts: object) -> Floats:
        """`clean` [H, W, C] on [-1, 1] with noise, not clipped; the same for the same seed and `parts`, its name."""
        import torch

        from evoae_cli.evaluation.objective import corrupt

        generator = torch.Generator().manual_seed(derive_seed(self.seed, "add-noise", *parts))
        image = torch.from_numpy(clean).permute(2, 0, 1)[None]
        noisy: Floats = corrupt(image, self.noise, generator)[0].permute(1, 2, 0).numpy()
        return noisy


@dataclass(frozen=True)
class Figures:
    """PSNR in dB and SSIM on [0, 1], clipped, against the image that noise was added to."""

    noisy_psnr_db: float
    noisy_ssim: float
    psnr_db: float
    ssim: float


def parse_added_noise(text: str, seed: int) -> AddedNoise:
    """Noise as `--noise` is written, `gaussian:25`, with a seed. Raises UsageError."""
    try:
        return AddedNoise(parse_noise(text), seed)
    except UsageError as error:
        raise UsageError(str(error).replace("--noise", "--add-noise", 1)) from None


def figures(clean: Floats, noisy: Floats, output: Floats) -> Figures:
    """How good `noisy` and `output` are, images [H, W, C] on [-1, 1], not clipped."""
    return Figures(*_scores(noisy, clean), *_scores(output, clean))


def mean(found: list[Figures]) -> Figures:
    """The mean of each figure over images."""
    rows = [(one.noisy_psnr_db, one.noisy_ssim, one.psnr_db, one.ssim) for one in found]
    return Figures(*(float(value) for value in np.mean(rows, axis=0)))


def _scores(image: Floats, clean: Floats) -> tuple[float, float]:
    """PSNR and SSIM as `evaluation.metrics` takes them, strip by strip, so that memory stays bounded."""
    from evoae_cli.evaluation.metrics import MAX_PSNR_DB, ssim

    squared, similarity, n_rows = 0.0, 0.0, 0
    height = len(clean)
    for top in range(0, max(height - _BORDER, 1), _ROWS):
        # Each strip has the windows that begin in its rows; squares are summed over rows that no other strip has.
        is_last = top + _ROWS >= height - _BORDER
        strip = slice(top, height if is_last else top + _ROWS + _BORDER)
        a, b = (_shown(x[strip]) for x in (image, clean))
        own = a.shape[-2] if is_last else _ROWS
        squared += float((a - b)[..., :own, :].double().square().sum())
        n_windows = max(a.shape[-2] - _BORDER, 1)
        similarity += float(ssim(a, b)) * n_windows
        n_rows += n_windows
    mse = squared / clean.size
    return min(-10 * float(np.log10(mse)), MAX_PSNR_DB) if mse > 0 else MAX_PSNR_DB, similarity / n_rows


def _shown(rows: Floats) -> "Tensor":
    """[h, w, C] on [-1, 1] as [1, C, h, w] on [0, 1], clipped."""
    import torch

    return (torch.from_numpy(np.ascontiguousarray(rows)).permute(2, 0, 1)[None].clamp(-1, 1) + 1) / 2
