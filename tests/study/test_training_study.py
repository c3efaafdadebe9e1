"""Whole trainings of one architecture, with real workers, networks, files and signals."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from scripted import RUNNER, Script

import evoae_cli
from evoae_cli import load, resume, train
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import EvoaeError, StudyError, UsageError
from evoae_cli.study.ground import old_ground
from evoae_cli.study.model import save_model
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settings import OF_SEARCH
from evoae_cli.study.settingsfile import read_settings
from evoae_cli.study.setup import prepare
from evoae_cli.study.study import Study, StudyEvent, StudyResult
from evoae_cli.study.summary import read_snapshot, summary
from evoae_cli.study.trainsettings import resolve_training

GENOTYPE = "3x3conv2d:8,1x1conv2d:8"
SETTINGS: dict[str, Any] = {name: value for name, value in SMALL.items() if name not in OF_SEARCH} | {
    "epochs": 2,
    "workers": 1,
}
LONG = {"train_images": 512, "epochs": 12, "heartbeat_interval_s": 0.1}
"""Some seconds of training, in which it is told how far it is: time to be killed in."""


def refuse(text: str) -> None:
    raise AssertionError(f"no warning was expected: {text}")


def trained(folder: Path, **changes: Any) -> StudyResult:
    return train("denoise", study=folder, progress=False, **{"genotype": GENOTYPE} | SETTINGS | changes)


def created(folder: Path, **changes: Any) -> Study:
    config = resolve_training("denoise", SETTINGS | LONG | changes, genotype=GENOTYPE)
    return Study.create(config, folder, warn=refuse)


def weights_hash(folder: Path) -> str:
    """Of the delivered tensors alone: the description beside them names folders."""
    from safetensors.torch import load_file, save

    return hashlib.sha256(save(load_file(folder / "best" / "model.safetensors"))).hexdigest()


def figures(folder: Path) -> dict[str, Any]:
    """All that must repeat."""
    found = summary(folder)
    return {key: found[key] for key in ("best", "finalists", "references")} | {"weights": weights_hash(folder)}


@contextmanager
def in_mid_training(study: Study, *acts: Callable[[int], None]) -> Iterator[None]:
    """Within the block each act is called, with the process id of a worker that is some way into a training.

    The next one waits until the training has been begun again.
    """
    left, seen, over = list(acts), set[int | None](), threading.Event()

    def watch() -> None:
        while left and not over.wait(0.005):
            for worker in study.snapshot().workers:
                is_midway = worker.task.startswith("final ") and 0.1 < worker.progress < 0.9
                if is_midway and left and worker.pid is not None and worker.pid not in seen:
                    seen.add(worker.pid)
                    left.pop(0)(worker.pid)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert left == [], "the training was over before anybody saw it"


@pytest.fixture(scope="module")
def long_training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training in which nothing went wrong; tests only read it."""
    folder = tmp_path_factory.mktemp("trainings") / "long"
    assert created(folder).run().state == "done"
    return folder


