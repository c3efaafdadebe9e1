"""Images per second of evoae's training path against a plain PyTorch loop: same files, network, batch and crop.

Both train with one thread. The plain loop's loader workers are processes of their own, which come on top.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, get_args

import msgspec
import torch
from PIL import Image

from evoae_cli.bench.plain import PlainLoop
from evoae_cli.bench.report import Report, formatted, options, this_machine
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Augmentation, NetworkSpec, Precision, Recipe
from evoae_cli.evaluation.images import prepare_images
from evoae_cli.evaluation.noise import gaussian
from evoae_cli.evaluation.photographs import photograph_images
from evoae_cli.evaluation.reproducible import reproducible
from evoae_cli.evaluation.resident import Resident
from evoae_cli.evaluation.training import train
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import Autoencoder, build

Files = Literal["tiles", "photographs"]
"""Images of 128x128 pixels, as data sets of small images have them; or whole photographs, as a camera leaves them."""

_GOAL = 1.5
_TILE = 128
_NOISE_STD = math.sqrt(1 / 3)
_NETWORK = NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same")
_LOADERS = (0, 2)
_N_WARM = 3
"""Steps before the clock starts: the first ones choose and compile kernels, and wait for the loader's workers."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    crop: int = 96
    batch_size: int = 32
    reading_s: float = 4.0
    """About how long a reading takes."""
    n_readings: int = 3
    """A figure is the median of so many, taken in turn with the others', so that a disturbance meets them all."""


@dataclass(frozen=True)
class Rates:
    """Images per second: medians of the readings."""

    evoae: float
    plain: dict[int, float]
    """Of the plain loop by its number of loader workers, in the memory format that tensors have by default."""
    channels_last: dict[int, float]
    """Of the plain loop with the network and its batches in channels_last memory, as evoae has them."""

    @property
    def times_plain(self) -> float:
        """How many times as fast as the better of the plain loops."""
        return self.evoae / max(self.plain.values())

    @property
    def times_channels_last(self) -> float:
        """How many times as fast as the better of those with channels_last."""
        return self.evoae / max(self.channels_last.values())


def measure(genotypes: Sequence[str], precisions: Sequence[Precision], files: Sequence[Files], sizes: Sizes) -> Report:
    """Measure every combination of module, precision and kind of files."""
    rows: list[tuple[str, ...]] = []
    figures = []
    for kind in files:
        with tempfile.TemporaryDirectory(prefix="evoae-bench-") as folder:
            write_files(kind, Path(folder, "images"))
            for genotype, precision in product(genotypes, precisions):
                rates = _rates(Path(folder), genotype, precision, sizes)
                plain = [rates.plain[n] for n in _LOADERS] + [rates.channels_last[n] for n in _LOADERS]
                speeds = [f"{rate:.0f}" for rate in (rates.evoae, *plain)]
                times = [f"{times:.2f}" for times in (rates.times_plain, rates.times_channels_last)]
                rows.append((f"`{genotype}`", precision, kind, *speeds, *times))
                figures.append(
                    {
                        "genotype": genotype,
                        "precision": precision,
                        "files": kind,
                        "evoae": rates.evoae,
                        "plain": rates.plain,
                        "channels_last": rates.channels_last,
                        "times_plain": rates.times_plain,
                        "times_channels_last": rates.times_channels_last,
                    }
                )
    loaders = [f"{name}, {n} loaders" for name in ("plain", "channels_last") for n in _LOADERS]
    return Report(
        benchmark="training",
        goal=f"`3x3conv2d:16` at least {_GOAL} times as fast as the better of the plain loops",
        columns=("module", "precision", "files", "evoae", *loaders, "evoae / plain", "evoae / channels_last"),
        rows=tuple(rows),
        figures={"crop": sizes.crop, "batch_size": sizes.batch_size, "images_per_s": figures},
    )


def write_files(kind: Files, folder: Path) -> None:
    """Write the built-in photographs into `folder`, by split: every other file a PNG, every other a JPEG."""
    n_written = 0
    for image in photograph_images():
        assert image.split is not None
        (folder / image.split).mkdir(parents=True, exist_ok=True)
        height, width, _ = image.pixels.shape
        rows, columns = (_TILE, _TILE) if kind == "tiles" else (height, width)
        for top, left in product(range(0, height - rows + 1, rows), range(0, width - columns + 1, columns)):
            part = Image.fromarray(image.pixels[top : top + rows, left : left + columns])
            part.save(folder / image.split / f"{n_written:04}.{('png', 'jpg')[n_written % 2]}")
            n_written += 1


