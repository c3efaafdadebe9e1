"""What a network that learnt from hidden pixels makes of a noisy image.

It answers for pixels that it does not see; those that it sees it may return as they came, noise and all. So each pixel
is hidden once, as in training. What it then says of a pixel has an error that is independent of the pixel's own noise,
and two such measurements of one value are best weighed by their variances.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from evoae_cli.evaluation.masking import CELL, LEAST_SIDE, hidden_at
from evoae_cli.evaluation.noiselevel import channel_stds

_RADIUS = 16
"""Pixels round each one over which the error is taken. 24 photographs of 96x96 with noise of 25 came to 29.88 dB with
16, 29.82 with 8, 29.87 with 24 and 29.84 with 40; what was foretold alone had 28.56."""
_ALIKE = 2.0
"""Channels whose variances differ by less than this are taken for equally noisy, and weighed together."""
REACH = 2 + _RADIUS
"""How much further than through its network alone a result can depend on the image, in pixels."""


def foretold(network: Callable[[Tensor], Tensor], noisy: Tensor) -> Tensor:
    """Each pixel of images [n, C, H, W] on [-1, 1] from those round it, by one pass of `network` for each of 16 places.

    Images of which a side has fewer than 5 pixels are given to the network as they are.
    """
    n, _, height, width = noisy.shape
    if min(height, width) < LEAST_SIDE:
        return network(noisy)
    shape = (n, -(-height // CELL), -(-width // CELL))
    output = torch.zeros_like(noisy)
    for place in range(CELL * CELL):
        hidden = hidden_at(noisy, torch.full(shape, place, device=noisy.device))
        output = torch.where(hidden.mask, network(hidden.given), output)
    return output


def cleaned(network: Callable[[Tensor], Tensor], noisy: Tensor, variance: Tensor | None = None) -> Tensor:
    """Images [n, C, H, W] on [-1, 1] as `network` foretells them and the pixels themselves, by their variances.

    `variance` is that of the noise on the same scale, [C, 1, 1] or [n, C, 1, 1]; None estimates it for each channel of
    each image, NaN leaves what is foretold. How far pixels lie from what is foretold has both variances in it, so round
    each pixel what is left is the network's.

    What is foretold is wrong in brightness more than in colour, while noise is as strong in both. So channels that are
    equally noisy are weighed as their mean and their differences, each by itself, which leaves their noise what it is:
    29.88 dB where one weight for all channels had 29.33.
    """
    variance = _estimated(noisy) if variance is None else variance.to(noisy)
    output = foretold(network, noisy)
    are_alike = variance.amax(-3, keepdim=True) < _ALIKE * variance.amin(-3, keepdim=True)
    variance = torch.where(are_alike, variance.mean(-3, keepdim=True), variance)
    basis = _basis(noisy.shape[1]).to(noisy)
    apart = noisy - output
    parts = torch.where(are_alike, torch.einsum("kc,nchw->nkhw", basis, apart), apart)
    both = F.avg_pool2d(parts.square(), 2 * _RADIUS + 1, stride=1, padding=_RADIUS, count_include_pad=False)
    kept = parts * (1 - variance / both).clamp(0, 1).nan_to_num(0)
    return output + torch.where(are_alike, torch.einsum("kc,nkhw->nchw", basis, kept), kept)


def _basis(n: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II) of `n` channels, [n, n]: their mean first, then their differences."""
    rows = torch.arange(n, dtype=torch.float64)[:, None]
    waves = torch.cos(torch.pi / n * (torch.arange(n, dtype=torch.float64) + 0.5) * rows)
    basis: Tensor = waves / waves.norm(dim=1, keepdim=True)
    return basis


def _estimated(noisy: Tensor) -> Tensor:
    """Variance of the noise in each channel of each image, [n, C, 1, 1]."""
    stds = np.stack([channel_stds(image) for image in noisy.permute(0, 2, 3, 1).cpu().numpy()])
    return torch.from_numpy(stds).to(noisy).square()[:, :, None, None]
