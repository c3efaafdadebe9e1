"""Denoisers for tests: real networks, tiny and untrained, and images for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evoae_cli.applying.batch import FileResult, Work, run_jobs
from evoae_cli.applying.inputs import plan
from evoae_cli.applying.tryout import AddedNoise
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import build
from evoae_cli.study.model import LoadedModel


def make_model(
    channels: int = 3,
    reductions: int = 2,
    dtype: str = "uint8",
    low: float = 0.0,
    high: float = 255.0,
    genotype: str = "3x3conv2d:8",
    **about: Any,
) -> LoadedModel:
    spec = NetworkSpec(channels=channels, reductions=reductions, code_channels=None, decoder="same")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(parse_genotype(genotype), spec).eval()
    pixels = {"dtype": dtype, "low": [low] * channels, "high": [high] * channels}
    metadata = {"objective": "denoise", "network": {"channels": channels, "reductions": reductions}, "pixels": pixels}
    return LoadedModel(network=network, metadata=metadata | about, folder=Path())


def make_image(shape: tuple[int, ...], dtype: str = "uint8") -> Any:
    image = np.random.default_rng(1).uniform(0, 1, shape)
    scale = {"uint8": 255, "uint16": 65535}.get(dtype)
    return image.astype(dtype) if scale is None else np.rint(image * scale).astype(dtype)


def denoise_files(
    model: LoadedModel,
    inputs: Sequence[Path],
    out: Path | None,
    *,
    is_forced: bool = False,
    axes: str | None = None,
    noise: AddedNoise | None = None,
    device: str = "auto",
) -> list[FileResult]:
    """What `evoae denoise` does with files and folders."""
    jobs = plan(inputs, out, is_forced=is_forced)
    return list(run_jobs(Work(model, axes=axes, noise=noise), jobs, device))