@pytest.fixture(scope="module")
def further(finished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a search, trained further, which leaves the search's study as it was; tests only read it."""
    folder = tmp_path_factory.mktemp("trainings") / "further"
    before = {path: path.read_bytes() for path in finished_study.rglob("*") if path.is_file()}
    train(from_model=finished_study, study=folder, progress=False, epochs=3, workers=1)
    assert {path: path.read_bytes() for path in finished_study.rglob("*") if path.is_file()} == before
    return folder


def test_each_seed_is_a_training_and_the_first_repeats_that_of_a_searchs_finalist_bit_for_bit(
    finished_study: Path, tmp_path: Path
) -> None:
    searched = summary(finished_study)
    genotype = searched["best"]["genotype"]
    result = trained(tmp_path / "seeds", genotype=genotype, final_seeds=2)
    finals = {final["seed_index"]: final for final in result.summary["finalists"]}
    assert finals[0] == searched["finalists"][0]
    assert finals[1]["fitness"] != finals[0]["fitness"]
    assert result.summary["best"]["fitness"] == max(final["fitness"] for final in finals.values())
    assert result.summary["references"] == searched["references"]
    assert result.summary["counts"]["trained"] == 2


def test_a_finished_training_is_a_study_with_a_model_and_without_a_search(long_training: Path) -> None:
    found = summary(long_training)
    assert (found["counts"]["trained"], found["counts"]["proposed"]) == (1, 0)
    assert found["start"] is None
    assert load(long_training).metadata["genotype"] == found["best"]["genotype"] == GENOTYPE
    assert found["best"]["test"]["psnr_db"] > 0
    assert set(found["references"]["test"]["methods"]) == {"wavelet", "total variation", "non-local means"}
    best = {path.name for path in (long_training / "best").iterdir()}
    assert best == {"model.safetensors", "model.json", "preview.png", "pictures.npz", "classical.npz", "history.csv"}
    [_, row] = (long_training / "best" / "history.csv").read_text().splitlines()
    assert GENOTYPE in row
    snapshot = read_snapshot(long_training)
    assert (snapshot.state, snapshot.phase, snapshot.n_done, snapshot.n_expected) == ("done", "finished", 2, 2)
    assert [worker for worker in snapshot.workers if worker.state == "lost"] == []


def test_a_lost_worker_and_an_end_midway_leave_no_trace_in_the_weights(long_training: Path, tmp_path: Path) -> None:
    study = created(tmp_path / "killed")
    with in_mid_training(study, lambda pid: os.kill(pid, signal.SIGKILL), lambda pid: study.kill()):
        assert study.run().state == "interrupted"
    assert not (tmp_path / "killed" / "best" / "model.safetensors").exists()
    result = resume(tmp_path / "killed", progress=False)
    assert (result.state, result.summary["counts"]["lost_leases"]) == ("done", 1)
    assert figures(tmp_path / "killed") == figures(long_training)


def test_further_training_starts_from_the_model_and_says_how_much_it_changed(
    finished_study: Path, further: Path
) -> None:
    found, source = summary(further), summary(finished_study)
    assert found["start"]["study"] == str(finished_study)
    assert found["start"]["fitness"] == pytest.approx(source["best"]["fitness"], rel=1e-6)
    assert found["best"]["genotype"] == source["best"]["genotype"]
    # A start from scratch does not come so far in as many epochs.
    assert found["best"]["fitness"] > source["best"]["fitness"]
    assert found["references"] == source["references"]
    assert found["settings"]["epochs"] == 3


def test_further_training_repeats_and_needs_the_first_study_only_to_begin(
    finished_study: Path, further: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(finished_study, tmp_path / "source"))
    config = resolve_training(None, {"epochs": 3}, start=str(copy))
    study = Study.create(config, tmp_path / "begun", warn=refuse)
    study.kill()
    assert study.run().state == "interrupted"
    shutil.rmtree(copy)
    (tmp_path / "begun").rename(tmp_path / "moved")
    assert resume(tmp_path / "moved", progress=False).state == "done"
    assert figures(tmp_path / "moved") == figures(further)


def test_the_draws_of_further_training_follow_the_weights_that_it_starts_from(tmp_path: Path) -> None:
    """So that each is a new lesson, and the same one each time it is given."""
    setup = prepare(resolve_training("denoise", SETTINGS, genotype=GENOTYPE), refuse)
    seeds = [
        msgspec.structs.replace(setup, start=start).requests(tmp_path).final(GENOTYPE, 0).seed
        for start in (None, "a", "b", "a")
    ]
    assert len(set(seeds)) == 3
    assert seeds[1] == seeds[3]


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_start_that_is_lost_or_changed_is_named_on_resume(
    further: Path, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    copy = Path(shutil.copytree(further, tmp_path / "copy"))
    spoil(copy / "start.safetensors")
    with pytest.raises(StudyError, match=r"start\.safetensors"):
        resume(copy, progress=False)


def test_what_a_person_should_know_of_further_training_is_a_warning(finished_study: Path, tmp_path: Path) -> None:
    """That figures may flatter on images the start may have seen; that it made the model worse."""
    with (
        pytest.warns(UserWarning, match="other images than the start was trained on"),
        pytest.warns(UserWarning, match="no better on validation"),
    ):
        train(
            from_model=finished_study, study=tmp_path / "w", progress=False, epochs=1, workers=1, lr=1.0, range=(0, 250)
        )


def test_a_training_that_fails_says_so_and_how_to_try_again(script: Script, tmp_path: Path) -> None:
    script.write({f"final {GENOTYPE}": "oom"})
    config = resolve_training("denoise", SETTINGS | {"device": "cpu"}, genotype=GENOTYPE)
    study = Study.create(config, tmp_path / "failing", warn=refuse, runner=RUNNER)
    with pytest.raises(EvoaeError, match=r"training failed: .*--retry-failed"):
        study.run()
    assert summary(tmp_path / "failing")["state"] == "failed"
    script.write()
    again = Study.open(tmp_path / "failing", warn=refuse, runner=RUNNER, is_retrying=True)
    assert again.run().state == "done"


def test_the_settings_file_repeats_the_training(long_training: Path, further: Path) -> None:
    for folder in (long_training, further):
        stored = read_settings(folder)
        assert not set(stored) & set(OF_SEARCH)
        config = resolve_training(None, {}, file=stored)
        assert msgspec.json.decode(msgspec.json.encode(config)) == summary(folder)["settings"]


def test_a_study_from_before_there_were_trainings_still_resumes(finished_study: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished_study, tmp_path / "old"))
    with closing(sqlite3.connect(copy / "study.db")) as db:
        [text] = db.execute("SELECT value FROM meta WHERE key='settings'").fetchone()
        old = {key: value for key, value in json.loads(text).items() if key not in ("genotype", "from_model")}
        db.execute("UPDATE meta SET value=? WHERE key='settings'", (json.dumps(old),))
        db.commit()
    assert summary(copy)["start"] is None
    ground = old_ground(copy, refuse, False, {})
    ground.store.close()
    ground.lock.release()
    assert not ground.setup.config.is_training


def test_search_takes_no_architecture_to_train() -> None:
    with pytest.raises(UsageError, match=r"use evoae_cli\.train"):
        evoae_cli.search("denoise", genotype=GENOTYPE, progress=False)


MANIFOLD = SETTINGS | {"space": "skip", "reductions": 3, "code_ratio": "1/8"}
RESIDUAL = "3x3conv2d:8/reductions:2/skips:add,none/residual"


def test_a_residual_manifold_is_trained_with_the_code_of_a_search_and_further(tmp_path: Path) -> None:
    begun = train("manifold", genotype=RESIDUAL, study=tmp_path / "first", progress=False, **MANIFOLD)
    first = begun.summary["best"]
    assert first["genotype"] == RESIDUAL
    # Blocks of 8x8 pixels, however often the network behind them halves.
    assert load(begun.folder).encode(torch.zeros(1, 3, 32, 32)).shape == (1, 24, 4, 4)
    further = train(from_model=begun.folder, study=tmp_path / "further", progress=False, epochs=1).summary
    assert further["start"]["mse"] == first["mse"]
    assert further["best"]["parameters"] == first["parameters"]


def test_the_file_of_a_search_gives_a_residual_manifold_the_network_that_the_search_gave_it() -> None:
    config = resolve("manifold", {"preset": "quick", "code_ratio": "1/8"})
    file = msgspec.to_builtins(config)
    training = resolve_training("manifold", {}, genotype="3x3conv2d:8/reductions:2/residual", file=file)
    assert (training.reductions, training.code_ratio) == (config.reductions, "1/8") == (3, "1/8")
    assert resolve_training("manifold", {"reductions": 4}, genotype=RESIDUAL).reductions == 4
    # Without a linear code the reductions are the network's own.
    assert resolve_training("manifold", {}, genotype="3x3conv2d:8/reductions:2", file=file).reductions == 2


def test_a_model_described_before_there_were_linear_codes_is_trained_further(tmp_path: Path) -> None:
    genotype = "3x3conv2d:8/reductions:2"
    begun = train(
        "manifold", genotype=genotype, study=tmp_path / "first", progress=False, **MANIFOLD | {"reductions": 2}
    )
    described = evoae_cli.load_model(begun.folder).metadata
    del described["network"]["is_manifold"]
    save_model(begun.folder / "best", begun.folder / "best" / "model.safetensors", described)
    further = train(from_model=begun.folder, study=tmp_path / "further", progress=False, epochs=1).summary
    assert further["start"]["mse"] == begun.summary["best"]["mse"]


def test_a_listener_that_fails_when_it_is_told_of_a_picture_ends_the_study(tmp_path: Path) -> None:
    """It is called by the thread of the study, which enters it into the diary too."""

    class HeardError(Exception):
        pass

    def listen(event: StudyEvent) -> None:
        if event.kind == "warning":
            raise HeardError(event.line)

    study = created(tmp_path / "study", train_images=32, epochs=1)
    (tmp_path / "study" / "best").write_text("in the way")
    with pytest.raises(HeardError, match="best/ could not be renewed: "):
        study.run(listen)
    assert any("best/ could not be renewed" in line for line in summary(tmp_path / "study")["warnings"])
