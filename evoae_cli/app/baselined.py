"""What `random-baseline` and `show` print of a comparison, as lines."""

from collections.abc import Sequence
from pathlib import Path

from evoae_cli.app.tables import columns, genotype_lines
from evoae_cli.app.wording import db, wrapped
from evoae_cli.baseline.comparison import Side, Spread, shares
from evoae_cli.baseline.rivalfile import RivalRow
from evoae_cli.baseline.summary import BaselineSummary
from evoae_cli.counted import several


def baseline_lines(found: BaselineSummary, folder: Path, width: int | None) -> list[str]:
    """The whole comparison: what random architectures are like, the best of each side, and what that says."""
    beside = "" if found.against is None else f", beside {found.against}"
    lines = wrapped(f"random baseline of {found.objective} in {folder}{beside}: {found.state}", width)
    if found.random is not None:
        lines += ["", *(line for fact in spread_facts(found.random) for line in wrapped(fact, width))]
    if found.studies:
        lines += ["", *_side_lines(found, width)]
    if found.rivals:
        lines += ["", *_rival_lines(found)]
    if found.verdicts:
        lines += ["", *(line for verdict in found.verdicts for line in wrapped(verdict.line, width))]
    if found.trouble:
        lines += ["", *wrapped(found.trouble, width)]
    return lines


def baselines_lines(found: Sequence[BaselineSummary], width: int | None) -> list[str]:
    """One line for each comparison: name, objective, state, how many studies it has, and the search it is about."""
    rows = [["comparison", "objective", "state", "studies", "against"]]
    rows += [[one.baseline, one.objective, one.state, str(len(one.studies)), one.against or "-"] for one in found]
    return columns(rows, (3,), width)


def spread_facts(random: Spread) -> list[str]:
    """How good random architectures are, in sentences without their ends."""
    sd = "" if random.fitness_sd is None else f", standard deviation {random.fitness_sd:.2f}"
    facts = [
        f"{several(random.n, 'random architecture')} trained to the final budget, on val: "
        f"mean fitness {random.fitness_mean:.2f}{sd}, best {random.fitness_best:.2f} before it is trained once more",
    ]
    if random.psnr_mean_db is not None:
        facts.append(f"mean PSNR {db(random.psnr_mean_db)}, best {db(random.psnr_best_db)}")
    told = shares(random)
    return [*facts, ", ".join(told)] if told else facts


def _side_lines(found: BaselineSummary, width: int | None) -> list[str]:
    has_seeds = found.n_pairs > 1
    head = ["best of", *(["seed"] if has_seeds else []), "trained", "epochs", "val", "test", "SSIM", "parameters", ""]
    rows = [head, *(_row(side, has_seeds) for side in found.studies)]
    return genotype_lines(rows, tuple(range(1, len(head) - 1)), width)


def _row(side: Side, has_seed: bool) -> list[str]:
    parameters = "-" if side.parameters is None else f"{side.parameters:,}"
    ssim = "-" if side.test_ssim is None else f"{side.test_ssim:.3f}"
    return [
        side.part.title,
        *([str(side.part.seed)] if has_seed else []),
        str(side.n_candidates),
        str(side.epochs_in_all),
        db(side.val_db),
        db(side.test_db),
        ssim,
        parameters,
        side.genotype or "",
    ]


def _quality(row: RivalRow) -> float:
    """The figure that is shown: PSNR, or with noisy images only the fitness."""
    scores = row.found.scores
    return scores.fitness if scores.psnr_db is None else scores.psnr_db


def _rival_lines(found: BaselineSummary) -> list[str]:
    """What was measured on the same test images, the best first."""
    seed = "" if found.n_pairs == 1 else f", seed {min(side.part.seed for side in found.studies)}"
    rows = [[f"on test{seed}", "PSNR", "SSIM", "s per image", "parameters", "trained, s"]]
    for row in sorted(found.rivals, key=_quality, reverse=True):
        scores = row.found.scores
        rows.append(
            [
                row.name if row.found.n_bytes is None else f"{row.name}, {row.found.n_bytes:,.0f} bytes",
                db(scores.psnr_db) if scores.psnr_db is not None else f"fitness {scores.fitness:.2f}",
                "-" if scores.ssim is None else f"{scores.ssim:.3f}",
                "<0.0001" if row.found.image_s < 0.0001 else f"{row.found.image_s:.4f}",
                "-" if row.found.parameters is None else f"{row.found.parameters:,}",
                "-" if row.found.train_s is None else f"{row.found.train_s:.0f}",
            ]
        )
    return columns(rows, (1, 2, 3, 4, 5))
