"""One line for each thing that happens in a study, for logs and pipes."""

from evoae_cli.engine.protocol import WorkerLoss
from evoae_cli.evaluation.contract import Evaluation, References, Residual, Split
from evoae_cli.study.snapshot import Snapshot
from evoae_cli.study.store import Record


def evaluated_line(record: Record, snapshot: Snapshot) -> str:
    """`[12/62] generation 1: 24.1 dB, fitness 64.2, 6,043 parameters, 5.2 s: 3x3conv2d:16`."""
    found = record.evaluation
    where = f"[{snapshot.n_done}/{snapshot.n_expected}] generation {record.generation}: "
    if found.scores is None:
        return f"{where}{found.outcome} ({found.reason}), {record.run_s:.1f} s: {found.genotype}"
    return (
        f"{where}{_db(found.scores.psnr_db)}fitness {found.fitness:.2f}, {found.parameters:,} parameters, "
        f"{record.run_s:.1f} s: {found.genotype}"
    )


def generation_line(number: int, snapshot: Snapshot) -> str:
    """`generation 3 of 10: best 24.6 dB, fitness 64.2: 3x3conv2d:16`."""
    best = snapshot.best[0]
    return (
        f"generation {number} of {snapshot.n_generations}: best {_db(best.psnr_db)}"
        f"fitness {best.fitness:.2f}: {best.genotype}"
    )


def final_line(record: Record, *, is_alone: bool) -> str:
    """`finalist 1, seed 0: 26.0 dB on validation, fitness 84.1, 60.2 s: 3x3conv2d:16`; alone, without its number."""
    found = record.evaluation
    where = f"{'' if is_alone else f'finalist {record.number + 1}, '}seed {found.seed_index}: "
    if found.scores is None:
        return f"{where}{found.outcome} ({found.reason}): {found.genotype}"
    return (
        f"{where}{_db(found.scores.psnr_db, ' on validation')}fitness {found.fitness:.2f}, {record.run_s:.1f} s: "
        f"{found.genotype}"
    )


def is_better(before: Evaluation, after: Evaluation) -> bool:
    """Whether fitness or PSNR has grown: a mean error and a mean of PSNRs may go different ways."""
    old, new = (found.scores.psnr_db if found.scores is not None else None for found in (before, after))
    return after.fitness > before.fitness or (old is not None and new is not None and new > old)


def change_line(before: Evaluation, after: Evaluation) -> str:
    """`on val: 25.31 dB, at the start 24.10 dB: +1.21 dB`; with noisy images only, the fitness of both."""
    assert before.scores is not None
    assert after.scores is not None
    old, new = before.scores.psnr_db, after.scores.psnr_db
    if old is None or new is None:
        return f"on val: fitness {after.fitness:.2f}, at the start {before.fitness:.2f}"
    return f"on val: {new:.2f} dB, at the start {old:.2f} dB: {new - old:+.2f} dB"


def references_line(found: References, split: Split) -> str:
    """`on val: noisy 12.3 dB, wavelet 23.9 dB, non-local means 25.6 dB`; without PSNR, the fitness of each."""
    measured = {found.baseline_name: found.baseline} | found.methods
    figures = [
        f"{name} {scores.fitness:.2f}" if scores.psnr_db is None else f"{name} {scores.psnr_db:.2f} dB"
        for name, scores in measured.items()
    ]
    what = "fitness " if found.baseline.psnr_db is None else ""
    return f"{what}on {split}: {', '.join(figures)}"


def loss_line(loss: WorkerLoss) -> str:
    """`worker-2 (process 4711) was lost: killed by SIGKILL; 3x3conv2d:16 is run again (attempt 2)`."""
    line = f"{loss.worker} (process {loss.pid}) was lost: {loss.reason}"
    if not loss.task:
        return line
    if loss.is_last:
        return f"{line}; {loss.task} is given up"
    return f"{line}; {loss.task} is run again (attempt {loss.attempt + loss.has_begun})"


_MAX_NEIGHBOURS, _MAX_EDGES = 0.15, 0.3
"""Largest correlations that are taken for noise. Measured on photographs: after 12 epochs under noise of 25
`5x5conv2d:32/reductions:1/skips:concat/residual` has -0.09 between neighbours and 0.02 with edges, and
`5x5conv2d:32,3x3conv2d:16` 0.15 and -0.21; this one after one epoch 0.34, under noise of 10 also 0.34, and 0.62 where
the noise was blurred by 0.7 pixels."""

_LEAST_SHARE = 0.5
"""Of the noise that there seems to be; where a model foretells little, the pixels stay much as they are. Of the models
above the first takes away 0.91, the second 0.72, and the three that are to be warned of 0.41, 0.39 and 0.27."""


def residual_warning(residual: Residual, *, is_training: bool = False) -> str:
    """What a person should know of what the model takes away; empty where it looks like noise.

    `is_training`: nothing was searched for, so that there are other options.
    """
    remedy = "--epochs), or a wider architecture" if is_training else "--final-epochs), or with more --filters"
    if residual.share is not None and residual.share < _LEAST_SHARE:
        return (
            f"the model takes away only {residual.share:.0%} of the noise that the validation images seem to have: "
            f"the rest stays; train longer ({remedy}"
        )
    found = []
    if residual.neighbours > _MAX_NEIGHBOURS:
        found.append(f"its neighbouring pixels correlate by {residual.neighbours:.2f}")
    if residual.edges > _MAX_EDGES:
        found.append(f"it is larger at edges (correlation {residual.edges:.2f})")
    if not found:
        return ""
    return (
        f"what the model takes away from the validation images is not only noise: {' and '.join(found)}; "
        f"it may blur detail: train longer ({remedy}"
    )


def _db(psnr_db: float | None, where: str = "") -> str:
    """A PSNR that begins a list of figures; empty where there is none."""
    return "" if psnr_db is None else f"{psnr_db:.2f} dB{where}, "
