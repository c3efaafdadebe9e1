"""`evoae doctor`: what evoae finds on this machine, and whether training works on each device."""

import os
import platform
import tempfile
from pathlib import Path

import typer

from evoae_cli.app.common import Debug
from evoae_cli.app.console import stderr_console
from evoae_cli.app.running import Show
from evoae_cli.app.tables import columns
from evoae_cli.app.wording import size
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Precision, Split


def doctor(debug: Debug = False) -> None:
    """Show versions, GPUs, cores, memory and caches, and train a tiny network on each device."""
    show = Show(stderr_console(), is_quiet=False, is_json=False)
    with show.preparing("loading PyTorch"):
        rows = [*_versions(), *_hardware(), *_folders()]
    typer.echo("\n".join(columns(rows)))
    n_failed = 0
    for device in _devices():
        with show.preparing(f"training a tiny network on {device}"):
            failure = train_tiny(device)
        n_failed += failure is not None
        typer.echo(f"trains on {device}: {'yes' if failure is None else f'no, {failure}'}")
    if n_failed:
        raise typer.Exit(1)


def train_tiny(device: str, n_steps: int = 60) -> str | None:
    """Train a tiny network as a search would, in each precision it might use; None if that works, else one line."""
    try:
        from evoae_cli.evaluation.hardware import bfloat16_is_fast

        precisions: tuple[Precision, ...] = ("float32", "bfloat16") if bfloat16_is_fast(device) else ("float32",)
        with tempfile.TemporaryDirectory(prefix="evoae-doctor-") as folder:
            failures = [failure_in(Path(folder), device, precision, n_steps) for precision in precisions]
    except Exception as error:
        # Whatever the driver, the build or the memory does wrong is what doctor is there to tell.
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return next((failure for failure in failures if failure is not None), None)


def failure_in(folder: Path, device: str, precision: Precision, n_steps: int) -> str | None:
    """What is wrong with one evaluation of a tiny network on grey ramps; None if nothing is."""
    import numpy as np

    from evoae_cli.evaluation.contract import Augmentation, EvaluationRequest, ImagesRef, NetworkSpec, Recipe
    from evoae_cli.evaluation.evaluate import evaluate
    from evoae_cli.evaluation.imagefile import LabelledImage, write_image_file
    from evoae_cli.outcome import Outcome

    ramp = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)[..., None] * 4
    splits: tuple[Split, ...] = ("train", "val", "test")
    images = [LabelledImage(split, split, ramp) for split in splits]
    file = write_image_file(images, low=(0.0,), high=(255.0,), source="doctor", cache=folder)
    batch_size = 8
    found = evaluate(
        EvaluationRequest(
            genotype="3x3conv2d:8",
            objective="manifold",
            stage="search",
            study_seed=0,
            seed=0,
            network=NetworkSpec(channels=1, reductions=1, code_channels=None, decoder="same"),
            recipe=Recipe(
                epochs=1,
                epoch_images=n_steps * batch_size,
                batch_size=batch_size,
                crop=16,
                augmentation=Augmentation(flips=True),
                lr=1e-2,
                schedule="cosine",
                precision=precision,
                channels_last=True,
            ),
            images=ImagesRef(path=file.path, fingerprint=file.fingerprint, patch=32, n_val=1, n_test=1),
            noise=None,
            threads=1,
        ),
        device,
    )
    if found.outcome is not Outcome.OK:
        return f"in {precision}: {found.outcome}, {found.reason}"
    # What answers with the ramp's mean grey has learnt nothing.
    limit = float((ramp / 127.5).var()) / 4
    mse = 1 / found.fitness
    return None if mse < limit else f"in {precision}: it does not learn (mean squared error {mse:.2g})"


def _devices() -> list[str]:
    from evoae_cli.evaluation.hardware import devices

    gpus = [device for device in devices("auto") if device != "cpu"]
    return ["cpu", *gpus]


def _versions() -> list[list[str]]:
    from evoae_cli.study.settingsfile import versions

    return [[name, version] for name, version in versions().items()] + [["platform", platform.platform()]]


def _hardware() -> list[list[str]]:
    from evoae_cli.evaluation.hardware import available_memory, device_model, n_cores

    memory = f"{size(available_memory('cpu'))} free"
    rows = [["cpu", device_model("cpu")], ["cores", str(n_cores())], ["memory", memory]]
    for device in _devices()[1:]:
        rows.append([device, f"{device_model(device)}, {size(available_memory(device))} free"])
    return rows if len(rows) > 3 else [*rows, ["gpu", "none that PyTorch can use"]]


def _folders() -> list[list[str]]:
    from evoae_cli.evaluation.imagefile import cache_folder
    from evoae_cli.study.locate import list_studies, runs_folder

    cache = cache_folder()
    return [
        ["cache", f"{cache} ({size(folder_size(cache))})"],
        ["studies", f"{runs_folder()} ({len(list_studies())})"],
    ]


def folder_size(folder: Path) -> int:
    """Bytes of all files below `folder`; 0 if there is none."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    raise EvoaeError(f"{folder} cannot be read: {error.strerror}") from error
    return total
