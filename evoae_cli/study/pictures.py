"""Pictures of a study: what its best model does to a few images, and fitness over generations."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_GAP = 6
_CAPTION = 22


def preview_png(columns: Sequence[tuple[str, NDArray[np.uint8]]]) -> bytes:
    """A sheet with one column per (caption, images [n, H, W, C] of 8 bit), one row per image, as PNG.

    Images of 1 channel are grey, of 3 colour; of any other number the first is shown.
    """
    from PIL import Image, ImageDraw, ImageFont

    n, height, width, _ = columns[0][1].shape
    size = (len(columns) * (width + _GAP) + _GAP, _CAPTION + n * (height + _GAP) + _GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for i, (caption, images) in enumerate(columns):
        left = _GAP + i * (width + _GAP)
        draw.text((left, 4), caption, fill="black", font=font)
        for j, image in enumerate(images):
            shown = image if image.shape[-1] == 3 else image[..., 0]
            sheet.paste(Image.fromarray(shown).convert("RGB"), (left, _CAPTION + _GAP + j * (height + _GAP)))
    content = io.BytesIO()
    sheet.save(content, format="PNG")
    return content.getvalue()


def fitness_png(evaluations: Sequence[tuple[int, float]], best: Sequence[tuple[int, float]]) -> bytes:
    """Fitness of each evaluation and the best so far, both as (generation, fitness), as PNG (the paper's Figure 5)."""
    # The object interface has no global state, so it is safe in a thread.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.scatter(
        [generation for generation, _ in evaluations],
        [fitness for _, fitness in evaluations],
        s=14,
        color="tab:gray",
        alpha=0.6,
        label="candidates",
    )
    if best:
        axes.plot(*zip(*best, strict=True), color="tab:blue", marker="o", markersize=4, label="best so far")
    axes.set_xlabel("generation")
    axes.set_ylabel("fitness (1 / MSE on validation)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()
