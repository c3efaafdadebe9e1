"""The classical denoisers where there are only noisy images: calibrated on them, and scored at the hidden pixels."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from skimage.restoration import calibrate_denoiser
from torch import Tensor

from evoae_cli.evaluation.classical import (
    LEAST_STD,
    Method,
    Pixels,
    apply,
    bm3d,
    estimated_std,
    non_local_means,
    on_unit_scale,
    total_variation,
    wavelet,
)
from evoae_cli.evaluation.contract import Scores
from evoae_cli.evaluation.metrics import Exam, exam_scores

# Multiples of the estimated standard deviation of the noise. Wider apart than where it is known: the estimate takes
# fine detail for noise, and the noise between neighbouring channels or pixels for none.
_WAVELET_STRENGTHS = (0.5, 0.7, 1.0, 1.4, 2.0)
_TV_STRENGTHS = (0.3, 0.5, 0.7, 1.0, 1.4, 2.0)
_NLM_STRENGTHS = (0.3, 0.4, 0.6, 0.8, 1.0, 1.4)


class Calibrated(NamedTuple):
    """A classical method that is ready for images with noise like that of the training images."""

    method: Method
    std: float
    """Of the noise, on [0, 1], as far as it can be estimated."""
    strength: float

    def apply(self, images: Tensor) -> Tensor:
        """[n, C, H, W] on [-1, 1] cleaned."""
        return apply(self.method, images, 2 * self.std, self.strength)


def references(
    exam: Exam, training: Tensor, see: Callable[[str, Calibrated], None] = lambda name, one: None
) -> dict[str, Scores]:
    """Scores at the hidden pixels of each classical method, whose strength is calibrated on `training`, noisy crops.

    By the same principle as the networks learn: J-invariance (Batson and Royer 2019). Images are [n, C, H, W] on
    [-1, 1]. `see` gets the name of each method, and the method when it is ready.
    """
    found = {}
    for name in METHODS:
        one = calibrated(name, training)
        found[name] = exam_scores(one.apply(exam.given), exam)
        see(name, one)
    return found


def calibrated(name: str, training: Tensor) -> Calibrated:
    """The method of this name, calibrated on noisy crops [n, C, H, W]; one without strengths only knows the noise."""
    std = max(estimated_std(training), LEAST_STD)
    method, strengths = METHODS.get(name, (bm3d, (1.0,)))
    strength = strengths[0] if len(strengths) == 1 else _best(method, strengths, std, list(on_unit_scale(training)))
    return Calibrated(method, std, strength)


METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {
    "wavelet": (wavelet, _WAVELET_STRENGTHS),
    "total variation": (total_variation, _TV_STRENGTHS),
    "non-local means": (non_local_means, _NLM_STRENGTHS),
}
"""By name: the method, and the strengths that are tried."""


def _best(method: Method, strengths: tuple[float, ...], std: float, noisy: list[Pixels]) -> float:
    """The strength with the least self-supervised loss over all images."""

    def denoise(image: Pixels, *, strength: float, channel_axis: int) -> Pixels:
        # Named `channel_axis`, it has all channels of a pixel hidden at once, as for the networks.
        return method(image, std, strength).reshape(image.shape)

    losses = np.zeros(len(strengths))
    for image in noisy:
        _, (_, found) = calibrate_denoiser(  # type: ignore[no-untyped-call]
            image, denoise, {"strength": list(strengths), "channel_axis": [-1]}, extra_output=True
        )
        losses += found
    return strengths[int(losses.argmin())]
