"""How good a reconstruction is: mean squared error, PSNR, SSIM.

Images are [n, channels, H, W] float32 on [-1, 1]; PSNR and SSIM are taken on [0, 1] with the output clipped.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from evoae_cli.evaluation.contract import Scores

MAX_PSNR_DB = 100.0
"""What a perfect reconstruction scores: its PSNR would be infinite, which no mean and no JSON can carry."""

_WINDOW = 11
_SIGMA = 1.5
_CHUNK = 16
"""Images whose SSIM is taken at once: its five filtered maps each take as much memory as the images."""


class Exam(NamedTuple):
    """What networks and classical methods are scored on, each [n, C, H, W] on [-1, 1]."""

    given: Tensor
    target: Tensor
    """The clean images; where there are none, the noisy ones."""
    mask: Tensor | None = None
    """[n, 1, H, W]: the hidden pixels, where only they count."""


def scores(output: Tensor, clean: Tensor) -> Scores:
    """Scores of `output` against `clean`, each [n, C, H, W] on one device, on the [-1, 1] scale."""
    squared = (output.float() - clean).square().flatten(1).mean(1)  # [n]
    shown, target = _shown(output), _shown(clean)
    error = _error(shown, target)
    similarity = torch.cat(
        [ssim(a, b) for a, b in zip(torch.split(shown, _CHUNK), torch.split(target, _CHUNK), strict=True)]
    )
    # The last means over a few numbers are taken in float64 on the CPU, in the order of the images.
    squared, similarity = (x.double().cpu() for x in (squared, similarity))
    return Scores(
        mse=float(squared.mean()),
        psnr_db=float(_psnr(error).mean()),
        psnr_pooled_db=float(_psnr(error.mean())),
        ssim=float(similarity.mean()),
    )


def exam_scores(output: Tensor, exam: Exam) -> Scores:
    """Scores of what was made of `exam.given`. Without clean images the error at the hidden pixels is all there is."""
    if exam.mask is None:
        return scores(output, exam.target)
    squared = (output.float() - exam.target).square().mean(1, keepdim=True)  # [n, 1, H, W]
    by_image = torch.where(exam.mask, squared, 0.0).flatten(1).sum(1)  # [n]
    n_hidden = exam.mask.flatten(1).sum(1)
    return Scores(mse=float(by_image.double().cpu().sum() / n_hidden.double().cpu().sum()))


def psnr_by_image(output: Tensor, clean: Tensor) -> Tensor:
    """PSNR in dB of each of [n, C, H, W] images, as in `scores` -> [n] on the CPU."""
    return _psnr(_error(_shown(output), _shown(clean)))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each pair of images, [n, C, H, W] on [0, 1] -> [n].

    Wang et al. 2004: Gaussian window of 11x11 (sigma 1.5), data range 1, mean over channels and over the places where
    the window fits; smaller images take the largest odd window that fits.
    """
    side = min(_WINDOW, *((size - 1) // 2 * 2 + 1 for size in a.shape[-2:]))
    at = torch.arange(side, dtype=torch.float32, device=a.device) - side // 2
    window = torch.exp(-at.square() / (2 * _SIGMA**2))
    weights = (window / window.sum()).tolist()

    maps = torch.stack((a, b, a * a, b * b, a * b))  # [5, n, C, H, W]
    # The window row by row, then column by column. As shifted sums: a CPU's convolution of one channel takes the memory
    # of sixteen.
    height, width = (size - side + 1 for size in a.shape[-2:])
    maps = sum((w * maps[..., i : i + height, :] for i, w in enumerate(weights)), start=torch.zeros(()))
    maps = sum((w * maps[..., i : i + width] for i, w in enumerate(weights)), start=torch.zeros(()))
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = maps

    c1, c2 = 0.01**2, 0.03**2
    covariance = mean_ab - mean_a * mean_b
    variances = (mean_aa - mean_a.square()) + (mean_bb - mean_b.square())
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a.square() + mean_b.square() + c1) * (variances + c2)
    )
    per_image: Tensor = similarity.flatten(1).mean(1)
    return per_image


def _shown(x: Tensor) -> Tensor:
    """Images on [-1, 1] as they can be shown: clipped, on [0, 1]."""
    return (x.float().clamp(-1, 1) + 1) / 2


def _error(shown: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each image, [n] in float64 on the CPU."""
    return (shown - target).square().flatten(1).mean(1).double().cpu()


def _psnr(mse: Tensor) -> Tensor:
    """PSNR in dB of mean squared errors on [0, 1], at most `MAX_PSNR_DB`."""
    return -10 * torch.log10(mse.clamp_min(10 ** (-MAX_PSNR_DB / 10)))
