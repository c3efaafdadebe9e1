"""`evoae encode MODEL INPUT... -o CODES.npz`: images as the codes that a model makes of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evoae_cli.app.common import Debug, ModelName, Quiet
from evoae_cli.app.console import stderr_console
from evoae_cli.app.counting import counting
from evoae_cli.app.running import Show
from evoae_cli.errors import EvoaeError, ImageError, UsageError

if TYPE_CHECKING:
    from evoae_cli.applying.codefile import CodedImage
    from evoae_cli.study.model import LoadedModel


def encode(
    model: ModelName,
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Images, or folders of them: PNG, JPEG, TIFF, WebP or NPY."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="CODES", help="File to write, ending in .npz.")],
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="N",
            help="Scale each image until its shorter side is N, and take the NxN pixels in its middle.",
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option("--crop", metavar="N", help="Take the NxN pixels in the middle of each image, unscaled."),
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option("--bits", metavar="N", help="Round codes to 2^N levels per channel (1 to 16)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite CODES if it exists.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the codes of images to one NPZ file: small, and features for scikit-learn.

    Images of one size give the matrix `codes`, one row per image; others one array per image. `evoae decode` makes
    images of them again. What cannot be read is named and left out; the exit code is then 1.
    """
    from evoae_cli.applying.deliver import check_target, delivering
    from evoae_cli.applying.inputs import named_images
    from evoae_cli.study.model import find_model

    if size is not None and crop is not None:
        raise UsageError("--size and --crop exclude each other; choose one")
    side, n_bits = whole("--size", size, _LARGEST) or whole("--crop", crop, _LARGEST), whole("--bits", bits, 16)
    check_target("-o", output, ".npz", is_forced=force)
    images = named_images(inputs)
    folder = find_model(model)

    show = Show(stderr_console(), quiet, is_json=False)
    with show.preparing(f"loading {folder}"):
        from evoae_cli.applying.apply import memory_told
        from evoae_cli.applying.codefile import FULL_BITS, CodeFile, write_npz
        from evoae_cli.applying.codes import fingerprint
        from evoae_cli.study.model import load_model

        loaded = load_model(folder)
    coded: list[CodedImage] = []
    failed: list[EvoaeError] = []
    with counting(show, "encoding", len(images)) as count:
        for name, path in images.items():
            try:
                coded.append(_coded(loaded, name, path, side, is_scaled=size is not None))
            except EvoaeError as error:
                failed.append(error)
            count()
    if not coded:
        raise _none_coded(failed)
    for reason in failed:
        show.warn(f"left out: {reason}")
    with (
        memory_told(f"memory is short for writing {output}; encode fewer images at once"),
        delivering(output) as aside,
        aside.open("wb") as file,
    ):
        write_npz(file, CodeFile(coded, fingerprint(loaded)), n_bits or FULL_BITS)
    show.say(told(coded, output.stat().st_size))
    typer.echo(str(output))
    if failed:
        raise EvoaeError(f"{len(failed)} of {len(images)} images left out; {output} holds the others")


_LARGEST = 2**14
"""Longest side to scale to: its square is as many pixels as one image may have, or more."""


def whole(option: str, text: str | None, most: int) -> int | None:
    """The number that `option` was given, None where it was not. Raises UsageError unless it is from 1 to `most`."""
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= most:
        raise UsageError(f"{option} {text!r}: give a whole number from 1 to {most}")
    return number


def _none_coded(failed: list[EvoaeError]) -> EvoaeError:
    """What to raise where nothing came of any image: their fault, or, where memory was short for one, not theirs."""
    kind = ImageError if all(isinstance(error, ImageError) for error in failed) else EvoaeError
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return kind(f"no image could be encoded: {failed[0]}{more}" if more else str(failed[0]))


def _coded(loaded: "LoadedModel", name: str, path: Path, side: int | None, *, is_scaled: bool) -> "CodedImage":
    from evoae_cli.applying.codefile import CodedImage
    from evoae_cli.applying.codes import encode_array
    from evoae_cli.applying.fitting import centre, scaled
    from evoae_cli.evaluation.readers import read_image

    pixels = read_image(path)
    try:
        if side is not None:
            pixels = (scaled if is_scaled else centre)(pixels, side)
        code = encode_array(loaded, pixels)
    except EvoaeError as error:
        raise type(error)(f"{path}: {error}") from None
    height, width, n_channels = pixels.shape
    return CodedImage(name, code, (height, width, n_channels), pixels.dtype.name)


def told(images: "list[CodedImage]", n_bytes: int) -> str:
    """One line: what an image was and has become, what all were and have become, and what to know about the file."""
    import numpy as np

    from evoae_cli.applying.codefile import have_one_shape

    before = [int(np.prod(image.shape)) for image in images]
    after = [image.code.size for image in images]
    pixel_bytes = sum(n * np.dtype(image.depth).itemsize for n, image in zip(before, images, strict=True))
    n, each = (f"{len(images)} images", " each") if len(images) > 1 else ("1 image", "")
    line = (
        f"{n}: {_range(before)} values{each} become {_range(after)} ({sum(after) / sum(before):.1%}); "
        f"{pixel_bytes:,} bytes of pixels become {n_bytes:,}"
    )
    if not have_one_shape(images):
        line += "; sizes differ, so there is one array per image (one matrix for all: --size N or --crop N)"
    return line


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
