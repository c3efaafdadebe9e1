"""The classical denoisers an autoencoder has to beat, from scikit-image: wavelet, total variation, non-local means."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet
from torch import Tensor

from evoae_cli.evaluation.contract import Scores
from evoae_cli.evaluation.metrics import psnr_by_image, scores
from evoae_cli.evaluation.noiselevel import channel_stds

Pixels = NDArray[np.float32]
"""One image, [H, W, C] on [0, 1], not clipped."""
Method = Callable[[Pixels, float, float], Pixels]
"""Image, standard deviation of its noise on the [0, 1] scale, strength -> cleaned image."""

# Multiples of the noise's standard deviation. For noise from 0.05 to 1 on [-1, 1], the best on the photographs lies
# between the ends, and the best of these within 0.2 dB of the best of a finer grid (measured).
_TV_STRENGTHS = (0.5, 0.7, 0.9, 1.1, 1.4, 2.0)
_NLM_STRENGTHS = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
_TV_TOLERANCE = 1e-6
"""Change of energy at which total variation's iteration ends. scikit-image's default, 2e-4, ends it too early: under
noise of variance 1/3 that costs 0.4 dB on the photographs, and 1e-5 still 0.4 dB at some strengths (measured)."""

LEAST_STD = 1e-3
"""On [0, 1]: images that seem to have less noise have none to calibrate on or to take away."""
_FLAT_STD = 1e-6
"""On [0, 1]: rounding gives a channel of one value less (measured 1e-14), where it does not give NaN."""


class Level(NamedTuple):
    """Training images on which the methods are tuned for one strength of the noise, [n, C, H, W] on [-1, 1]."""

    clean: Tensor
    noisy: Tensor
    std: float
    """Standard deviation of `noisy - clean`."""


def references(
    clean: Tensor,
    noisy: Tensor,
    levels: Sequence[Level],
    see: Callable[[str, Tensor], None] = lambda name, output: None,
) -> dict[str, Scores]:
    """Scores of each classical method on `noisy`, [n, C, H, W] on [-1, 1]; image i has level i modulo their count.

    `see` gets the name of each method and what it makes of all images.

    The methods know each image's level, and its standard deviation. What strength suits total variation and non-local
    means there is chosen on the level's training images, as a network's weights are.
    """
    found = {}
    for name, (method, strengths) in METHODS.items():
        output = _cleaned(method, strengths, noisy, levels)
        found[name] = scores(output, clean)
        see(name, output)
    return found


def _cleaned(method: Method, strengths: tuple[float, ...], noisy: Tensor, levels: Sequence[Level]) -> Tensor:
    """The images cleaned by `method`, each tuned for its level."""
    cleaned, n_levels = torch.empty_like(noisy), len(levels)
    for i, level in enumerate(levels[: len(noisy)]):
        strength = tuned(method, strengths, level)
        cleaned[i::n_levels] = apply(method, noisy[i::n_levels], level.std, strength)
    return cleaned


def tuned(method: Method, strengths: tuple[float, ...], level: Level) -> float:
    """The strength with the highest PSNR on the level's images; a single one is not tried."""
    if len(strengths) == 1:
        return strengths[0]
    clean, noisy, std = level
    return max(strengths, key=lambda strength: float(psnr_by_image(apply(method, noisy, std, strength), clean).mean()))


def apply(method: Method, noisy: Tensor, std: float, strength: float) -> Tensor:
    """Run `method` over each of [n, C, H, W] images on [-1, 1]; the result lies on the same scale."""
    images = on_unit_scale(noisy)
    # Non-local means drops a single channel; the reshape puts it back.
    cleaned = np.stack([method(image, std / 2, strength).reshape(image.shape) for image in images]).astype(np.float32)
    return torch.from_numpy(cleaned).permute(0, 3, 1, 2).to(noisy.device) * 2 - 1


def on_unit_scale(images: Tensor) -> NDArray[np.float32]:
    """[n, C, H, W] on [-1, 1] as [n, H, W, C] on [0, 1], not clipped."""
    unit: NDArray[np.float32] = ((images.float().cpu() + 1) / 2).permute(0, 2, 3, 1).contiguous().numpy()
    return unit


def estimated_std(images: Tensor) -> float:
    """Standard deviation on [0, 1] that the noise of [n, C, H, W] images on [-1, 1] seems to have: mean of all.

    Flat channels, as clipping makes them, tell nothing of it; LEAST_STD where all are flat.
    """
    stds = np.array([channel_stds(image) for image in on_unit_scale(images)])
    telling = stds[stds > _FLAT_STD]
    return float(telling.mean()) if telling.size else LEAST_STD


def wavelet(image: Pixels, std: float, strength: float) -> Pixels:
    """scikit-image's default, BayesShrink on Haar wavelets; colour in YCbCr, as its documentation advises."""
    cleaned: Pixels = denoise_wavelet(
        image, sigma=strength * std, channel_axis=-1, convert2ycbcr=image.shape[-1] == 3, rescale_sigma=True
    )
    return cleaned


def total_variation(image: Pixels, std: float, strength: float) -> Pixels:
    """Chambolle's algorithm; its weight is a multiple of the noise's standard deviation."""
    cleaned: Pixels = denoise_tv_chambolle(  # type: ignore[no-untyped-call]  # scikit-image types a few of its functions
        image, weight=strength * std, eps=_TV_TOLERANCE, channel_axis=-1
    )
    return cleaned


def non_local_means(image: Pixels, std: float, strength: float) -> Pixels:
    """5x5 patches, 13x13 search window, the fast form; its cut-off is a multiple of the noise's standard deviation."""
    cleaned: Pixels = denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=strength * std, sigma=std, fast_mode=True, channel_axis=-1
    )
    return cleaned


def bm3d(image: Pixels, std: float, strength: float) -> Pixels:
    """BM3D (Dabov et al. 2007) of Mäkinen, Azzari and Foi 2020: standard profile, colour in opponent channels."""
    # Loaded here: its licence is not for everyone, so it is no dependency.
    from bm3d import bm3d, bm3d_rgb

    cleaned: Pixels = (bm3d_rgb if image.shape[-1] == 3 else bm3d)(image, strength * std)
    return cleaned


METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {
    # BayesShrink finds its thresholds in each image. Told 0.7 to 1.7 times the true strength of the noise it was never
    # better than when told the truth (40 crops of BSDS, noise of 10, 25 and 74 on 0..255).
    "wavelet": (wavelet, (1.0,)),
    "total variation": (total_variation, _TV_STRENGTHS),
    "non-local means": (non_local_means, _NLM_STRENGTHS),
}
"""By name: the method, and the strengths that it is tuned among."""
