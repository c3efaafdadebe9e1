"""Pictures of a study for a page: each a PNG inside it, as many as a page has room for."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from evoae_cli.evaluation.noise import parse_noise, strength_texts
from evoae_cli.evaluation.picturefile import Column
from evoae_cli.page.gather import Facts

_ROOM = 2_400_000
"""Characters for all pictures of a page."""
MODEL_CAPTIONS = ("output of the network", "reconstruction")
"""Of what a model made."""
_CAPTIONS = {"clean": "clean", "noisy": "noisy", "output": MODEL_CAPTIONS[0], "reconstruction": MODEL_CAPTIONS[1]}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One image."""

    uri: str
    """`data:image/png;base64,...`."""
    caption: str
    psnr_db: float | None
    is_best: bool
    """Whether of the images of its row it comes closest to the clean one."""
    alt: str
    width: int
    height: int


class Gallery(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of pictures: each of one test image."""

    rows: tuple[tuple[Picture, ...], ...]
    titles: tuple[str, ...]
    """Of each row."""
    n_left_out: int = 0
    """Rows for which there is no room."""


def gallery_of(facts: Facts, room: int = _ROOM) -> Gallery | None:
    """What the model does to a few test images, and the best classical method to the same; None where none were kept.

    `room` is how many characters they may take.
    """
    pictures = facts.pictures
    if pictures is None:
        return None
    columns = list(pictures.columns)
    classical = facts.classical
    if classical is not None and classical.numbers == pictures.numbers:
        columns += classical.columns
    rows: list[tuple[Picture, ...]] = []
    for number in range(len(pictures.numbers)):
        row = _row(columns, number)
        room -= sum(len(picture.uri) for picture in row)
        if room < 0 and rows:
            break
        rows.append(row)
    titles = [_title(facts, number) for number in pictures.numbers]
    return Gallery(rows=tuple(rows), titles=tuple(titles[: len(rows)]), n_left_out=len(titles) - len(rows))


def gallery_note(facts: Facts) -> str:
    """What the gallery of one study shows, and what it lacks."""
    if facts.is_manifold:
        return "What comes back from the code alone. The figure is the PSNR of each image in dB."
    if facts.is_noisy_only:
        note = "There are no clean images of these, so nobody can say how close the outputs come; no PSNR is claimed."
    else:
        note = "The figure is the PSNR of each image in dB; the best of each row is in bold."
    if facts.classical is None:
        note += " The pictures of the best classical method were not kept when the study ended."
    return note + classical_note([facts])


def classical_note(shown: Sequence[Facts]) -> str:
    """That BM3D is not among the pictures, where a comparison has measured it; empty where none has."""
    files = [facts.classical for facts in shown if facts.classical is not None]
    names = dict.fromkeys(column.name for file in files for column in file.columns)
    rivals = {row.name for facts in shown if facts.comparison is not None for row in facts.comparison.rivals}
    if not names or "BM3D" not in rivals:
        return ""
    return f" Of the classical methods {' and '.join(names)} is the best of those without BM3D, which has no pictures."


def _row(columns: list[Column], number: int) -> tuple[Picture, ...]:
    psnrs = [None if column.psnr_db is None else column.psnr_db[number] for column in columns]
    known = [psnr for psnr in psnrs if psnr is not None]
    best = max(known) if len(known) > 1 else None
    return tuple(
        _picture(column, number, psnr, psnr is not None and psnr == best)
        for column, psnr in zip(columns, psnrs, strict=True)
    )


def _picture(column: Column, number: int, psnr: float | None, is_best: bool) -> Picture:
    image = column.images[number]
    caption = _CAPTIONS.get(column.name, column.name)
    quality = "" if psnr is None else f", {psnr:.2f} dB"
    return Picture(
        uri=png_uri(image),
        caption=caption,
        psnr_db=psnr,
        is_best=is_best,
        alt=f"Test image {number + 1}: {caption}{quality}",
        width=image.shape[1],
        height=image.shape[0],
    )


def png_uri(image: npt.NDArray[np.uint8]) -> str:
    """An image [H, W, C] of 8 bit as a data URI; of other than 1 or 3 channels the first is shown."""
    from PIL import Image

    shown: npt.NDArray[Any] = image if image.shape[-1] == 3 else image[..., 0]
    content = io.BytesIO()
    Image.fromarray(shown).save(content, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def _title(facts: Facts, number: int) -> str:
    """Which test image it is, and how strong its noise where that differs."""
    strength = _strengths(facts)
    more = "" if len(strength) < 2 else f", noise of strength {strength[number % len(strength)]}"
    return f"test image {number + 1}{more}"


def _strengths(facts: Facts) -> list[str]:
    """Of the noise, one for each test image in turn."""
    noise = (facts.model or {}).get("noise")
    return strength_texts(parse_noise(noise).strengths) if noise else []
