"""One evaluation, from request to result, on real image files."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch
from gradients import gradients

from evoae_cli.errors import GenotypeError, UsageError
from evoae_cli.evaluation.contract import (
    Augmentation,
    Evaluation,
    EvaluationRequest,
    ImagesRef,
    NetworkSpec,
    Recipe,
    ReferencesRequest,
    Split,
    Stage,
    derive_seed,
)
from evoae_cli.evaluation.evaluate import evaluate, exam_for, inputs_and_targets, outputs, score
from evoae_cli.evaluation.hardware import total_memory
from evoae_cli.evaluation.imagefile import LabelledImage, open_image_file, pixels, write_image_file
from evoae_cli.evaluation.metrics import exam_scores, scores
from evoae_cli.evaluation.noise import gaussian, parse_noise
from evoae_cli.evaluation.references import measure_references
from evoae_cli.evaluation.reproducible import seeded
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.outcome import Outcome
from evoae_cli.phenotype.autoencoder import build

RECIPE = Recipe(
    epochs=1,
    epoch_images=64,
    batch_size=8,
    crop=16,
    augmentation=Augmentation(flips=True),
    lr=5e-3,
    schedule="cosine",
    precision="float32",
    channels_last=True,
)
NOISE = gaussian(0.5)

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImagesRef:
    return gradients(tmp_path_factory.mktemp("cache"))


def request(images: ImagesRef, text: str = "3x3conv2d:8", **changes: object) -> EvaluationRequest:
    stage: Stage = "search"
    usual = EvaluationRequest(
        genotype=text,
        objective="denoise",
        stage=stage,
        study_seed=3,
        seed=derive_seed(3, text, stage, 0),
        network=NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same"),
        recipe=RECIPE,
        images=images,
        noise=NOISE,
        threads=1,
    )
    return msgspec.structs.replace(usual, **changes)


def same_science(a: Evaluation, b: Evaluation) -> bool:
    """Equal in everything but the time they took."""
    timeless = [msgspec.structs.replace(e, train_s=0.0, evaluate_s=0.0, weights=None) for e in (a, b)]
    return timeless[0] == timeless[1]


def test_a_search_evaluation_says_all_that_was_found(images: ImagesRef) -> None:
    shares: list[float] = []
    found = evaluate(request(images), "cpu", shares.append)
    assert found.outcome is Outcome.OK
    assert found.reason == ""
    assert found.scores is not None
    assert found.fitness == 1 / found.scores.mse > 0
    assert (found.genotype, found.stage, found.images_seen) == ("3x3conv2d:8", "search", 64)
    assert found.parameters == sum(
        p.numel() for p in build(parse_genotype("3x3conv2d:8"), request(images).network).parameters()
    )
    assert found.code_values == 16 * 16 * 16
    assert found.train_s > 0
    assert found.evaluate_s > 0
    assert found.device
    assert (found.dtype, found.torch) == ("float32", torch.__version__)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_more_training_gives_a_better_fitness(images: ImagesRef) -> None:
    longer = msgspec.structs.replace(RECIPE, epochs=10)
    assert evaluate(request(images, recipe=longer), "cpu").fitness > 2 * evaluate(request(images), "cpu").fitness


def test_a_manifold_evaluation_sees_no_noise(images: ImagesRef) -> None:
    noisy, clean = inputs_and_targets(images, "cpu", 3, "val", None)
    assert noisy is clean
    network = NetworkSpec(channels=3, reductions=2, code_channels=12, decoder="mirrored")
    found = evaluate(request(images, objective="manifold", noise=None, network=network), "cpu")
    assert found.outcome is Outcome.OK
    assert found.code_values == 32 * 32 * 3 / 4


def test_an_evaluation_is_equal_bit_for_bit_whatever_ran_before(images: ImagesRef) -> None:
    asked = [
        request(
            images, "3x3conv2d:8,dropout2d,2x2conv2d:4", recipe=msgspec.structs.replace(RECIPE, precision=precision)
        )
        for precision in ("float32", "bfloat16")
    ]
    first = [evaluate(each, "cpu") for each in asked]
    evaluate(request(images, "5x5conv2d:4,dropout2d", seed=99, noise=gaussian(0.3)), "cpu")
    fresh_process = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS], input=msgspec.msgpack.encode(asked), capture_output=True, check=True
    )
    fresh = msgspec.msgpack.decode(fresh_process.stdout, type=list[Evaluation])
    with torch.random.fork_rng():
        torch.manual_seed(1234)
        state = torch.random.get_rng_state()
        for once, again, elsewhere in zip(first, [evaluate(each, "cpu") for each in asked], fresh, strict=True):
            assert same_science(once, again)
            assert same_science(once, elsewhere)
        assert torch.equal(state, torch.random.get_rng_state())
    assert evaluate(msgspec.structs.replace(asked[0], seed=5), "cpu").fitness != first[0].fitness


FRESH_PROCESS = """
import sys, msgspec
from evoae_cli.evaluation.contract import EvaluationRequest
from evoae_cli.evaluation.evaluate import evaluate
requests = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[EvaluationRequest])
sys.stdout.buffer.write(msgspec.msgpack.encode([evaluate(request, "cpu") for request in requests]))
"""


def test_torch_s_settings_are_put_back(images: ImagesRef) -> None:
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    evaluate(request(images), "cpu")
    assert (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()) == before


def test_kept_weights_score_the_same_again_and_are_read_for_test(images: ImagesRef, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    found = evaluate(request(images, "3x3conv2d:8,dropout2d", weights_out=str(path)), "cpu")
    assert found.weights == str(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]

    network = build(parse_genotype("3x3conv2d:8,dropout2d"), request(images).network)
    network.load_state_dict(safetensors.torch.load_file(path))
    again = score(network, *inputs_and_targets(images, "cpu", 3, "val", NOISE))
    assert again.fitness == pytest.approx(found.fitness, rel=1e-5)

    tested = evaluate(request(images, "3x3conv2d:8,dropout2d", stage="test", weights_in=str(path)), "cpu")
    assert tested.outcome is Outcome.OK
    assert tested.images_seen == 0
    expected = score(network, *inputs_and_targets(images, "cpu", 3, "test", NOISE))
    assert tested.fitness == pytest.approx(expected.fitness, rel=1e-5)
    assert tested.fitness != found.fitness
    # Noise of one strength: its figure is the figure.
    assert tested.scores is not None
    assert tested.psnr_by_strength == {"63.75": pytest.approx(tested.scores.psnr_db)}
    assert found.psnr_by_strength == {}


def test_with_noisy_images_only_the_hidden_pixels_are_scored_and_nothing_else_is_claimed(
    images: ImagesRef, tmp_path: Path
) -> None:
    path = str(tmp_path / "model.safetensors")
    asked = request(images, "3x3conv2d:8", noise=None, noisy_only=True, weights_out=path)
    found = evaluate(asked, "cpu")
    assert found.scores is not None
    assert (found.scores.psnr_db, found.scores.psnr_pooled_db, found.scores.ssim) == (None, None, None)
    assert (found.residual, found.psnr_by_strength) == (None, {})
    assert same_science(found, evaluate(asked, "cpu"))
    network = build(parse_genotype("3x3conv2d:8"), asked.network)
    network.load_state_dict(safetensors.torch.load_file(path))
    exam = exam_for(asked, "cpu", "val")
    assert exam_scores(outputs(network, exam.given), exam).mse == pytest.approx(found.scores.mse, rel=1e-5)

    # What is left of the images is looked at where it counts: in the final trainings.
    final = evaluate(msgspec.structs.replace(asked, stage="final"), "cpu")
    assert final.residual is not None
    tested = evaluate(msgspec.structs.replace(asked, stage="test", weights_in=path, weights_out=None), "cpu")
    assert (tested.outcome, tested.residual, tested.psnr_by_strength) == (Outcome.OK, None, {})


@pytest.mark.parametrize("text", ["gaussian:5-75", "poisson:10-90", "salt-pepper:0.05-0.2", "speckle:0.1-0.5"])
def test_one_model_serves_a_range_and_is_tested_at_each_of_its_strengths(
    images: ImagesRef, tmp_path: Path, text: str
) -> None:
    path, noise = tmp_path / "model.safetensors", parse_noise(text)
    images = msgspec.structs.replace(images, n_test=7)
    recipe = msgspec.structs.replace(RECIPE, epochs=4)
    found = evaluate(request(images, noise=noise, recipe=recipe, weights_out=str(path)), "cpu")
    assert found.fitness > 0
    tested = evaluate(request(images, noise=noise, stage="test", weights_in=str(path)), "cpu")
    by_strength = tested.psnr_by_strength
    assert [float(strength) for strength in by_strength] == pytest.approx(noise.strengths, rel=1e-3)
    assert tested.scores is not None
    # Seven images: the first two strengths have two each.
    psnr = list(by_strength.values())
    assert (2 * psnr[0] + 2 * psnr[1] + sum(psnr[2:])) / 7 == pytest.approx(tested.scores.psnr_db)
    # The least noise is the strongest light of the one kind and the weakest strength of the others.
    assert by_strength == dict(sorted(by_strength.items(), key=lambda item: item[1], reverse=noise.kind != "poisson"))


def test_weights_are_kept_only_above_the_given_fitness(images: ImagesRef, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    found = evaluate(request(images, weights_out=str(path), keep_above=1e9), "cpu")
    assert found.outcome is Outcome.OK
    assert found.weights is None
    assert not list(tmp_path.iterdir())


def test_scoring_switches_dropout_off(images: ImagesRef) -> None:
    network = build(parse_genotype("dropout2d,3x3conv2d:8"), request(images).network).train()
    noisy, clean = inputs_and_targets(images, "cpu", 3, "val", NOISE)
    found = score(network, noisy, clean)
    with torch.no_grad():
        assert found.mse == pytest.approx(scores(network.eval()(noisy), clean).mse, rel=1e-6)


def test_the_noise_on_val_is_fixed_and_what_the_baseline_measures(images: ImagesRef) -> None:
    noisy, clean = inputs_and_targets(images, "cpu", 3, "val", NOISE)
    assert scores(noisy, clean).mse == pytest.approx(0.25, rel=0.1)
    other, _ = inputs_and_targets(images, "cpu", 4, "val", NOISE)
    assert not torch.equal(noisy, other)


def test_a_training_that_diverges_is_a_result_with_fitness_0(images: ImagesRef) -> None:
    recipe = msgspec.structs.replace(RECIPE, lr=1e30, schedule="constant")
    found = evaluate(request(images, "3x3conv2d:8,3x3conv2d:8", recipe=recipe), "cpu")
    assert (found.outcome, found.fitness, found.scores) == (Outcome.DIVERGED, 0.0, None)
    assert "nan" in found.reason
    assert found.parameters > 0


def test_weights_that_the_last_step_spoilt_are_a_result_with_fitness_0(images: ImagesRef) -> None:
    """The only loss was finite; the score on val is not."""
    recipe = msgspec.structs.replace(RECIPE, epoch_images=8, lr=1e30, schedule="constant")
    found = evaluate(request(images, "3x3conv2d:8,3x3conv2d:8", recipe=recipe), "cpu")
    assert (found.outcome, found.fitness, found.scores) == (Outcome.DIVERGED, 0.0, None)
    assert found.reason == "the mean squared error on val is nan"


def test_a_training_that_needs_more_memory_than_there_is_ends_untried(images: ImagesRef) -> None:
    recipe = msgspec.structs.replace(RECIPE, epoch_images=65536, batch_size=65536, crop=32)
    huge = request(images, ",".join(["7x7conv2d:64"] * 10), recipe=recipe)
    shares: list[float] = []
    # One step of it would take hours.
    found = evaluate(huge, "cpu", shares.append)
    assert (found.outcome, found.fitness, found.images_seen, found.train_s) == (Outcome.OOM, 0.0, 0, 0.0)
    needed, present = re.fullmatch(
        r"training needs about ([\d,.]+) GiB, cpu has ([\d,.]+) GiB; smaller batches or crops need less", found.reason
    ).groups()
    assert float(present.replace(",", "")) == pytest.approx(total_memory("cpu") / 2**30, abs=0.1)
    assert float(needed.replace(",", "")) > 100
    assert found.parameters > 0
    assert shares == []


def test_weights_are_tested_whatever_their_training_would_need(images: ImagesRef, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    evaluate(request(images, weights_out=str(path)), "cpu")
    recipe = msgspec.structs.replace(RECIPE, batch_size=2**32)
    tested = evaluate(request(images, stage="test", weights_in=str(path), recipe=recipe), "cpu")
    assert tested.outcome is Outcome.OK


LIMITED_PROCESS = """
import resource, sys, msgspec
from evoae_cli.evaluation.contract import EvaluationRequest
from evoae_cli.evaluation.evaluate import evaluate
small, large = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=tuple[EvaluationRequest, EvaluationRequest])
evaluate(small, "cpu")  # everything is loaded before memory is limited
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(sys.argv[1]) * 2**20,) * 2)
found = [evaluate(large, "cpu"), evaluate(small, "cpu")]
sys.stdout.buffer.write(msgspec.msgpack.encode(found))
"""


def in_limited_memory(
    small: EvaluationRequest, large: EvaluationRequest, mebibytes: int
) -> tuple[Evaluation, Evaluation]:
    """The large evaluation in that much memory beyond a loaded process, and the small one after it."""
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED_PROCESS, str(mebibytes)],
        input=msgspec.msgpack.encode((small, large)),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return msgspec.msgpack.decode(ended.stdout, type=tuple[Evaluation, Evaluation])


@pytest.mark.skipif(sys.platform != "linux", reason="the address space can be limited on Linux only")
def test_memory_that_runs_out_is_retried_smaller_and_then_a_result_and_the_process_goes_on(images: ImagesRef) -> None:
    small = request(images)
    recipe = msgspec.structs.replace(RECIPE, epoch_images=32, batch_size=32, crop=40)
    # One activation of this batch takes 50 MB: the whole does not fit, a quarter of it does.
    large = request(images, "1x1conv2d:256,1x1conv2d:256", recipe=recipe)
    # How much a library sets aside for itself differs between machines, so the limit between the two is looked for.
    for mebibytes in range(250, 650, 50):
        found, after = in_limited_memory(small, large, mebibytes)
        assert same_science(after, evaluate(small, "cpu"))
        if found.outcome is Outcome.OK:
            break
    assert (found.outcome, found.micro_batches, found.images_seen) == (Outcome.OK, 4, 32)
    # The same steps as with all of the batch at once, up to rounding.
    assert found.fitness == pytest.approx(evaluate(large, "cpu").fitness, rel=1e-3)

    hopeless, after = in_limited_memory(small, large, 60)
    assert (hopeless.outcome, hopeless.fitness) == (Outcome.OOM, 0.0)
    assert "memory" in hopeless.reason
    assert "\n" not in hopeless.reason
    assert same_science(after, evaluate(small, "cpu"))


WATCHED_PROCESS = """
import resource, sys, msgspec, torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from evoae_cli.evaluation.contract import EvaluationRequest
from evoae_cli.evaluation.evaluate import evaluate

