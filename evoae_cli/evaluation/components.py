"""Principal components of blocks of images: where a linear code begins."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Augmentation, derive_seed
from evoae_cli.evaluation.resident import Resident

_N_BLOCKS = 65_536
"""More change no figure; a quarter of them lose 0.07 dB."""
_AT_ONCE = 1_024
"""Blocks in memory at once."""


class Components(NamedTuple):
    """Of blocks [C, b, b], by their covariance."""

    mean: Tensor
    """[C, b, b]"""
    directions: Tensor
    """[k, C, b, b], orthonormal, the one of the greatest variance first."""


def principal_components(blocks: Iterable[Tensor], k: int) -> Components:
    """The first `k` of blocks that come in parts [n, C, b, b]; computed in double precision, on the CPU in the end.

    Raises UsageError for more than a block has values.
    """
    n, total, products, shape = 0, torch.zeros(()), torch.zeros(()), torch.Size()
    for part in blocks:
        flat, shape = part.double().flatten(1), part.shape[1:]
        n, total, products = n + len(flat), total + flat.sum(dim=0), products + flat.T @ flat
    if not 1 <= k <= shape.numel():
        raise UsageError(f"blocks of {shape.numel()} values have no {k} components")
    mean = total / n
    covariance = products / n - torch.outer(mean, mean)
    _, vectors = torch.linalg.eigh(covariance.cpu())
    directions = vectors[:, -k:].flip(1).T.float().contiguous()
    return Components(mean.float().cpu().reshape(shape), directions.reshape(k, *shape))


def components_of(resident: Resident, block: int, k: int, study_seed: int) -> Components:
    """The first `k` of blocks of `block` x `block` pixels from the training images; the seed draws which."""
    generator = torch.Generator(resident.device).manual_seed(derive_seed(study_seed, "components"))
    sampler = resident.sampler(block, Augmentation(), generator)
    return principal_components((sampler.crops(_AT_ONCE) for _ in range(_N_BLOCKS // _AT_ONCE)), k)
