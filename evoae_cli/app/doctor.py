"""`evoae doctor`: what evoae finds on this machine, and whether training works on each device."""

import os
import platform
from pathlib import Path

import typer

from evoae_cli.app.common import Debug
from evoae_cli.app.console import stderr_console
from evoae_cli.app.running import Show
from evoae_cli.app.tables import columns
from evoae_cli.app.wording import size
from evoae_cli.errors import EvoaeError


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


def train_tiny(device: str, n_steps: int = 20) -> str | None:
    """Train a tiny network for a moment on random images; None if its loss falls, else one line that says why not."""
    import torch

    from evoae_cli.evaluation.contract import NetworkSpec
    from evoae_cli.genome.genotype import parse_genotype
    from evoae_cli.phenotype.autoencoder import build

    spec = NetworkSpec(channels=1, reductions=1, code_channels=None, decoder="same")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build(parse_genotype("3x3conv2d:8"), spec).to(device)
            image = (torch.rand(4, 1, 16, 16) * 2 - 1).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        losses = []
        for _ in range(n_steps):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(network(image), image)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
            optimizer.step()
            losses.append(loss.item())
    except Exception as error:
        # Whatever the driver, the build or the memory does wrong is what doctor is there to tell.
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None if losses[-1] < losses[0] else f"the loss did not fall ({losses[0]:.3g} to {losses[-1]:.3g})"


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
