"""Whole searches with real workers, networks, files and signals."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from evoae_cli import load, resume, search
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.evaluation.evaluate import inputs_and_targets, score
from evoae_cli.evaluation.images import prepare_images
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import prepare
from evoae_cli.study.study import Study, StudyEvent, StudyResult
from evoae_cli.study.summary import history, read_snapshot, summary


def refuse(text: str) -> None:
    raise AssertionError(f"no warning was expected: {text}")


def created(folder: Path, **changes: Any) -> Study:
    return Study.create(resolve("denoise", SMALL | {"workers": 2} | changes), folder, warn=refuse)


def run_with(study: Study, act: Callable[[Study, StudyEvent], None]) -> StudyResult:
    return study.run(lambda event: act(study, event))


def weights_hash(folder: Path) -> str:
    """Of the delivered tensors alone: the description beside them names devices and folders."""
    from safetensors.torch import load_file, save

    return hashlib.sha256(save(load_file(folder / "best" / "model.safetensors"))).hexdigest()


def assert_same_course(folder: Path, other: Path) -> None:
    """Same history, best, finalists and test figures, bit for bit, down to the delivered weights."""
    assert history(folder) == history(other)
    mine, theirs = summary(folder), summary(other)
    for key in ("best", "finalists", "references"):
        assert mine[key] == theirs[key], key
    for key in ("proposed", "trained", "cache_hits", "in_flight_hits"):
        assert mine["counts"][key] == theirs["counts"][key]
    assert weights_hash(folder) == weights_hash(other)


def test_a_finished_study_holds_all_that_was_promised(finished_study: Path) -> None:
    found = summary(finished_study)
    assert found["state"] == "done"
    assert found["counts"]["trained"] == len(history(finished_study)) > 2
    assert found["best"]["genotype"] == found["finalists"][0]["genotype"]
    assert len(found["finalists"]) == 2
    assert found["best"]["test"]["psnr_db"] > 0
    assert set(found["references"]["test"]["methods"]) == {"wavelet", "total variation", "non-local means"}
    best = {path.name for path in (finished_study / "best").iterdir()}
    pictures = {"preview.png", "fitness.png", "pictures.npz", "classical.npz"}
    assert best == {"model.safetensors", "model.json", "history.csv", *pictures}
    described = json.loads((finished_study / "best" / "model.json").read_text())
    assert described["genotype"] == found["best"]["genotype"]
    assert described["metrics"]["val"]["fitness"] == found["best"]["fitness"]
    assert described["metrics"]["test"]["fitness"] == found["best"]["test"]["fitness"]
    assert read_snapshot(finished_study).state == "done"


def test_a_loaded_model_reproduces_its_stored_fitness(finished_study: Path) -> None:
    network = load(finished_study)
    described = network.metadata
    setup = prepare(resolve("denoise", SMALL), refuse)
    images = setup.requests(finished_study).images_ref
    for split in ("val", "test"):
        noisy, clean = inputs_and_targets(images, "cpu", 0, split, setup.config.corruption)
        fitness = score(network, noisy, clean).fitness
        assert fitness == pytest.approx(described["metrics"][split]["fitness"], rel=1e-4)


def test_a_finalist_is_trained_from_scratch_and_not_further(finished_study: Path) -> None:
    found = summary(finished_study)
    by_genotype = {row[1]: row[3] for row in history(finished_study)}
    for finalist in found["finalists"]:
        assert finalist["fitness"] != by_genotype[finalist["genotype"]]


def test_one_worker_gives_the_same_history_as_two(finished_study: Path, tmp_path: Path) -> None:
    search("denoise", study=tmp_path / "one", progress=False, workers=1, **SMALL)
    assert_same_course(tmp_path / "one", finished_study)


def test_what_is_foreseen_does_not_count_the_classical_methods(tmp_path: Path) -> None:
    foreseen: list[int] = []

    def look(study: Study, event: StudyEvent) -> None:
        if event.kind == "evaluated" and study.snapshot().generation == 0:
            foreseen.append(study.snapshot().n_expected)
            study.request_stop()

    run_with(created(tmp_path / "foreseen"), look)
    # Two at the start, two offspring for each, two finalists and one reading of test.
    assert set(foreseen) == {2 + 2 * 2 + 2 + 1}


def test_killed_workers_leave_no_trace_in_the_history(finished_study: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_a_busy_worker(study: Study, event: StudyEvent) -> None:
        busy = [worker for worker in study.snapshot().workers if worker.state == "training"]
        if event.kind in ("evaluated", "finalist") and busy and len(killed) < 2:
            killed.append(busy[0].pid)
            os.kill(busy[0].pid, signal.SIGKILL)

    result = run_with(created(tmp_path / "killed"), kill_a_busy_worker)
    assert len(killed) == 2
    assert result.state == "done"
    assert_same_course(tmp_path / "killed", finished_study)


def test_a_stopped_study_resumes_to_the_same_end(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"

    def stop_early(study: Study, event: StudyEvent) -> None:
        if event.kind == "evaluated":
            study.request_stop()

    result = run_with(created(folder), stop_early)
    assert result.state == summary(folder)["state"] == "interrupted"
    before = history(folder)
    assert 1 <= len(before) < len(history(finished_study))
    assert result.model is not None
    assert resume(folder, progress=False).state == "done"
    assert_same_course(folder, finished_study)


def test_a_killed_coordinator_loses_nothing_and_leaves_no_worker(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    script = (
        "import json, sys\n"
        "from evoae_cli.study.resolve import resolve\n"
        "from evoae_cli.study.study import Study\n"
        "from pathlib import Path\n"
        "config = resolve('denoise', json.loads(sys.argv[2]))\n"
        "study = Study.create(config, Path(sys.argv[1]), warn=print)\n"
        "def tell(event):\n"
        "    print(event.kind, *[worker.pid for worker in study.snapshot().workers], flush=True)\n"
        "study.run(tell)\n"
    )
    settings = json.dumps(SMALL | {"workers": 2})
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder), settings], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    pids: list[int] = []
    for line in process.stdout:
        kind, *numbers = line.split()
        if kind == "evaluated":
            pids = [int(number) for number in numbers]
            break
    os.kill(pids[0], signal.SIGSTOP)
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(pids) == 2
    wait_until_gone(pids)
    assert summary(folder)["state"] == "interrupted"
    before = history(folder)
    assert before
    assert resume(folder, progress=False).state == "done"
    assert_same_course(folder, finished_study)


def wait_until_gone(pids: list[int], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while alive := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"still running: {alive}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_more_generations_continue_as_if_asked_for_from_the_start(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "longer"
    search("denoise", study=folder, progress=False, workers=2, **SMALL | {"generations": 0})
    assert summary(folder)["state"] == "done"
    assert len(history(folder)) == 2
    resume(folder, progress=False, generations=1)
    assert_same_course(folder, finished_study)
    with pytest.raises(StudyError, match="--generations 0: the study has 1 already"):
        resume(folder, progress=False, generations=0)


def test_resuming_a_finished_study_trains_nothing(finished_study: Path) -> None:
    before = (finished_study / "best" / "model.safetensors").read_bytes()
    events: list[StudyEvent] = []
    result = Study.open(finished_study, warn=refuse).run(events.append)
    assert result.state == "done"
    assert not [event for event in events if event.kind in ("evaluated", "finalist")]
    assert (finished_study / "best" / "model.safetensors").read_bytes() == before


def test_a_study_in_use_is_refused_with_the_process_id(tmp_path: Path) -> None:
    folder = tmp_path / "used"
    study = created(folder)
    with pytest.raises(StudyError, match=f"in use by process {os.getpid()}"):
        Study.open(folder, warn=refuse)
    study.request_stop()
    assert study.run().state == "interrupted"


def test_other_images_than_the_studys_are_refused(tmp_path: Path) -> None:
    import numpy as np

    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        np.save(photos / f"{i}.npy", rng.integers(0, 256, (40, 40), dtype=np.uint8))
    folder = tmp_path / "study"
    study = created(folder, data=str(photos))
    study.request_stop()
    study.run()
    np.save(photos / "3.npy", rng.integers(0, 256, (40, 40), dtype=np.uint8))
    with pytest.raises(StudyError, match="have changed"):
        Study.open(folder, warn=refuse)


def test_a_space_with_nothing_left_ends_as_exhausted(tmp_path: Path) -> None:
    tiny = SMALL | {"kernels": (1,), "dropout": False, "max_layers": 1, "generations": 5}
    result = search("denoise", study=tmp_path / "tiny", progress=False, workers=1, **tiny)
    assert result.state == "exhausted"
    assert [row[1] for row in history(tmp_path / "tiny")] == ["1x1conv2d:8"]


def test_what_the_host_could_not_do_is_not_held_against_a_candidate(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mended"
    study = created(folder)
    images = Path(study.images.path)
    images.rename(images.with_suffix(".away"))
    try:
        with pytest.raises(EvoaeError, match=r"evoae-images.*mend this and resume"):
            study.run()
    finally:
        images.with_suffix(".away").rename(images)
    assert summary(folder)["state"] == "failed"
    assert history(folder) == []
    assert resume(folder, progress=False).state == "done"
    assert_same_course(folder, finished_study)


def test_weights_that_cannot_be_written_stop_the_study_until_they_can(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mended"

    def take_the_folder(study: Study, event: StudyEvent) -> None:
        if event.kind == "generation" and "generation 0" in event.line:
            (folder / "weights").rename(folder / "away")

    with pytest.raises(EvoaeError, match="weights"):
        run_with(created(folder), take_the_folder)
    assert all(row[2] == "ok" for row in history(folder))
    (folder / "away").rename(folder / "weights")
    assert resume(folder, progress=False).state == "done"
    assert_same_course(folder, finished_study)


def test_an_extension_leaves_the_winner_in_place_until_there_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "extended"
    # Finalists that are hardly trained: any candidate of the extension beats them.
    settings = SMALL | {"generations": 0, "epochs": 4, "final_epochs": 1, "train_images": 64, "finalists": 1}
    search("denoise", study=folder, progress=False, workers=2, **settings)
    delivered = (folder / "best" / "model.safetensors").read_bytes()

    def look_and_stop(study: Study, event: StudyEvent) -> None:
        if event.kind == "evaluated":
            study.request_stop()

    run_with(Study.open(folder, warn=refuse, generations=2), look_and_stop)
    described = json.loads((folder / "best" / "model.json").read_text())
    assert described["metrics"]["val"]["fitness"] == summary(folder)["best"]["fitness"]
    assert described["stage"] == "final"
    assert (folder / "best" / "model.safetensors").read_bytes() == delivered


def test_a_finalist_that_is_trained_again_is_tested_again(tmp_path: Path) -> None:
    folder = tmp_path / "lost"
    search("denoise", study=folder, progress=False, workers=2, **SMALL | {"generations": 0, "finalists": 1})
    before = summary(folder)
    for path in (folder / "weights").iterdir():
        path.unlink()
    kinds: list[str] = []
    Study.open(folder, warn=refuse).run(lambda event: kinds.append(event.kind))
    assert kinds.count("finalist") == 1
    assert summary(folder)["best"] == before["best"]


def test_other_hardware_is_warned_about_at_the_first_evaluation_on_it(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"

    def stop_early(study: Study, event: StudyEvent) -> None:
        if event.kind == "evaluated":
            study.request_stop()

    run_with(created(folder), stop_early)
    db = sqlite3.connect(folder / "study.db")
    db.execute("UPDATE evaluations SET record = json_set(record, '$.device', 'Another CPU')")
    db.commit()
    db.close()
    warned: list[str] = []
    events: list[StudyEvent] = []
    Study.open(folder, warn=warned.append).run(events.append)
    warnings = [event.line for event in events if event.kind == "warning"]
    assert len(warnings) == 1
    assert "Another CPU" in warnings[0]


def test_a_folder_of_images_is_found_again_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        np.save(tmp_path / "photos" / f"{i}.npy", rng.integers(0, 256, (40, 40), dtype=np.uint8))
    monkeypatch.chdir(tmp_path)
    study = created(Path("study"), data="photos")
    study.request_stop()
    study.run()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = Study.open(tmp_path / "study", warn=refuse)
    again.request_stop()
    assert again.run().state == "interrupted"


def test_what_others_put_into_the_folder_meanwhile_is_refused_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(StudyError, match=r"notes\.txt"):
        created(folder)
    assert (folder / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt"]


def test_manifold_learns_through_an_honest_bottleneck(tmp_path: Path) -> None:
    settings = SMALL | {"reductions": 2, "code_ratio": "1/8", "generations": 0, "finalists": 1}
    result = search("manifold", study=tmp_path / "manifold", progress=False, workers=2, **settings)
    best = result.summary["best"]
    assert best["code_values"] == 3 * 32 * 32 // 8
    assert result.summary["references"]["val"]["baseline_name"] == "constant image"
    network = load(tmp_path / "manifold")
    assert network.encode(torch.zeros(1, 3, 32, 32)).numel() == best["code_values"]


def test_a_search_for_a_manifold_finds_and_resumes_networks_behind_a_linear_code(tmp_path: Path) -> None:
    settings = SMALL | {"space": "skip", "reductions": 2, "generations": 1, "finalists": 1, "seed": 1}
    results = [
        search("manifold", study=tmp_path / name, progress=False, workers=n, **settings)
        for name, n in (("one", 1), ("two", 2))
    ]
    best, same = (result.summary["best"] for result in results)
    assert best == same
    assert best["genotype"].endswith("/residual")
    assert load(tmp_path / "one").decode(torch.zeros(1, 12, 8, 8)).shape == (1, 3, 32, 32)


def test_bad_images_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(EvoaeError):
        created(tmp_path / "study", data=str(tmp_path / "nowhere"))
    assert not (tmp_path / "study").exists()


def test_each_evaluation_has_a_seed_of_its_own_whoever_asks(finished_study: Path) -> None:
    requests = prepare(resolve("denoise", SMALL), refuse).requests(finished_study)
    text = "3x3conv2d:8"
    evaluations = [requests.search(text, 0.0), requests.final(text, 0), requests.final(text, 1)]
    evaluations.append(requests.search("1x1conv2d:8", 0.0))
    assert len({request.seed for request in evaluations}) == 4
    assert requests.search(text, 0.0).seed == requests.search(text, 9.0).seed


def test_the_same_photographs_have_the_same_fingerprint_in_every_study(finished_study: Path) -> None:
    images = prepare_images(
        "photographs",
        data_root=None,
        download=False,
        pixel_range=None,
        patch=32,
        crop=32,
        seed=0,
        n_val=4,
        n_test=4,
        warn=refuse,
    )
    assert images.fingerprint == summary(finished_study)["fingerprint"]


def test_only_what_leaves_the_history_as_it_is_may_change_on_resume(finished_study: Path) -> None:
    with pytest.raises(StudyError, match="lr cannot change in a study that has begun"):
        Study.open(finished_study, warn=refuse, lr=0.1)


def test_a_study_that_was_moved_goes_on_where_it_was(finished_study: Path, tmp_path: Path) -> None:
    def stop_early(study: Study, event: StudyEvent) -> None:
        if event.kind == "generation":
            study.request_stop()

    run_with(created(tmp_path / "before"), stop_early)
    (tmp_path / "before").rename(tmp_path / "after")
    assert resume(tmp_path / "after", progress=False).state == "done"
    assert_same_course(tmp_path / "after", finished_study)


def test_evaluations_of_different_hardware_are_warned_about_once(tmp_path: Path) -> None:
    """Also where the first results after a resume come together: they are compared with what was stored before."""
    folder, runner = tmp_path / "moved", "evoae_cli.bench.hashed:start"
    config = resolve("denoise", SMALL | {"workers": 2, "population": 8, "filters": (4, 8, 16)})
    study = Study.create(config, folder, warn=refuse, runner=runner)
    run_with(study, lambda study, event: study.request_stop() if event.kind == "evaluated" else None)
    with closing(sqlite3.connect(folder / "study.db")) as db:
        db.execute("UPDATE evaluations SET record = json_set(record, '$.device', 'another processor')")
        db.commit()
    warnings: list[str] = []

    def stop_after_ten(study: Study, event: StudyEvent) -> None:
        if event.kind == "warning":
            warnings.append(event.line)
        if event.kind == "evaluated" and study.snapshot().n_done >= 10:
            study.request_stop()

    run_with(Study.open(folder, warn=refuse, runner=runner), stop_after_ten)
    [warning] = warnings
    assert "different hardware" in warning
    assert "another processor" in warning