class Watch(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.storages, self.built, self.peaks = {}, [], []

    def live(self):
        self.storages = {key: held for key, held in self.storages.items() if not held[0].expired()}
        return sum(n_bytes for _, n_bytes in self.storages.values())

    def __torch_dispatch__(self, operation, types, arguments=(), settings=None):
        if operation is torch.ops.aten.uniform_.default and arguments[0].shape[:2] == (256, 3):
            # An attempt draws its first weights.
            self.built.append(self.live())
            self.peaks.append(0)
        result = operation(*arguments, **(settings or {}))
        for tensor in result if isinstance(result, tuple) else (result,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        if self.peaks:
            self.peaks[-1] = max(self.peaks[-1], self.live())
        return result

small, large = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=tuple[EvaluationRequest, EvaluationRequest])
with Watch():
    evaluate(small, "cpu")  # everything is loaded before memory is limited
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(sys.argv[1]) * 2**20,) * 2)
with Watch() as watch:
    found = evaluate(large, "cpu")
sys.stdout.buffer.write(msgspec.msgpack.encode((found, watch.built, watch.peaks, watch.live())))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the address space can be limited on Linux only")
def test_what_an_attempt_held_is_given_back_before_the_next(images: ImagesRef) -> None:
    recipe = msgspec.structs.replace(RECIPE, epoch_images=32, batch_size=32, crop=40)
    large = request(images, "1x1conv2d:256,1x1conv2d:256", recipe=recipe)
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED_PROCESS, "150"],
        input=msgspec.msgpack.encode((request(images), large)),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    found, built, peaks, left = msgspec.msgpack.decode(ended.stdout, type=tuple[Evaluation, list[int], list[int], int])
    assert len(built) == 2
    # The first attempt got as far as an activation of the whole batch, 50 MB.
    assert peaks[0] > 50e6
    # The mapped images, 40 kB, stay, and what is scored, 49 kB each way; both may be first seen in the first attempt.
    # The network's weights alone would be 260 kB.
    assert built[1] - built[0] < 150e3
    assert left - built[0] < 150e3
    assert found.outcome in (Outcome.OK, Outcome.OOM)


