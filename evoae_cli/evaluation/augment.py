"""Augmentation: random views of the training crops, so that few images teach what many would."""

import torch
from torch import Tensor

_LEAST_CONTRAST, _MOST_CONTRAST = 0.4, 1.2
"""A channel is scaled about mid-grey by a factor between these ..."""
_MOST_SHIFT = 0.4
"""... and then shifted by at most this, up or down, on the [-1, 1] scale."""


def mirrored(crops: Tensor, draws: Tensor) -> Tensor:
    """Crops [n, side, side, C] of any type; those whose number in `draws` [n] is odd are mirrored left to right."""
    n = len(crops)
    # Both versions, then one of them per crop by its number: four times as fast as torch.where on bytes.
    both = torch.stack((crops, crops.flip(2))).view(2 * n, -1)
    chosen = torch.arange(n, device=crops.device) + n * (draws % 2)
    return both.index_select(0, chosen).view(crops.shape)


def recoloured(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Crops [n, side, side, C] on [-1, 1] in place, each channel of each scaled and shifted at random, and clipped.

    A network then learns shapes, whatever their colours: with few photographs it otherwise learns those by heart.
    `generator` lives on the device of `crops`.
    """
    contrast, shift = torch.rand((2, len(crops), 1, 1, crops.shape[3]), device=crops.device, generator=generator)
    contrast = _LEAST_CONTRAST + (_MOST_CONTRAST - _LEAST_CONTRAST) * contrast
    shift = _MOST_SHIFT * (2 * shift - 1)
    return crops.mul_(contrast).add_(shift).clamp_(-1.0, 1.0)
