"""The first line: what is starting, and about how long it will take, before anything slow is imported."""

from pathlib import Path

from evoae_cli.app.beforehand import Workers
from evoae_cli.app.wording import about, clock
from evoae_cli.counted import several
from evoae_cli.evaluation.photographs import PHOTOGRAPHS
from evoae_cli.study.config import StudyConfig

_PIXELS_PER_S = 1.0e6
"""Training throughput of one CPU core over the mixture of candidates in a search. `3x3conv2d:16` trains on 3.0 million
pixels/s; candidates of several layers and more filters on a fraction of it."""
_START_S = 15.0
"""Loading torch, preparing the images, tuning the classical methods."""


def opening(
    config: StudyConfig,
    folder: Path,
    workers: Workers | None,
    limit_s: float | None = None,
    *,
    where: str = "",
) -> str:
    """`denoise in runs/x: 2 workers, 13 photographs, about 4 min`, or `at most 3:00` with a limit that is shorter.

    `where` says where the workers are, empty for this host. No time is foretold for GPUs, since they differ too much,
    and nothing of workers that only PyTorch, or another engine, can count.
    """
    parts = []
    if workers is not None:
        parts.append(several(workers.number, "worker") + " on GPU" * workers.is_on_gpu + f" {where}".rstrip())
    elif where:
        parts.append(where if config.workers is None else f"{several(config.workers, 'worker')} {where}")
    if config.data == "photographs":
        parts.append(several(len(PHOTOGRAPHS), "photograph"))
    elif config.pairs is not None:
        from evoae_cli.evaluation.pairs import matched_pairs, pair_folders

        parts.append(several(len(matched_pairs(*pair_folders(config.pairs), warn=lambda text: None)), "pair"))
    else:
        parts.append(f"images from {config.data}")
    expected_s = None if workers is None or workers.is_on_gpu else estimate_s(config, workers.number)
    if limit_s is not None and (expected_s is None or limit_s < expected_s):
        parts.append(f"at most {clock(limit_s)}")
    elif expected_s is not None:
        parts.append(about(expected_s))
    return f"{config.objective} in {folder}: {', '.join(parts)}"


def estimate_s(config: StudyConfig, n_workers: int) -> float:
    """A rough time for the whole study on `n_workers` cores, in seconds; Algorithm 2 makes two offspring per parent."""
    n_candidates = 0 if config.is_training else config.population * (1 + 2 * config.generations)
    rounds = -(-config.n_finals // n_workers)
    epochs = n_candidates * config.epochs / n_workers + rounds * config.final_epochs
    return _START_S + epochs * config.train_images * config.crop**2 / _PIXELS_PER_S
