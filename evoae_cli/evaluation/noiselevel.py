"""How much noise an image seems to have, by scikit-image's `estimate_sigma`."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt


def channel_stds(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Standard deviation of the noise in each channel of an image [H, W, C], on the scale of the image, [C].

    It is the median of the finest diagonal wavelet coefficients; fine texture raises it, clipping lowers it. NaN where
    a side is one pixel, or the channel is flat, which leaves no coefficient but zeros; rounding may make a flat one 0.
    """
    # scikit-image takes time and memory that most workers never need.
    from skimage.restoration import estimate_sigma

    if min(image.shape[:2]) < 2:
        return np.full(image.shape[2], np.nan)
    with warnings.catch_warnings():
        # It takes a channel of up to four columns for colours, though it is told that there are none ...
        warnings.filterwarnings("ignore", message="image is size [1-4] on the last axis", category=UserWarning)
        # ... and makes the NaN of a flat channel with a word for each.
        warnings.filterwarnings("ignore", message="Mean of empty slice|invalid value", category=RuntimeWarning)
        return np.asarray(estimate_sigma(image, channel_axis=-1))  # type: ignore[no-untyped-call]