def _rates(folder: Path, genotype: str, precision: Precision, sizes: Sizes) -> Rates:
    paths = sorted((folder / "images" / "train").iterdir())
    resident = _resident(folder, sizes)
    warm = Recipe(
        epochs=1,
        epoch_images=_N_WARM * sizes.batch_size,
        batch_size=sizes.batch_size,
        crop=sizes.crop,
        augmentation=Augmentation(),
        lr=1e-3,
        schedule="constant",
        precision=precision,
        channels_last=True,
    )
    guess = _evoae_rate(genotype, resident, warm, warm)
    n_steps = max(1, round(sizes.reading_s * guess / sizes.batch_size))
    timed = msgspec.structs.replace(warm, epoch_images=n_steps * sizes.batch_size)
    evoae: list[float] = []
    plain: dict[tuple[bool, int], list[float]] = {way: [] for way in product((False, True), _LOADERS)}
    for _ in range(sizes.n_readings):
        evoae.append(_evoae_rate(genotype, resident, warm, timed))
        for (channels_last, n_loaders), readings in plain.items():
            recipe = msgspec.structs.replace(timed, channels_last=channels_last)
            loop = PlainLoop(_network(genotype), paths, recipe, _NOISE_STD, n_loaders)
            readings.append(loop.rate(_N_WARM, n_steps))
    medians = {way: statistics.median(readings) for way, readings in plain.items()}
    return Rates(
        evoae=statistics.median(evoae),
        plain={n: medians[False, n] for n in _LOADERS},
        channels_last={n: medians[True, n] for n in _LOADERS},
    )


def _evoae_rate(genotype: str, resident: Resident, warm: Recipe, timed: Recipe) -> float:
    """Images per second of a training by `timed`, after one by `warm`."""
    network = _network(genotype).to(memory_format=torch.channels_last)
    with reproducible(threads=1):
        for recipe in (warm, timed):
            begun = time.perf_counter()
            n_images = train(
                network,
                resident,
                recipe,
                noise=gaussian(_NOISE_STD),
                seed=0,
                device="cpu",
                n_parts=1,
                progress=lambda share: None,
            )
            taken = time.perf_counter() - begun
    return n_images / taken


def _network(genotype: str) -> Autoencoder:
    return build(parse_genotype(genotype), _NETWORK)


def _resident(folder: Path, sizes: Sizes) -> Resident:
    """The same files as the plain loop reads, as a study has them."""
    image_file = prepare_images(
        str(folder / "images"),
        data_root=None,
        download=False,
        pixel_range=None,
        patch=sizes.crop,
        crop=sizes.crop,
        seed=0,
        n_val=1,
        n_test=1,
        warn=_refuse,
        cache=folder / "cache",
    )
    return Resident(image_file, "cpu", patch=sizes.crop, n_val=1, n_test=1, study_seed=0)


def _refuse(warning: str) -> None:
    raise EvoaeError(f"the benchmark's images are not as expected: {warning}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = options(__doc__)
    parser.add_argument("--genotypes", nargs="+", default=["3x3conv2d:16", "3x3conv2d:64"])
    parser.add_argument("--precisions", nargs="+", choices=get_args(Precision), default=get_args(Precision))
    parser.add_argument("--files", nargs="+", choices=get_args(Files), default=get_args(Files))
    sizes = Sizes()
    parser.add_argument("--crop", type=int, default=sizes.crop)
    parser.add_argument("--batch-size", type=int, default=sizes.batch_size)
    parser.add_argument("--seconds", type=float, default=sizes.reading_s, help="about how long a reading takes")
    parser.add_argument("--readings", type=int, default=sizes.n_readings, help="how many a figure is the median of")
    given = parser.parse_args(argv)
    machine = this_machine()
    sizes = Sizes(given.crop, given.batch_size, given.seconds, given.readings)
    report = measure(given.genotypes, given.precisions, given.files, sizes)
    print(formatted(report, machine, given))


if __name__ == "__main__":
    main()
