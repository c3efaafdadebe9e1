"""Reads all that a page says of a study, from its folder alone: neither its images nor PyTorch are needed."""

import contextlib
import json
import tomllib
from pathlib import Path
from typing import Any, get_args

import msgspec

from evoae_cli.baseline.noted import noted_comparisons
from evoae_cli.baseline.plan import PLAN, Part, is_baseline, read_plan
from evoae_cli.baseline.spent import ENDED, part_of
from evoae_cli.baseline.summary import BaselineSummary, baseline_state, baseline_summary
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Stage
from evoae_cli.evaluation.picturefile import CLASSICAL_PICTURES, MODEL_PICTURES, PictureFile, read_pictures
from evoae_cli.study.locate import BEST, SETTINGS, runs_folder
from evoae_cli.study.model import DESCRIPTION
from evoae_cli.study.store import Record, Store
from evoae_cli.study.summary import summary


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One study at one moment."""

    folder: Path
    title: str
    """How a page calls it."""
    about: dict[str, Any]
    """The object of `evoae show --json`."""
    candidates: tuple[Record, ...]
    """All of the search, in the order of their proposals."""
    history: tuple[Record, ...]
    """Of them those of its history, which where time was up ends before the first proposal that was left out."""
    finals: tuple[Record, ...]
    """All trainings to the final budget."""
    runs: tuple[Record, ...]
    """Every evaluation of every stage, in the order in which they ended."""
    events: tuple[tuple[float, str, str], ...]
    """The diary: seconds since the epoch, kind, text."""
    model: dict[str, Any] | None
    """`best/model.json`; None before there is a model."""
    record: dict[str, Any]
    """What `study.toml` says was found: images, versions. Empty where that file is missing."""
    pictures: PictureFile | None
    classical: PictureFile | None
    comparison: BaselineSummary | None
    """With random architectures, where one has been made of this study."""
    part: Part | None
    """What it is in the comparison that it lies in; None for a study of its own."""

    @property
    def settings(self) -> dict[str, Any]:
        """Every resolved setting; those of other versions may lack some."""
        settings: dict[str, Any] = self.about["settings"]
        return settings

    @property
    def is_training(self) -> bool:
        """Whether it trains one architecture, without a search."""
        return self.settings.get("genotype") is not None

    @property
    def is_random(self) -> bool:
        """Whether its architectures were drawn at random for a comparison, and nothing evolved."""
        return self.part is not None and self.part.protocol != "evolution"

    @property
    def is_ended(self) -> bool:
        """Whether it has come to its end, with a winner."""
        return self.about["state"] in ENDED

    @property
    def is_noisy_only(self) -> bool:
        """Whether there are no clean images, so that no PSNR can be known."""
        return bool(self.settings.get("noisy_only"))

    @property
    def is_manifold(self) -> bool:
        """Whether it looks for a small code."""
        return bool(self.about["objective"] == "manifold")


def gather(folder: Path, title: str | None = None) -> Facts:
    """Everything about the study in `folder`. Raises StudyError where there is none."""
    about = summary(folder)
    store = Store.read(folder)
    try:
        history = tuple(store.records("search"))
        by_stage: dict[str, tuple[Record, ...]] = {
            stage: tuple(store.records(stage, is_whole=True)) for stage in get_args(Stage)
        }
        events = tuple(store.events())
    finally:
        store.close()
    runs = sorted((record for records in by_stage.values() for record in records), key=lambda one: one.finished_at)
    return Facts(
        folder=folder,
        title=title or folder.absolute().name,
        about=about,
        candidates=by_stage["search"],
        history=history,
        finals=by_stage["final"],
        runs=tuple(runs),
        events=events,
        model=_model(folder),
        record=_record(folder),
        pictures=read_pictures(folder / BEST / MODEL_PICTURES),
        classical=read_pictures(folder / BEST / CLASSICAL_PICTURES),
        comparison=comparison_with(folder),
        part=part_of(folder),
    )


def comparison_with(study: Path) -> BaselineSummary | None:
    """The comparison of random architectures with `study` that says most: first one that is done, then that of most
    studies, then the newest; of those that it has a note of, those beside it, and those in the runs folder.
    """
    found = [folder.resolve() for folder in noted_comparisons(study) if is_baseline(folder)]
    for place in {runs_folder().resolve(), study.resolve().parent}:
        try:
            found += [folder.resolve() for folder in place.iterdir() if is_baseline(folder)]
        except OSError:
            continue
    mine: list[tuple[bool, int, int, Path]] = []
    # One that cannot be read is no reason to have no page of a study that can.
    unreadable = EvoaeError, OSError
    for folder in set(found):
        with contextlib.suppress(*unreadable):
            plan = read_plan(folder)
            if plan.against is not None and Path(plan.against).resolve() == study.resolve():
                is_done, newest = baseline_state(folder, plan) == "done", (folder / PLAN).stat().st_mtime_ns
                mine.append((is_done, len(plan.parts), newest, folder))
    for *_, folder in sorted(mine, reverse=True):
        with contextlib.suppress(*unreadable):
            return baseline_summary(folder)
    return None


def _model(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / BEST / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _record(folder: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads((folder / SETTINGS).read_text(encoding="utf-8")).get("record", {})
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
