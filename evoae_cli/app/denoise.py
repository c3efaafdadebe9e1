"""`evoae denoise MODEL INPUT... -o OUT`: images and folders of images, cleaned."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from evoae_cli.app.common import Debug, Json, ModelName, Quiet, read_as
from evoae_cli.app.console import stderr_console
from evoae_cli.app.denoised import denoise_jobs, report, table
from evoae_cli.app.running import Show
from evoae_cli.applying.views import check_views
from evoae_cli.errors import BugError, UsageError

_TILE = 768
"""`applying.apply.TILE`, which is too slow to import for help; a test holds them together."""
_LEAST_TILE = 64


def denoise(
    model: ModelName,
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Files (PNG, JPEG, TIFF, WebP, NPY; stacks too), or folders of such."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="For one file the file to write, or a folder; for several or a folder the folder that gets them all.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite what exists; never an input.")] = False,
    axes: Annotated[
        str | None,
        typer.Option("--axes", metavar="LETTERS", help="Axes of stacks that do not name them, or wrongly, as TZCYX."),
    ] = None,
    tile: Annotated[
        int,
        typer.Option(
            "--tile",
            parser=read_as(int, "--tile"),
            metavar="N",
            help=f"Larger images are cleaned in pieces of this side. Default: {_TILE}.",
            show_default=False,
        ),
    ] = _TILE,
    views: Annotated[
        int,
        typer.Option(
            "--views",
            parser=read_as(int, "--views"),
            metavar="N",
            help="Average over 2, 4 or 8 turned and mirrored views: a little better, N times as long. Default: 1.",
            show_default=False,
        ),
    ] = 1,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="auto (a GPU if there is one), cpu, or as cuda:0.")
    ] = "auto",
    add_noise: Annotated[
        str | None,
        typer.Option(
            "--add-noise",
            metavar="NOISE",
            help="Add noise first, as gaussian:25, and print PSNR and SSIM; then -o may be left out.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            parser=read_as(int, "--seed"),
            metavar="N",
            help="Of the draws of --add-noise. Default: 0.",
            show_default=False,
        ),
    ] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Clean images with a trained denoiser; size, depth, axes, orientation and folders are kept.

    Exit code 1: files could not be used, each is named on stderr, and the rest is done. 2: wrong use, nothing was done.
    """
    from evoae_cli.applying.inputs import plan

    if output is None and add_noise is None:
        raise UsageError("Missing option '--output' / '-o'; only with --add-noise is nothing written")
    _check_numbers(tile, views, seed, device)
    out = None if output is None else Path(output)
    jobs = plan(inputs, out, is_forced=force, is_folder=output is not None and output.endswith("/"))
    letters = None
    if axes is not None:
        from evoae_cli.applying.stacks import check_axes

        letters = check_axes(axes)
    noise = None
    if add_noise is not None:
        from evoae_cli.applying.tryout import parse_added_noise

        noise = parse_added_noise(add_noise, seed)
    from evoae_cli.study.model import find_model

    folder = find_model(model)
    show = Show(stderr_console(), quiet, is_json=as_json)
    with show.preparing(f"loading {folder}"):
        from evoae_cli.applying.batch import Work
        from evoae_cli.study.model import load_model

        work = Work(load_model(folder), tile, letters, noise, views)
    is_single = len(inputs) == 1 and inputs[0].is_file()
    results = denoise_jobs(show, work, jobs, device, names_failures=not is_single)
    if debug:
        sys.stderr.writelines(result.failure.trace for result in results if isinstance(result.failure, BugError))
    if as_json:
        typer.echo(json.dumps(report(results, folder)))
    if is_single and results[0].failure is not None:
        # Nothing else was asked for, so this is how the command ends.
        raise results[0].failure
    if not as_json:
        for line in table(results):
            typer.echo(line)
        if out is not None and any(result.target for result in results):
            typer.echo(str(results[0].target if is_single else out))
    if any(result.failure for result in results):
        raise typer.Exit(1)


def _check_numbers(tile: int, views: int, seed: int, device: str) -> None:
    if tile < _LEAST_TILE:
        raise UsageError(f"--tile {tile} is too small; use at least {_LEAST_TILE}")
    check_views(views)
    if seed < 0:
        raise UsageError(f"--seed {seed} must be at least 0")
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,4})?", device):
        raise UsageError(f"--device {device!r} is not understood; use auto, cpu, or one GPU, as cuda:0")
