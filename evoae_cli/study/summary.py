"""What a study has come to, read from its folder by anyone at any time. Free of torch and numpy."""

from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.errors import StudyError
from evoae_cli.evaluation.contract import Evaluation
from evoae_cli.study.front import front_of
from evoae_cli.study.locate import LIVE
from evoae_cli.study.lock import lock_holder
from evoae_cli.study.resolve import resolve
from evoae_cli.study.snapshot import ArchitectureRow, Counts, Snapshot, State
from evoae_cli.study.store import Record, Store

_N_SHOWN = 20
"""Newest failures and lost workers of a summary: enough to see what is wrong."""


def score_figures(evaluation: Evaluation | None) -> dict[str, Any] | None:
    """Fitness, PSNR and SSIM of an evaluation, by the names that `show --json` and `model.json` use.

    `psnr_by_strength` is there on test alone, with the strengths of the noise and the PSNR at each.
    """
    if evaluation is None or evaluation.scores is None:
        return None
    scores = evaluation.scores
    return {
        "fitness": scores.fitness,
        "mse": scores.mse,
        "psnr_db": scores.psnr_db,
        "psnr_pooled_db": scores.psnr_pooled_db,
        "ssim": scores.ssim,
        **({"psnr_by_strength": evaluation.psnr_by_strength} if evaluation.psnr_by_strength else {}),
    }


def summary(folder: Path) -> dict[str, Any]:
    """The object that `evoae show --json` prints. Raises StudyError if `folder` is no study."""
    store = Store.read(folder)
    try:
        settings = store.meta("settings")
        if settings is None:
            raise StudyError(f"study {folder} was never started; delete it and search again")
        events = store.events()
        return {
            "study": str(folder),
            "objective": settings["objective"],
            "state": state_of(folder, store),
            "seed": settings["seed"],
            "settings": settings,
            "noise": _noise(settings),
            "fingerprint": store.meta("fingerprint"),
            "active_s": store.meta("active_s", 0.0),
            "best": _best(store, settings),
            "start": _start(store, settings),
            "front": [msgspec.to_builtins(row) for row in _front(store, settings)],
            "counts": msgspec.to_builtins(Counts()) | store.meta("counts", {}),
            "finalists": _finalists(store),
            "references": {split: store.meta(f"references_{split}") for split in ("val", "test")},
            "warnings": [text for _, kind, text in events if kind == "warning"],
            "failures": [_failure(record) for record in store.failures(_N_SHOWN)],
            "lost_workers": [text for _, kind, text in events if kind == "lost"][-_N_SHOWN:],
        }
    finally:
        store.close()


def delivered(folder: Path) -> Evaluation:
    """The training whose model a study has delivered. Raises StudyError where there is none."""
    store = Store.read(folder)
    try:
        winner = store.meta("winner")
        record = None if winner is None else store.find("final", *winner)
    finally:
        store.close()
    if record is None:
        raise StudyError(f"study {folder} has delivered no model; bring it to its end: evoae resume {folder}")
    return record.evaluation


def history(folder: Path) -> list[list[Any]]:
    """`[generation, genotype, outcome, fitness]` of each evaluation, in the order of their proposals."""
    store = Store.read(folder)
    try:
        return store.history()
    finally:
        store.close()


def read_snapshot(folder: Path) -> Snapshot:
    """The newest snapshot of a study, at most about a second old while it runs. Raises StudyError if there is none."""
    try:
        snapshot = msgspec.json.decode((folder / LIVE).read_bytes(), type=Snapshot)
    except (OSError, msgspec.MsgspecError):
        raise StudyError(f"study {folder} has shown nothing yet; wait a second, or: evoae show {folder}") from None
    if snapshot.state in ("running", "stopping") and lock_holder(folder) is None:
        return msgspec.structs.replace(snapshot, state="interrupted", workers=(), helpers=())
    return snapshot


def state_of(folder: Path, store: Store) -> State:
    """The study's state; one that says it runs while no process holds it was interrupted without a word."""
    state: State = store.meta("state", "interrupted")
    return "interrupted" if state == "running" and lock_holder(folder) is None else state


def _noise(settings: dict[str, Any]) -> str:
    """The noise for people; settings of another version of evoae may have other names beside those it depends on."""
    known = {key: settings.get(key) for key in ("data", "noise", "sigma2", "noisy_only", "pairs")}
    return resolve(settings["objective"], known).noise_text


def _best(store: Store, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The delivered model once there is a winner, else the best candidate so far."""
    winner = store.meta("winner")
    record: Record | None
    if winner is not None:
        genotype, seed_index = winner
        record, tested = store.find("final", genotype, seed_index), store.find("test", genotype, seed_index)
    else:
        record, tested = store.best("search" if settings.get("genotype") is None else "final"), None
    if record is None:
        return None
    found = record.evaluation
    return {
        "genotype": found.genotype,
        **(score_figures(found) or {}),
        "parameters": found.parameters,
        "operations": found.operations,
        "code_values": found.code_values,
        "stage": found.stage,
        "test": score_figures(tested.evaluation) if tested is not None else None,
    }


def _start(store: Store, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What a training went on from, and how good that was on val; None where it was from scratch, and for a search."""
    if settings.get("from_model") is None:
        return None
    record = store.find("start", settings["genotype"])
    return {"study": settings["from_model"], **((record and score_figures(record.evaluation)) or {})}


def _front(store: Store, settings: dict[str, Any]) -> tuple[ArchitectureRow, ...]:
    """The candidates that none dominates; none where fitness is the only objective, as it once always was."""
    return front_of(
        (record.evaluation for record in store.records("search", is_whole=True)), settings.get("objectives", ())
    )


def _failure(record: Record) -> dict[str, Any]:
    found = record.evaluation
    return {
        "genotype": found.genotype,
        "stage": found.stage,
        "outcome": str(found.outcome),
        "reason": found.reason,
        "log": found.log,
        "attempt": record.attempt,
    }


def _finalists(store: Store) -> list[dict[str, Any]]:
    """The finalists in the order of their ranking on val; each training of each."""
    ranking: list[str] = store.meta("finalists", [])
    n_images: int = store.meta("settings")["train_images"]
    place = {genotype: i for i, genotype in enumerate(ranking)}
    records = [record for record in store.records("final") if record.evaluation.genotype in place or not ranking]
    # Until all are trained, in the order of what is known of them.
    records.sort(key=lambda record: -record.evaluation.fitness)
    records.sort(key=lambda record: place.get(record.evaluation.genotype, 0))
    return [
        {
            "genotype": record.evaluation.genotype,
            "seed_index": record.evaluation.seed_index,
            "outcome": str(record.evaluation.outcome),
            "reason": record.evaluation.reason,
            "parameters": record.evaluation.parameters,
            "epochs": record.evaluation.images_seen // n_images,
            **(score_figures(record.evaluation) or {}),
        }
        for record in records
    ]
