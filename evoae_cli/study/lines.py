"""One line for each thing that happens in a study, for logs and pipes."""

from evoae_cli.engine.protocol import WorkerLoss
from evoae_cli.evaluation.contract import References, Split
from evoae_cli.evaluation.noise import describe_noise
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.snapshot import Snapshot
from evoae_cli.study.store import Record


def noise_text(config: StudyConfig) -> str:
    """The noise for people: `gaussian, standard deviation 73.6 on 0..255 (variance 0.333 on [-1, 1])`."""
    return "the pairs' own noise" if config.pairs is not None else describe_noise(config.corruption)


def evaluated_line(record: Record, snapshot: Snapshot) -> str:
    """`[12/62] generation 1: 24.1 dB, fitness 64.2, 6,043 parameters, 5.2 s: 3x3conv2d:16`."""
    found = record.evaluation
    where = f"[{snapshot.n_done}/{snapshot.n_expected}] generation {record.generation}: "
    if found.scores is None:
        return f"{where}{found.outcome} ({found.reason}), {record.run_s:.1f} s: {found.genotype}"
    return (
        f"{where}{found.scores.psnr_db:.2f} dB, fitness {found.fitness:.2f}, {found.parameters:,} parameters, "
        f"{record.run_s:.1f} s: {found.genotype}"
    )


def generation_line(number: int, snapshot: Snapshot) -> str:
    """`generation 3 of 10: best 24.6 dB, fitness 64.2: 3x3conv2d:16`."""
    best = snapshot.best[0]
    return (
        f"generation {number} of {snapshot.n_generations}: best {best.psnr_db:.2f} dB, "
        f"fitness {best.fitness:.2f}: {best.genotype}"
    )


def final_line(record: Record) -> str:
    """`finalist 1, seed 0: 26.0 dB on validation, fitness 84.1, 60.2 s: 3x3conv2d:16`."""
    found = record.evaluation
    where = f"finalist {record.number + 1}, seed {found.seed_index}: "
    if found.scores is None:
        return f"{where}{found.outcome} ({found.reason}): {found.genotype}"
    return (
        f"{where}{found.scores.psnr_db:.2f} dB on validation, fitness {found.fitness:.2f}, {record.run_s:.1f} s: "
        f"{found.genotype}"
    )


def references_line(found: References, split: Split) -> str:
    """`on val: noisy 12.3 dB, wavelet 23.9 dB, non-local means 25.6 dB`."""
    measured = {found.baseline_name: found.baseline} | found.methods
    return f"on {split}: " + ", ".join(f"{name} {scores.psnr_db:.2f} dB" for name, scores in measured.items())


def loss_line(loss: WorkerLoss) -> str:
    """`worker-2 (process 4711) was lost: killed by SIGKILL; 3x3conv2d:16 is run again (attempt 2)`."""
    line = f"{loss.worker} (process {loss.pid}) was lost: {loss.reason}"
    if not loss.task:
        return line
    if loss.is_last:
        return f"{line}; {loss.task} is given up"
    return f"{line}; {loss.task} is run again (attempt {loss.attempt + loss.has_begun})"