LIMITED_IMAGES = """
import resource, sys, msgspec
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import EvaluationRequest
from evoae_cli.evaluation.evaluate import evaluate
small, large = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=tuple[EvaluationRequest, EvaluationRequest])
evaluate(small, "cpu")  # loads libraries and starts threads before memory is limited
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(sys.argv[1]) * 2**20,) * 2)
try:
    print(evaluate(large, "cpu").outcome)
except EvoaeError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the address space can be limited on Linux only")
@pytest.mark.parametrize("mebibytes", [50, 150])  # too little to map the file; enough for that, not for its patches
def test_images_that_do_not_fit_are_no_fault_of_the_candidate(
    images: ImagesRef, tmp_path: Path, mebibytes: int
) -> None:
    pixels = np.zeros((5000, 5000, 1), np.uint8)
    labelled = [LabelledImage(split, split, pixels) for split in ("train", "val", "test")]
    file = write_image_file(labelled, low=(0.0,), high=(255.0,), source="zeros", cache=tmp_path)
    large = ImagesRef(path=file.path, fingerprint=file.fingerprint, patch=32, n_val=20_000, n_test=1)
    network = msgspec.structs.replace(request(images).network, channels=1)
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED_IMAGES, str(mebibytes)],
        input=msgspec.msgpack.encode((request(images), request(large, network=network))),
        capture_output=True,
        check=False,
    )
    found = ended.stdout.decode()
    assert found.startswith("EvoaeError the images do not fit on cpu: "), found + ended.stderr.decode()
    assert found.count("\n") == 1


def test_a_residual_manifold_begins_with_the_principal_components_of_the_training_images(images: ImagesRef) -> None:
    network = NetworkSpec(channels=3, reductions=3, code_channels=3, decoder="same", is_manifold=True)
    text = "3x3conv2d:8/reductions:1/skips:add/residual"
    asked = request(images, text, objective="manifold", noise=None, network=network)
    barely = msgspec.structs.replace(asked, recipe=msgspec.structs.replace(RECIPE, lr=1e-9))
    found, trained = (evaluate(each, "cpu") for each in (barely, asked))
    # The gradients have one constant and two slopes in each channel.
    assert found.scores is not None
    assert found.code_values == 3 * 4 * 4
    clean = inputs_and_targets(images, "cpu", 3, "val", None)[1]
    blocks = clean.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(0, 2).flatten(1)
    left_out = torch.linalg.svdvals(blocks - blocks.mean(0))[3:].square().sum() / blocks.numel()
    assert float(left_out) < found.scores.mse < 0.01 < float(clean.var())
    assert same_science(trained, evaluate(asked, "cpu"))
    assert trained.fitness != found.fitness


def test_scores_do_not_depend_on_how_many_images_are_scored_at_once(images: ImagesRef) -> None:
    with seeded(1, "cpu"):
        network = build(parse_genotype("3x3conv2d:8,2x2conv2d:4"), request(images).network)
    noisy, clean = (torch.cat([x] * 12) for x in inputs_and_targets(images, "cpu", 3, "val", NOISE))
    at_once, one_by_one = score(network, noisy, clean), score(network, noisy, clean, n_parts=1000)
    for name in ("mse", "psnr_db", "psnr_pooled_db", "ssim"):
        assert getattr(one_by_one, name) == pytest.approx(getattr(at_once, name), rel=1e-6)


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_an_evaluation_is_equal_bit_for_bit_too(images: ImagesRef, precision: str) -> None:
    recipe = msgspec.structs.replace(RECIPE, precision=precision)
    asked = request(images, "3x3conv2d:8,dropout2d,2x2conv2d:4", recipe=recipe)
    first = evaluate(asked, "cuda:0")
    assert first.outcome is Outcome.OK
    evaluate(request(images, "5x5conv2d:4,dropout2d", seed=99, noise=gaussian(0.3)), "cuda:0")
    torch.cuda.manual_seed(1234)
    assert same_science(first, evaluate(asked, "cuda:0"))
    assert evaluate(msgspec.structs.replace(asked, seed=5), "cuda:0").fitness != first.fitness


@needs_gpu
def test_on_a_gpu_memory_that_runs_out_is_a_result_and_the_next_evaluation_goes_on(images: ImagesRef) -> None:
    small = request(images)
    before = evaluate(small, "cuda:0")
    recipe = msgspec.structs.replace(RECIPE, epoch_images=1024, batch_size=1024, crop=40)
    large = request(images, "1x1conv2d:256,1x1conv2d:256", recipe=recipe)
    # One activation of this batch takes 1.7 GB, one of a quarter 0.4 GB.
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 0.3e9 / total))
    try:
        found = evaluate(large, "cuda:0")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (found.outcome, found.fitness) == (Outcome.OOM, 0.0)
    assert "memory ran out, also in micro-batches" in found.reason
    assert "\n" not in found.reason
    assert same_science(before, evaluate(small, "cuda:0"))


def test_a_genotype_that_cannot_be_read_is_refused(images: ImagesRef) -> None:
    with pytest.raises(GenotypeError):
        evaluate(request(images, "5x4conv2d:16"), "cpu")


def test_the_images_of_another_study_are_refused(images: ImagesRef) -> None:
    other = msgspec.structs.replace(images, fingerprint="0" * 64)
    with pytest.raises(UsageError, match="holds other images"):
        evaluate(msgspec.structs.replace(request(images), images=other), "cpu")


@pytest.fixture(scope="module")
def pairs(images: ImagesRef, tmp_path_factory: pytest.TempPathFactory) -> ImagesRef:
    """The gradients with noise of standard deviation 40 on 0..255, rounded to 8 bits as a camera's."""
    file = open_image_file(images.path)
    flat, rng = pixels(file), np.random.default_rng(4)
    labelled = []
    for entry in file.images:
        clean = flat[entry.offset :][: entry.height * entry.width * 3].reshape(entry.height, entry.width, 3)
        noisy = (clean + rng.normal(0, 40, clean.shape)).round().clip(0, 255).astype(np.uint8)
        labelled.append(LabelledImage(entry.name, entry.split, np.stack((noisy, clean), axis=2)))
    cache = tmp_path_factory.mktemp("cache")
    written = write_image_file(labelled, low=file.low, high=file.high, source="pairs", cache=cache)
    return msgspec.structs.replace(images, path=written.path, fingerprint=written.fingerprint)


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_network_is_scored_on_the_stored_noisy_pixels_to_the_last_bit(pairs: ImagesRef, split: Split) -> None:
    file = open_image_file(pairs.path)
    given, clean = inputs_and_targets(pairs, "cpu", 3, split, 0.0)
    assert given.shape == clean.shape == (4, 3, 32, 32)
    stored = [
        pixels(file)[entry.offset :][: entry.height * entry.width * 6].reshape(entry.height, entry.width, 2, 3)
        for entry in file.of(split)
    ]
    for one_given, one_clean in zip(given, clean, strict=True):
        patch = torch.stack((one_given, one_clean)).permute(2, 3, 0, 1)
        places = [
            (number, top, left)
            for number, image in enumerate(stored)
            for top in range(image.shape[0] - 31)
            for left in range(image.shape[1] - 31)
            if torch.equal(patch, (torch.tensor(image[top : top + 32, left : left + 32]) - 127.5) / 127.5)
        ]
        assert len(places) == 1


def test_training_on_pairs_learns_to_remove_their_noise(pairs: ImagesRef) -> None:
    recipe = msgspec.structs.replace(RECIPE, epochs=12)
    found = evaluate(request(pairs, recipe=recipe, noise=None), "cpu")
    assert found.scores is not None
    given, clean = inputs_and_targets(pairs, "cpu", 3, "val", 0.0)
    assert found.scores.psnr_db > scores(given, clean).psnr_db + 2
    assert same_science(found, evaluate(request(pairs, recipe=recipe, noise=None), "cpu"))


def test_classical_methods_are_told_how_strong_the_noise_of_pairs_is(pairs: ImagesRef) -> None:
    asked = ReferencesRequest(objective="denoise", split="val", study_seed=3, images=pairs, noise=None, threads=1)
    found = measure_references(asked)
    given, clean = inputs_and_targets(pairs, "cpu", 3, "val", 0.0)
    assert (found.baseline_name, found.baseline) == ("noisy", scores(given, clean))
    # A method that is told of too little noise leaves it in, of too much smears the gradients.
    assert {name: scored.psnr_db > found.baseline.psnr_db + 5 for name, scored in found.methods.items()} == {
        "wavelet": True,
        "total variation": True,
        "non-local means": True,
    }
