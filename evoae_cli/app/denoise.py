"""`evoae denoise MODEL IMAGE -o OUT`: one file, cleaned."""

import os
from pathlib import Path
from typing import Annotated

import typer

from evoae_cli.app.common import Debug, ModelName, Quiet
from evoae_cli.app.console import stderr_console
from evoae_cli.app.running import Show
from evoae_cli.errors import ImageError, StudyError, UsageError


def denoise(
    model: ModelName,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="PNG, JPEG, TIFF, WebP or NPY, of any size.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="File to write.")],
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite OUT if it exists.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Clean one image with a trained denoiser; its size and depth are kept."""
    check_paths(image, output, is_forced=force)
    from evoae_cli.evaluation.readers import read_image
    from evoae_cli.report.pixels import check_holds, has_alpha, write_pixels
    from evoae_cli.study.model import find_model

    folder = find_model(model)
    pixels = read_image(image)
    check_holds(output, pixels)

    show = Show(stderr_console(), quiet, is_json=False)
    if has_alpha(image):
        show.warn(f"{image} has transparency (an alpha channel), which is left out of {output}")
    with show.preparing(f"denoising {image}"):
        from evoae_cli.report.apply import denoise_array
        from evoae_cli.study.model import load_model

        loaded = load_model(folder)
        if loaded.metadata["objective"] != "denoise":
            found = loaded.metadata["objective"]
            raise StudyError(f"{folder} holds a {found} model; find a denoiser: evoae search denoise")
        try:
            cleaned = denoise_array(loaded, pixels)
        except ImageError as error:
            raise ImageError(f"{image}: {error}") from None
    write_pixels(output, cleaned)
    typer.echo(str(output))


def check_paths(image: Path, output: Path, *, is_forced: bool) -> None:
    """Raise UsageError unless `output` may be written: it must not be `image`, nor exist unless `is_forced`."""
    try:
        _check_paths(image, output, is_forced=is_forced)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; choose another file") from error


def _check_paths(image: Path, output: Path, *, is_forced: bool) -> None:
    from evoae_cli.report.pixels import check_suffix

    if not image.is_file():
        raise ImageError(f"{image} {'is no file; name one image' if image.exists() else 'does not exist'}")
    for path in (image, output):
        check_suffix(path)
    if output.exists() and output.samefile(image):
        raise UsageError(f"-o {output} is the image itself; choose another file")
    if output.is_dir():
        raise UsageError(f"-o {output} is a folder; name a file in it")
    if output.exists() and not is_forced:
        raise UsageError(f"-o {output} exists; add --force to overwrite it")
    if output.absolute().parent.is_file():
        raise UsageError(f"-o {output}: {output.parent} is a file; name a folder")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"-o {output}: the folder {output.parent} does not exist; make it first")
    if not os.access(output.absolute().parent, os.W_OK | os.X_OK):
        raise UsageError(f"-o {output}: no permission to write in {output.parent}; choose another folder")
