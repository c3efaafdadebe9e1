"""The table of results, in the form of the paper's Tables 1 and 2: architectures and their fitness, and beside them
random search, classical methods and the least that there is. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.baseline.comparison import Side, shares
from evoae_cli.baseline.summary import BaselineSummary
from evoae_cli.errors import GenotypeError
from evoae_cli.evaluation.figures import decibels, fitness_of
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.page.gather import Facts
from evoae_cli.page.wording import db, number, whole

_MOST = 30
"""Rows of finalists that are shown."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table; all values as they are shown."""

    before: str = ""
    """What is said before the name."""
    name: str
    epochs: str = ""
    fitness: str = ""
    """On validation."""
    val_db: str = ""
    test_db: str = ""
    test_fitness: str = ""
    ssim: str = ""
    parameters: str = ""
    is_genotype: bool = False
    is_winner: bool = False


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that belong together."""

    title: str
    rows: tuple[Row, ...]
    note: str = ""


def groups_of(facts: Facts) -> tuple[Group, ...]:
    """The whole table of one study."""
    groups = [_finalists(facts)]
    if facts.comparison is not None:
        groups += _of_chance(facts.comparison, facts)
    groups += _references(facts.about["references"])
    return tuple(group for group in groups if group.rows)


def _of_chance(comparison: BaselineSummary, facts: Facts) -> list[Group]:
    """What chance found for the study's own seed: others have other test images, so they are in the note alone."""
    own = tuple(side for side in comparison.studies if side.part.seed == facts.about["seed"])
    found = random_groups(msgspec.structs.replace(comparison, studies=own), facts.about["references"])
    said = [*random_lines(comparison), f"this is the comparison {Path(comparison.baseline).name}"]
    note = " ".join(map(_sentence, said))
    return [msgspec.structs.replace(group, note=note if group is found[0] else "") for group in found]


def table_text(genotype: str) -> str:
    """A genotype as the paper's tables print it; one with layers of one's own as it is."""
    try:
        return parse_genotype(genotype).table_text
    except GenotypeError:
        return genotype


def _finalists(facts: Facts) -> Group:
    about = facts.about
    best, finalists = about["best"] or {}, about["finalists"]
    rows = []
    for final in finalists[:_MOST]:
        is_winner = _is_winner(final, best)
        test = best.get("test") if is_winner else None
        seed = f" (seed {final['seed_index']})" if facts.settings.get("final_seeds", 1) > 1 else ""
        if "fitness" not in final:
            rows.append(
                Row(
                    name=f"{table_text(final['genotype'])}{seed}",
                    epochs=str(final["epochs"]),
                    fitness=final["outcome"],
                    is_genotype=True,
                )
            )
            continue
        rows.append(
            Row(
                name=f"{table_text(final['genotype'])}{seed}",
                epochs=str(final["epochs"]),
                fitness=number(final["fitness"]),
                val_db=db(final["psnr_db"]),
                test_db=db(test["psnr_db"]) if test else "",
                test_fitness=number(test["fitness"]) if test else "",
                ssim=number(test["ssim"], 3) if test else "",
                parameters=whole(final["parameters"]),
                is_genotype=True,
                is_winner=is_winner and test is not None,
            )
        )
    # Of a random study as a comparison calls it.
    origin = "Evolution" if facts.part is None else f"{facts.part.title[:1].upper()}{facts.part.title[1:]}"
    title = "This architecture" if facts.is_training else f"{origin}: the finalists, ranked on validation"
    left_out = len(finalists) - len(rows)
    note = f"{left_out:,} more are left out. " if left_out else ""
    if not facts.is_training and rows:
        note += "Test was read once, for the winner alone."
    if not rows and best:
        title = f"{origin}: the best candidate so far"
        rows = [
            Row(
                name=table_text(best["genotype"]),
                epochs=str(facts.settings.get("epochs", "")),
                fitness=number(best["fitness"]),
                val_db=db(best["psnr_db"]),
                parameters=whole(best["parameters"]),
                is_genotype=True,
            )
        ]
    return Group(title=title, rows=tuple(rows), note=note)


