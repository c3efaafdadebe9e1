"""The adapter between a task's bytes and the science, on a real image file."""

import resource
from pathlib import Path

import msgspec
import numpy as np
import pytest
from requested import small_request

from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Evaluation, ImagesRef, References, ReferencesRequest, RivalRequest
from evoae_cli.evaluation.hardware import device_model
from evoae_cli.evaluation.imagefile import LabelledImage, write_image_file
from evoae_cli.outcome import Outcome
from evoae_cli.worker.evaluation import start


@pytest.fixture
def images(tmp_path: Path) -> ImagesRef:
    noise = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), dtype=np.uint8)
    labelled = [
        LabelledImage(split, split, pixels) for split, pixels in zip(("train", "val", "test"), noise, strict=True)
    ]
    file = write_image_file(labelled, low=(0.0,), high=(255.0,), source="noise", cache=tmp_path)
    return ImagesRef(path=str(file.path), fingerprint=file.fingerprint, patch=16, n_val=2, n_test=2)


def test_a_request_comes_back_as_its_evaluation(images: ImagesRef) -> None:
    model, run = start("cpu", 1)
    assert model == device_model("cpu")
    outcome, payload, reason = run(msgspec.msgpack.encode(small_request(images)), lambda share: None)
    evaluation = msgspec.msgpack.decode(payload, type=Evaluation)
    assert (outcome, reason) == (Outcome.OK, "")
    assert evaluation.fitness > 0
    assert evaluation.genotype == "3x3conv2d:4,3x3conv2d:4"


def test_a_failed_evaluation_is_named_in_the_outcome_and_the_reason(images: ImagesRef) -> None:
    _, run = start("cpu", 1)
    outcome, payload, reason = run(msgspec.msgpack.encode(small_request(images, lr=1e30)), lambda share: None)
    evaluation = msgspec.msgpack.decode(payload, type=Evaluation)
    assert (outcome, evaluation.outcome) == (Outcome.DIVERGED, Outcome.DIVERGED)
    assert reason == evaluation.reason != ""


def test_references_are_measured_too(images: ImagesRef) -> None:
    _, run = start("cpu", 1)
    asked = ReferencesRequest(objective="manifold", split="val", study_seed=0, images=images, noise=None, threads=1)
    outcome, payload, _ = run(msgspec.msgpack.encode(asked), lambda share: None)
    assert outcome is Outcome.OK
    assert msgspec.msgpack.decode(payload, type=References).baseline_name == "constant image"


def test_a_rival_that_cannot_be_is_a_result_and_no_failure_of_the_host(images: ImagesRef) -> None:
    _, run = start("cpu", 1)
    small = RivalRequest(
        rival="JPEG", objective="manifold", study_seed=0, images=images, noise=None, threads=1, n_bytes=50.0
    )
    outcome, payload, reason = run(msgspec.msgpack.encode(small), lambda share: None)
    assert (outcome, payload) == (Outcome.CRASHED, b"")
    assert reason == "no JPEG of 50 bytes holds an image of 16x16 pixels"


def test_bytes_that_are_no_request_are_refused() -> None:
    _, run = start("cpu", 1)
    with pytest.raises(msgspec.ValidationError):
        run(msgspec.msgpack.encode({"type": "nonsense"}), lambda share: None)


def test_images_that_are_gone_are_no_fault_of_the_candidate(images: ImagesRef) -> None:
    _, run = start("cpu", 1)
    gone = msgspec.structs.replace(images, path=images.path + ".gone", fingerprint="0" * 64)
    with pytest.raises(EvoaeError, match=r"\.gone"):
        run(msgspec.msgpack.encode(small_request(gone)), lambda share: None)


def test_weights_that_cannot_be_written_are_no_fault_of_the_candidate(images: ImagesRef, tmp_path: Path) -> None:
    _, run = start("cpu", 1)
    path = tmp_path / "weights"
    asked = small_request(images, weights_out=str(path / "1.safetensors"))
    with pytest.raises(FileNotFoundError) as caught:
        run(msgspec.msgpack.encode(asked), lambda share: None)
    assert str(path) in caught.value.filename


def test_a_full_disk_is_told_with_the_file_that_found_no_room(images: ImagesRef, tmp_path: Path) -> None:
    _, run = start("cpu", 1)
    path = str(tmp_path / "1.safetensors")
    asked = msgspec.msgpack.encode(small_request(images, weights_out=path))
    # A limit to the size of files stands in for a full disk: the write fails likewise, and names no file.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            run(asked, lambda share: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == path
