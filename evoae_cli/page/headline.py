"""What stands at the top of a study's page: what was found in a sentence, and the large figures."""

from typing import Any

import msgspec

from evoae_cli.evaluation.figures import decibels, fitness_of
from evoae_cli.page.charts import Line
from evoae_cli.page.gather import Facts
from evoae_cli.page.wording import db, duration, number, short
from evoae_cli.study.snapshot import Counts


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One large figure."""

    value: str
    unit: str
    what: str


def headline_of(facts: Facts) -> str:
    """What was found, in a sentence that claims no more than there is."""
    best = facts.about["best"]
    if best is None:
        why = Counts(**facts.about["counts"]).nothing_yet(is_training=facts.is_training)
        return f"{why[0].upper()}{why[1:]}."
    split = "test" if best.get("test") else "val"
    own, rivals = best.get("test") or best, facts.about["references"][split]
    where = "on test images that no decision has seen" if split == "test" else "on validation, so far"
    if own["psnr_db"] is None:
        value = f"Fitness {own['fitness']:.1f} at hidden pixels {where}"
    else:
        value = f"{own['psnr_db']:.2f} dB {where}"
    if rivals is None or not rivals["methods"]:
        return f"{value}."
    name, scores = best_method(rivals if split == "val" else {"methods": rivals["methods"] | _bm3d(facts)})
    if own["psnr_db"] is None:
        there = fitness_of(scores)
        return f"{value}; {name}, the best classical method, has {number(there, 1)}."
    apart = own["psnr_db"] - scores["psnr_db"]
    return f"{value}: {abs(apart):.2f} dB {'above' if apart >= 0 else 'below'} {name}, the best classical method."


def _bm3d(facts: Facts) -> dict[str, dict[str, Any]]:
    """BM3D's scores on test, where a comparison has measured them."""
    rivals = () if facts.comparison is None else facts.comparison.rivals
    return {row.name: msgspec.to_builtins(row.found.scores) for row in rivals if row.name == "BM3D"}


def best_method(references: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and scores of the classical method that came closest; there must be one."""
    methods: dict[str, dict[str, Any]] = references["methods"]
    name = max(methods, key=lambda name: decibels(methods[name]) or 0.0)
    return name, methods[name]


def level_of(references: dict[str, Any] | None) -> Line | None:
    """The best classical method, or the least that there is, as a line in figures of fitness."""
    if references is None:
        return None
    name, scores = references["baseline_name"], references["baseline"]
    if references["methods"]:
        name, scores = best_method(references)
    fitness = fitness_of(scores)
    return None if fitness is None else Line(name=name, fitness=fitness)


def tiles_of(facts: Facts) -> tuple[Tile, ...]:
    """The large figures at the top."""
    about, best = facts.about, facts.about["best"]
    tiles = []
    if best is not None:
        split = "test" if best.get("test") else "val"
        own = best.get("test") or best
        where = {"test": "on test", "val": "on validation"}[split]
        if own["psnr_db"] is None:
            tiles.append(Tile(value=number(own["fitness"], 1), unit="", what=f"fitness at hidden pixels {where}"))
        else:
            tiles.append(Tile(value=db(own["psnr_db"]), unit="dB", what=f"PSNR {where}"))
            tiles.append(Tile(value=number(own["ssim"], 3), unit="", what=f"SSIM {where}"))
        costs = {
            "parameters": "parameters",
            "operations": "multiply-accumulates of one image",
            "code_values": _code_text(facts),
        }
        for name, what in costs.items():
            value, unit = short(best[name])
            tiles.append(Tile(value=value, unit=unit, what=what))
    counts = Counts(**about["counts"])
    what = "trainings" if facts.is_training else "architectures trained"
    failed = f", {counts.failed:,} of which failed" if counts.failed else ""
    tiles.append(Tile(value=f"{counts.trained:,}", unit="", what=what + failed))
    tiles.append(Tile(value=duration(about["active_s"]), unit="", what="in all"))
    return tuple(tiles)


def _code_text(facts: Facts) -> str:
    """How large the code is beside the image."""
    model, best = facts.model, facts.about["best"]
    try:
        height, width = (model or {})["image_size"]
        share = best["code_values"] / (height * width * (model or {})["network"]["channels"])
    except (KeyError, TypeError, ValueError):
        return "values in the code"
    return f"values in the code, {share:.3g} of the image's"
