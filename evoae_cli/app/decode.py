"""`evoae decode MODEL CODES.npz -o OUT`: images from the codes that a model made."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evoae_cli.app.common import Debug, ModelName, Quiet
from evoae_cli.app.console import stderr_console
from evoae_cli.app.counting import counting
from evoae_cli.app.running import Show
from evoae_cli.errors import ImageError, UsageError

if TYPE_CHECKING:
    from evoae_cli.applying.codefile import CodeFile


def decode(
    model: ModelName,
    codes: Annotated[Path, typer.Argument(metavar="CODES", help="File that evoae encode wrote.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder to write to; a file for one image.")
    ],
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite images that exist.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make images from codes, with the model that made the codes.

    Names, size and depth are those of the images that were encoded.
    """
    from evoae_cli.applying.codefile import read_codes
    from evoae_cli.applying.pixels import write_pixels
    from evoae_cli.study.model import find_model

    folder = find_model(model)
    file = read_codes(codes)
    targets = targets_of(file, output)
    _check(file, targets, is_forced=force)

    show = Show(stderr_console(), quiet, is_json=False)
    with show.preparing(f"loading {folder}"):
        from evoae_cli.applying.codes import check_decodes, checked_shape, decode_array, fingerprint
        from evoae_cli.study.model import load_model

        loaded = load_model(folder)
        check_decodes(loaded)
        if (own := fingerprint(loaded)) != file.model:
            raise UsageError(
                f"{codes} comes from another model (weights {file.model[:12]}, those of {folder} are {own[:12]}); "
                "name the model that made it"
            )
        for image in file.images:
            try:
                checked_shape(loaded, image.code, image.shape)
            except ImageError as error:
                raise ImageError(f"{codes}: {image.name}: {error}") from None
    with counting(show, "decoding", len(targets)) as count:
        for image, target in zip(file.images, targets, strict=True):
            _make_folder(target.parent)
            write_pixels(target, decode_array(loaded, image.code, image.shape, image.depth))
            count()
    n_values = sum(image.code.size for image in file.images)
    n_pixels = sum(math.prod(image.shape) for image in file.images)
    n = f"{len(targets)} images" if len(targets) > 1 else "1 image"
    show.say(f"{n}: {n_values:,} values ({codes.stat().st_size:,} bytes) became {n_pixels:,} ({_pixel_bytes(file):,})")
    typer.echo(str(output))


def _pixel_bytes(file: "CodeFile") -> int:
    import numpy as np

    return sum(math.prod(image.shape) * np.dtype(image.depth).itemsize for image in file.images)


def targets_of(file: "CodeFile", output: Path) -> list[Path]:
    """Where each image goes: below the folder `output`; `output` itself, if it names a file and there is one image."""
    from evoae_cli.applying.pixels import SUFFIXES, check_suffix

    if output.suffix and not output.is_dir() and len(file.images) == 1:
        check_suffix(output)
    is_file = output.suffix.lower() in SUFFIXES and not output.is_dir()
    if is_file and len(file.images) == 1:
        return [output]
    if is_file:
        raise UsageError(f"-o {output}: the codes are of {len(file.images)} images; name a folder")
    return [output / image.name for image in file.images]


def _check(file: "CodeFile", targets: list[Path], *, is_forced: bool) -> None:
    """Raise UsageError, before anything is written, unless all `targets` can be."""
    from evoae_cli.applying.pixels import check_holds

    try:
        for image, target in zip(file.images, targets, strict=True):
            check_holds(target, image.shape, image.depth)
            if target.is_dir():
                raise UsageError(f"{target} is a folder; choose another folder for -o")
            _check_folder(target.parent)
        existing = [target for target in targets if target.exists()]
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; choose another folder for -o") from error
    if existing and not is_forced:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]} exists{more}; add --force to overwrite")


def _check_folder(folder: Path) -> None:
    """Raise UsageError unless `folder` is one that can be written to, or can be made."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UsageError(f"-o {folder}: {nearest} is a file; name a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"-o {folder}: no permission to write in {nearest}; choose another folder")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}; choose another for -o") from error