def _is_winner(final: Mapping[str, Any], best: Mapping[str, Any]) -> bool:
    """The best is one of the finalists' trainings, which its exact figure on validation tells."""
    return bool(
        best.get("stage") == "final"
        and final["genotype"] == best["genotype"]
        and final.get("fitness") == best.get("fitness")
    )


def random_groups(found: BaselineSummary, references: Mapping[str, Any]) -> tuple[Group, ...]:
    """What chance found, and what else was measured on the same test images and is not among the references."""
    as_paper = []
    if found.random is not None:
        spread = found.random
        sd = "" if spread.fitness_sd is None else f" ± {spread.fitness_sd:.2f}"
        epochs = next((str(side.epochs) for side in found.studies if side.part.protocol == "paper"), "")
        as_paper.append(
            Row(
                name=f"mean of {spread.n:,} random architectures, as the paper",
                epochs=epochs,
                fitness=f"{spread.fitness_mean:.2f}{sd}",
                val_db=db(spread.psnr_mean_db),
            )
        )
    sides = [side for side in found.studies if side.part.protocol != "evolution" and side.genotype is not None]
    as_paper += [_side(side) for side in sides if side.part.protocol == "paper"]
    fair = [_side(side) for side in sides if side.part.protocol != "paper"]
    groups = (
        Group(title="Random architectures, all trained to the final budget", rows=tuple(as_paper)),
        Group(title="Random search, with about as many trained epochs", rows=tuple(fair)),
        _rivals(found, references),
    )
    return tuple(group for group in groups if group.rows)


def random_lines(found: BaselineSummary) -> list[str]:
    """How much better evolution is than chance, and how bad chance is, in sentences without their ends."""
    lines = [*(verdict.line for verdict in found.verdicts), *filter(None, [found.trouble])]
    if (random := found.random) is not None:
        lines += [f"of the random architectures: {', '.join(told)}"] if (told := shares(random)) else []
    return lines


def _side(side: Side) -> Row:
    assert side.genotype is not None
    return Row(
        before=f"best of {side.n_candidates:,}, {side.part.title}, seed {side.part.seed}: ",
        name=table_text(side.genotype),
        epochs=str(side.final_epochs),
        fitness=number(side.val_fitness),
        val_db=db(side.val_db),
        test_db=db(side.test_db),
        test_fitness=number(side.test_fitness),
        ssim=number(side.test_ssim, 3),
        parameters=whole(side.parameters),
        is_genotype=True,
    )


def _rivals(found: BaselineSummary, references: Mapping[str, Any]) -> Group:
    """What was measured on test besides, but for what the references have."""
    known = {side.part.title for side in found.studies} | set(((references["test"]) or {}).get("methods", {}))
    rows = [
        Row(
            name=row.name,
            test_db=db(row.found.scores.psnr_db),
            test_fitness=number(row.found.scores.fitness),
            ssim=number(row.found.scores.ssim, 3),
            parameters=whole(row.found.parameters),
        )
        for row in sorted(found.rivals, key=lambda row: row.found.scores.mse)
        if row.name not in known
    ]
    return Group(title="Others, on the same test images", rows=tuple(rows))


def _references(references: Mapping[str, Any]) -> list[Group]:
    val, test = references["val"], references["test"]
    some = test or val
    if some is None:
        return []
    methods = sorted(some["methods"], key=lambda name: -(decibels(some["methods"][name]) or 0.0))
    classical = [
        _reference(name, val and val["methods"].get(name), test and test["methods"].get(name)) for name in methods
    ]
    least = [_reference(some["baseline_name"], val and val["baseline"], test and test["baseline"])]
    if some.get("constant") is not None:
        least.append(_reference("constant image", val and val.get("constant"), test and test.get("constant")))
    return [
        Group(title="Classical methods, where they can be tuned on the training images", rows=tuple(classical)),
        Group(title="The least that there is", rows=tuple(least)),
    ]


def _reference(name: str, val: Mapping[str, Any] | None, test: Mapping[str, Any] | None) -> Row:
    return Row(
        name=name,
        fitness=number(fitness_of(val)) if val else "",
        val_db=db(val["psnr_db"]) if val else "",
        test_db=db(test["psnr_db"]) if test else "",
        test_fitness=number(fitness_of(test)) if test else "",
        ssim=number(test["ssim"], 3) if test else "",
    )


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."
