"""One style for all figures: matplotlib to SVG text that takes the page's colours, light or dark.

Colours are Okabe and Ito's, which people with any kind of colour blindness can tell apart. What is drawn in ink or as a
grid takes the page's own colours: matplotlib draws it in colours that stand for these, and the text is then rewritten.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
"""Okabe and Ito 2008, without their black, which is the page's ink."""
SERIES = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, YELLOW, "#7f7f7f")
"""For studies side by side, the first two the furthest apart."""

INK, FAINT, PAPER = "#010203", "#040506", "#070809"
"""Stand for the page's ink, for lines that step back, and for its background."""
_OF_PAGE = (
    {INK: "var(--ink)", FAINT: "var(--faint)", PAPER: "var(--card)"}
    | {
        colour: f"var(--{name})"
        for name, colour in {"orange": ORANGE, "sky": SKY, "green": GREEN, "yellow": YELLOW, "blue": BLUE}.items()
    }
    | {VERMILLION: "var(--vermillion)", PURPLE: "var(--purple)"}
)

WIDTH = 9.0
"""Inches of every figure: all letters on a page then have one size."""
N_VECTORS = 600
"""Marks that are drawn one by one; more become a picture inside the figure, whose size does not grow with them."""
_DPI = 200

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "evoae",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    # What is written is names that people gave, not formulas.
    "text.parse_math": False,
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[tuple["Figure", "Axes"]]:
    """A figure of `width` x `height` inches in the one style, with its axes; the style lasts as long as the block."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def svg_of(figure: "Figure", name: str, label: str) -> str:
    """The figure as an `svg` element. `name` makes its ids unique on a page, `label` says in words what it shows.

    The same figure gives the same text.
    """
    content = io.StringIO()
    with warnings.catch_warnings():
        # Letters of a study's name that matplotlib's font lacks: the browser's fonts have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(content, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    return inlined(content.getvalue(), name, label)


def inlined(text: str, name: str, label: str) -> str:
    """An SVG file's text as an element of a page: without its head, with ids of its own, in the page's colours."""
    from markupsafe import escape

    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    for colour, of_page in _OF_PAGE.items():
        body = body.replace(colour, of_page)
    # The page's font, at the size that was reckoned with.
    body = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font: \1px var(--font)", body)
    head = re.match(r"<svg[^>]*>", body)
    assert head is not None
    view = re.search(r'viewBox="([^"]+)"', head[0])
    assert view is not None
    width = view[1].split()[2]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{view[1]}" '
        f'style="max-width: {float(width) * 4 / 3:.0f}px" role="img" aria-label="{escape(label)}">'
    )
    return opening + body[head.end() :]
