"""What a comparison has come to so far: figures of its studies, and what they say about evolution. Free of torch."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import msgspec

from evoae_cli.baseline.intervals import Difference, difference
from evoae_cli.baseline.plan import Part, Plan
from evoae_cli.baseline.protocols import FAIR, PROTOCOLS, TITLES, Protocol
from evoae_cli.evaluation.figures import decibels
from evoae_cli.study.locate import is_study
from evoae_cli.study.store import Store
from evoae_cli.study.summary import summary

_UNEQUAL = 0.05
"""Share by which trained epochs may differ without a word."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How good architectures are that nobody has chosen, on val. A failed training counts as fitness 0."""

    n: int
    fitness_mean: float
    fitness_sd: float | None
    """Standard deviation; None of a single one."""
    fitness_best: float
    psnr_mean_db: float | None
    """Over those that did not fail; None with noisy images only, and where all failed."""
    psnr_best_db: float | None
    failed: float
    """Share of the trainings that failed ..."""
    collapsed: float | None
    """... of those that are no better than a constant image, failed ones among them; None where that was not measured
    ..."""
    worse_than_noisy: float | None
    """... and of those worse than `least`; None for manifold, which has no such image, and where it was not measured.
    """
    least: str = "noisy"
    """The image as it came, or with noisy images only the local median."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One study of a comparison."""

    part: Part
    study: str
    state: str
    n_candidates: int
    """Architectures trained before one was chosen."""
    epochs: int
    """Of each of them."""
    genotype: str | None
    """Of the best, once it is known."""
    final_epochs: int
    """Of its training: fewer than the setting says where time was short."""
    parameters: int | None
    val_fitness: float | None
    val_db: float | None
    test_db: float | None
    """Of the best, in decibels: PSNR, or with noisy images only 10 log10 of the fitness."""
    test_fitness: float | None
    test_ssim: float | None

    @property
    def epochs_in_all(self) -> int:
        """Of all candidates together."""
        return self.n_candidates * self.epochs


def shares(random: Spread) -> list[str]:
    """How many of random architectures are of no use, in words for people; without what was not measured."""
    least = "noisy images" if random.least == "noisy" else random.least
    found = (
        (random.collapsed, "no better than a constant image"),
        (random.worse_than_noisy, f"worse than the {least}"),
        (random.failed or None, "failed"),
    )
    return [f"{share:.0%} {what}" for share, what in found if share is not None]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Evolution less random, best against best, on test."""

    protocol: Protocol
    difference: Difference
    """In dB; above 0 where evolution is better."""
    evolution_epochs: int
    """Trained for all candidates of the searches ..."""
    random_epochs: int
    """... and of what they are compared with."""

    @property
    def line(self) -> str:
        """For people, as plain when evolution is not better."""
        found, other = self.difference, TITLES[self.protocol]
        size = f"{abs(found.mean):.2f}"
        is_equal = size == "0.00"
        if is_equal:
            better = f"evolution is {'on average ' if found.n > 1 else ''}as good as {other}"
        else:
            better = f"evolution is {size} dB {'better' if found.mean > 0 else 'worse'} than {other}"
        if abs(self.evolution_epochs - self.random_epochs) > _UNEQUAL * max(self.evolution_epochs, self.random_epochs):
            better += f", with {self.evolution_epochs:,} trained epochs against {self.random_epochs:,}"
        if self.protocol not in FAIR:
            return better
        if found.low is None or found.high is None:
            return f"{better}, in one pair; --seeds 5 tells how sure that is"
        interval = f"95 % interval {found.low:+.2f} to {found.high:+.2f} dB, {found.n} pairs"
        return f"{better} ({interval})" if found.is_sure or is_equal else f"{better}, which may be chance ({interval})"


def side_of(part: Part, folder: Path) -> Side | None:
    """What the study of `part` in `folder` has come to; None where there is none yet."""
    if not is_study(folder):
        return None
    found = summary(folder)
    best = found["best"] or {}
    test = best.get("test") or {}
    trained = [final["epochs"] for final in found["finalists"] if final["genotype"] == best.get("genotype")]
    return Side(
        part=part,
        study=str(folder),
        state=found["state"],
        n_candidates=found["counts"]["trained"],
        epochs=found["settings"]["epochs"],
        genotype=best.get("genotype"),
        final_epochs=max(trained, default=found["settings"]["final_epochs"]),
        val_fitness=best.get("fitness"),
        parameters=best.get("parameters"),
        val_db=decibels(best),
        test_db=decibels(test),
        test_fitness=test.get("fitness"),
        test_ssim=test.get("ssim"),
    )


def sides_of(folder: Path, plan: Plan) -> list[Side]:
    """All studies of a comparison that have begun, the search that it is about first."""
    first = plan.settings["seed"]
    named = [] if plan.against is None else [(Part(protocol="evolution", seed=first), Path(plan.against))]
    named += [(part, folder / part.name) for part in plan.parts]
    return [side for part, place in named if (side := side_of(part, place)) is not None]


def verdicts(sides: Sequence[Side]) -> list[Verdict]:
    """For each protocol what the pairs that are complete say."""
    known = {(side.part.protocol, side.part.seed): side for side in sides if side.test_db is not None}
    found = []
    for protocol in PROTOCOLS:
        pairs = [
            (known["evolution", seed], side)
            for (other, seed), side in known.items()
            if other == protocol and ("evolution", seed) in known
        ]
        if pairs:
            apart = [(evolution.test_db or 0.0) - (random.test_db or 0.0) for evolution, random in pairs]
            found.append(
                Verdict(
                    protocol=protocol,
                    difference=difference(apart),
                    evolution_epochs=sum(evolution.epochs_in_all for evolution, _ in pairs),
                    random_epochs=sum(random.epochs_in_all for _, random in pairs),
                )
            )
    return found


def spread_of(folder: Path) -> Spread | None:
    """How good the architectures of the study in `folder` are on val; None before the first was trained."""
    store = Store.read(folder)
    try:
        found = [record.evaluation for record in store.records("search", is_whole=True)]
        references = store.meta("references_val") or {}
    finally:
        store.close()
    if not found:
        return None
    fitness = [evaluation.fitness for evaluation in found]
    psnrs = [one.scores.psnr_db for one in found if one.scores is not None and one.scores.psnr_db is not None]
    constant, baseline = references.get("constant"), references.get("baseline")
    is_manifold = references.get("baseline_name") == "constant image"
    return Spread(
        n=len(found),
        fitness_mean=fmean(fitness),
        fitness_sd=stdev(fitness) if len(found) > 1 else None,
        fitness_best=max(fitness),
        psnr_mean_db=fmean(psnrs) if psnrs else None,
        psnr_best_db=max(psnrs) if psnrs else None,
        failed=_share(value == 0 for value in fitness),
        collapsed=_share_below(fitness, baseline if is_manifold else constant, is_equal_too=True),
        worse_than_noisy=None if is_manifold else _share_below(fitness, baseline),
        least=references.get("baseline_name", "noisy"),
    )


def _share_below(
    fitness: Sequence[float], reference: Mapping[str, Any] | None, *, is_equal_too: bool = False
) -> float | None:
    """The share that is worse than a reference; None where there is none."""
    if not reference or not reference["mse"]:
        return None
    limit = 1 / reference["mse"]
    return _share(value < limit or (is_equal_too and value == limit) for value in fitness)


def _share(answers: Iterable[bool]) -> float:
    return fmean(map(float, answers))
