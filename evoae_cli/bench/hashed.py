"""A runner that trains nothing: its fitness is the genotype's hash, the same everywhere, so a whole search can run."""

import msgspec

from evoae_cli.evaluation.contract import Evaluation, EvaluationRequest, References, Request, Scores, derive_seed
from evoae_cli.outcome import Outcome
from evoae_cli.worker.runner import Progress, Run

_SCORES = {"psnr_db": 20.0, "psnr_pooled_db": 20.0, "ssim": 0.5}


def start(device: str, threads: int) -> tuple[str, Run]:
    """A worker's start: nothing to load."""
    return f"no-op on {device}", run


def run(payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
    """Answer a msgpack `Request` at once: fitness 1 to 101, or references that nobody needs to beat."""
    request = msgspec.msgpack.decode(payload, type=Request)
    if not isinstance(request, EvaluationRequest):
        nothing = References(baseline_name="noisy", baseline=Scores(mse=1.0, **_SCORES), methods={})
        return Outcome.OK, msgspec.msgpack.encode(nothing), ""
    draw = derive_seed(request.seed, "fitness")
    found = Evaluation(
        genotype=request.genotype,
        stage=request.stage,
        seed_index=request.seed_index,
        outcome=Outcome.OK,
        scores=Scores(mse=1 / (1 + 100 * draw / 2**63), **_SCORES),
        parameters=1 + draw % 10_000,
        images_seen=request.recipe.epochs * request.recipe.epoch_images,
        device="none",
        dtype=request.recipe.precision,
        torch="none",
    )
    return found.outcome, msgspec.msgpack.encode(found), ""
