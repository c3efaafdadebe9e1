"""Figures of scores as the store or `show --json` has them. Plain functions of plain values."""

import math
from collections.abc import Mapping
from typing import Any


def fitness_of(scores: Mapping[str, Any] | None) -> float | None:
    """1 / MSE; None where the MSE is no positive finite number."""
    mse = float((scores or {}).get("mse") or 0.0)
    return 1.0 / mse if 0.0 < mse < math.inf else None


def decibels(scores: Mapping[str, Any] | None) -> float | None:
    """The PSNR, or with noisy images only, where none can be known, 10 log10 of the fitness."""
    fitness = fitness_of(scores)
    if not scores or fitness is None:
        return None
    psnr_db: float | None = scores["psnr_db"]
    return 10 * math.log10(fitness) if psnr_db is None else psnr_db
