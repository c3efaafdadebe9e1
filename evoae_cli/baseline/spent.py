"""What a search has trained, read from its store."""

from pathlib import Path

from evoae_cli.baseline.plan import Part, is_baseline, read_plan
from evoae_cli.baseline.protocols import Spent
from evoae_cli.errors import StudyError, UsageError
from evoae_cli.genome.genotype import n_layers
from evoae_cli.study.store import Store
from evoae_cli.study.summary import state_of

ENDED = ("done", "exhausted", "time-up")


def part_of(folder: Path) -> Part | None:
    """What the study in `folder` is in the comparison that it lies in; None for one that lies in none."""
    place = folder.resolve()
    if not is_baseline(place.parent):
        return None
    try:
        return next((part for part in read_plan(place.parent).parts if part.name == place.name), None)
    except StudyError:
        # A damaged plan is told where the comparison itself is asked for.
        return None


def spent_of(folder: Path) -> Spent:
    """What the search in `folder` has trained.

    Raises StudyError where there is no study, UsageError for one that has not ended, or that is no search.
    """
    store = Store.read(folder)
    try:
        settings = store.meta("settings") or {}
        if settings.get("genotype") is not None:
            raise UsageError(f"{folder} trains one architecture, without a search; name a study of evoae search")
        part = part_of(folder)
        if part is not None and part.protocol != "evolution":
            raise UsageError(f"{folder} trains random architectures ({part.title}); name a study of evoae search")
        if state_of(folder, store) not in ENDED:
            raise UsageError(f"the search in {folder} has not ended; finish it first: evoae resume {folder}")
        candidates = [record for record in store.records("search", is_whole=True) if record.generation >= 0]
        # A search that was gone on with has trained earlier ones, among which the winner was not chosen.
        finalists: list[str] = store.meta("finalists") or []
        finals = [one.evaluation for one in store.records("final") if one.evaluation.genotype in finalists]
    finally:
        store.close()
    if len(candidates) < 2:
        raise UsageError(f"the search in {folder} trained a single candidate, which is none; give it more time")
    lengths = tuple(n_layers(record.evaluation.genotype) for record in sorted(candidates, key=lambda one: one.number))
    return Spent(
        lengths=lengths,
        epochs=settings["epochs"],
        n_finalists=len({final.genotype for final in finals}),
        # Where time was short they were trained for a part of it.
        final_epochs=max(1, round(max((final.images_seen for final in finals), default=0) / settings["train_images"])),
    )
