"""What crosses the border between the search and an evaluation: small frozen values, free of torch.

A request says everything that an evaluation depends on, so its result is the same on any worker, at any time, after any
number of crashes (on one kind of hardware).
"""

import hashlib
from collections.abc import Callable
from typing import Literal

import msgspec

from evoae_cli.evaluation.noise import Noise
from evoae_cli.outcome import Outcome

Objective = Literal["denoise", "manifold"]
Stage = Literal["search", "final", "start", "test"]
Split = Literal["train", "val", "test"]
Schedule = Literal["constant", "cosine"]
Precision = Literal["float32", "bfloat16"]
Decoder = Literal["same", "mirrored"]
Progress = Callable[[float], None]
"""Called with the share done, 0 to 1."""


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a genotype leaves open about its network; the same for a whole study."""

    channels: int
    """Of the image, 1 to 8."""
    reductions: int
    """Number of reductions where the genotype does not say: each halves height and width and doubles the channels."""
    code_channels: int | None
    """Channels of the code after a 1x1 convolution (the honest bottleneck); None for the paper's form, without it.

    After `reductions` reductions; a genotype with other ones has as many channels as make a code of the same size."""
    decoder: Decoder
    """Whether the decoder repeats the module in the same order (the paper's) or mirrored."""
    is_manifold: bool = False
    """Whether all of an image goes through the code. A residual network then takes its output off a linear
    reconstruction from the code, not off the image."""
    space: str | None = None
    """`module:attribute` of a search space whose own layers the genotype may hold; None for the built-in ones."""


class Augmentation(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to training crops at random; nothing by default."""

    flips: bool = False
    """Mirror them left to right."""
    colours: bool = False
    """Scale and shift their channels: other contrast, brightness and colours."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How one network is trained. The loss is the mean squared error over all elements, on the [-1, 1] scale."""

    epochs: int
    epoch_images: int
    """Crops drawn in one epoch; `epochs * epoch_images` is the budget in images."""
    batch_size: int
    crop: int
    """Side of the square training crops, in pixels."""
    augmentation: Augmentation
    lr: float
    schedule: Schedule
    """`constant`, or `cosine`: a short linear warm-up to `lr`, then a cosine to zero."""
    precision: Precision
    """Of the forward pass in training (autocast for bfloat16); evaluation is float32 always."""
    channels_last: bool
    clip_gradients: bool = False
    """Whether a gradient much longer than usual is shortened (see `Adam`)."""


class ImagesRef(msgspec.Struct, frozen=True, kw_only=True):
    """The images of a study: one read-only memory-mapped file, named by its SHA-256."""

    path: str
    fingerprint: str
    patch: int
    """Side of the square validation and test patches, in pixels."""
    n_val: int
    n_test: int


class EvaluationRequest(msgspec.Struct, frozen=True, kw_only=True, tag="evaluation"):
    """One evaluation of one genotype.

    `search` and `final` train, from scratch or from `weights_in`, and score on val. `start` and `test` score
    `weights_in` as it is: what a training starts from on val, the winner on test.
    """

    genotype: str
    objective: Objective
    stage: Stage
    seed_index: int = 0
    """Which of the `--final-seeds` this is; 0 in the search."""
    study_seed: int
    """Fixes the noise on val and test."""
    seed: int
    """Of initial weights, crops and training noise: `derive_seed(study_seed, genotype, stage, seed_index)`, and of the
    fingerprint of the weights that training starts from, so that it does not see once more what these have seen."""
    network: NetworkSpec
    recipe: Recipe
    images: ImagesRef
    noise: Noise | None
    """What the images are corrupted with; None for manifold, for pairs, and where the images are noisy themselves."""
    noisy_only: bool = False
    """Whether the images are noisy and no clean ones exist: hidden pixels are learnt and scored (Noise2Void)."""
    threads: int
    """Threads of the evaluation on a CPU."""
    weights_in: str | None = None
    """Weights to begin with (safetensors); None: drawn by `seed`."""
    weights_out: str | None = None
    """Where the trained weights go (safetensors; written aside, synced, renamed) ..."""
    keep_above: float = 0.0
    """... if the fitness is above this."""


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """How good a reconstruction is, over all images of a split.

    Where there are only noisy images all but `mse` is None: no PSNR can be known.
    """

    mse: float
    """Mean over all elements of all images, [-1, 1] scale, float32; with noisy images only, over the hidden pixels."""
    psnr_db: float | None = None
    """Mean over images of the PSNR on [0, 1], output clipped."""
    psnr_pooled_db: float | None = None
    """PSNR of the pooled mean squared error on [0, 1], output clipped."""
    ssim: float | None = None
    """Mean over images; Gaussian 11x11 window, data range 1."""

    @property
    def fitness(self) -> float:
        """1 / MSE, higher is better; 0 where the MSE is no positive finite number."""
        return 1.0 / self.mse if 0.0 < self.mse < float("inf") else 0.0


class Residual(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what a denoiser took away, noisy - output, looks like the noise: all of it, and nothing else."""

    neighbours: float
    """Correlation between each of its values and the next, to the right and below; 0 for white noise."""
    edges: float
    """Correlation between its size and that of the output's gradient; 0 for white noise."""
    share: float | None = None
    """Its standard deviation against the one that the noise seems to have; None where there seems to be none."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation found. Only `ok` has scores; a failure is a result with fitness 0, not an exception."""

    genotype: str
    stage: Stage
    seed_index: int
    outcome: Outcome
    reason: str = ""
    """One line that says why, where the outcome is not `ok`."""
    log: str = ""
    """The last lines that its worker printed, where the worker was lost."""
    scores: Scores | None = None
    parameters: int = 0
    operations: int = 0
    """Multiply-accumulates of one forward pass over one `patch` x `patch` image."""
    code_values: int = 0
    """Numbers in the code of one `patch` x `patch` image."""
    psnr_by_strength: dict[str, float] = {}
    """Strength of the noise -> mean PSNR in dB over its test images; empty in stages other than `test`."""
    residual: Residual | None = None
    """What is left of the noisy val images; of stage `final` with noisy images only."""
    images_seen: int = 0
    micro_batches: int = 1
    """Parts into which each batch fell because memory was short; above 1 the last digits differ."""
    train_s: float = 0.0
    evaluate_s: float = 0.0
    weights: str | None = None
    """Path of the weights, where they were kept."""
    device: str = ""
    """Model of the hardware, for example `AMD EPYC` or `NVIDIA H100`."""
    dtype: str = ""
    """Precision of training."""
    torch: str = ""
    """Version of PyTorch."""

    @property
    def fitness(self) -> float:
        """1 / MSE, or 0 for a failed evaluation."""
        return self.scores.fitness if self.scores is not None else 0.0


class ReferencesRequest(msgspec.Struct, frozen=True, kw_only=True, tag="references"):
    """What to measure without any network: the images as they come, and the classical methods, on one split."""

    objective: Objective
    split: Split
    study_seed: int
    images: ImagesRef
    noise: Noise | None
    noisy_only: bool = False
    threads: int
    pictures_out: str | None = None
    """Where a few images go as the best of the methods cleans them (see `picturefile`); None: nowhere."""


class References(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to beat, on one split."""

    baseline_name: str
    """`noisy`, for manifold `constant image` (the mean colour of the training images), with noisy images only `local
    median` (of the pixels round a hidden one)."""
    baseline: Scores
    methods: dict[str, Scores]
    """Classical method -> its scores: `wavelet`, `total variation`, `non-local means` (tuned on training images)."""
    constant: Scores | None = None
    """The mean colour of the training images everywhere: what is no better has learnt nothing. None where that is the
    baseline."""


Rival = Literal[
    "wavelet", "total variation", "non-local means", "BM3D", "DnCNN", "U-Net", "block PCA", "JPEG", "network"
]
"""What a model is compared with. `network` is an architecture with its weights: a model itself."""


class RivalRequest(msgspec.Struct, frozen=True, kw_only=True, tag="rival"):
    """One thing to compare with: tuned, fitted or trained on the training images, and scored on the test images."""

    rival: Rival
    objective: Objective
    study_seed: int
    images: ImagesRef
    noise: Noise | None
    noisy_only: bool = False
    threads: int
    recipe: Recipe | None = None
    """Of what is trained; how many crops is decided by `train_s`."""
    train_s: float = 0.0
    """About how long it is trained, in seconds."""
    n_values: int = 0
    """Values that block PCA keeps of a block."""
    n_bytes: float = 0.0
    """The most that a JPEG may take."""
    genotype: str = ""
    """Of a `network` ..."""
    network: NetworkSpec | None = None
    weights_in: str | None = None
    """... and its weights (safetensors)."""


class RivalFound(msgspec.Struct, frozen=True, kw_only=True):
    """How good a rival is on the test images, and how fast."""

    rival: Rival
    scores: Scores
    image_s: float
    """Seconds for one image of `patch` x `patch`, one at a time: the median."""
    parameters: int | None = None
    train_s: float | None = None
    """Seconds that it was trained."""
    n_bytes: float | None = None
    """Mean size of the JPEG files."""


Request = EvaluationRequest | ReferencesRequest | RivalRequest
"""What a worker takes; the tag tells which."""


def derive_seed(*parts: object) -> int:
    """The 63-bit seed that belongs to `parts`: SHA-256 of their texts, so no two purposes ever share a stream."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
