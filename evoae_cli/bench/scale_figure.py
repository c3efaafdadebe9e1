"""The figure of `scale-benchmark`: candidates per second as multiples of one worker's (the paper's Figure 7)."""

from collections.abc import Sequence
from io import BytesIO

from evoae_cli.bench.scale import Reading

# Okabe and Ito's palette, which the colour-blind can tell apart.
_COLOURS = {"generational": "#0072B2", "async": "#D55E00"}
_MARKERS = {"generational": "o", "async": "s"}


def scaling_png(times: Sequence[tuple[Reading, float]], title: str) -> bytes:
    """The figure as PNG; `times` has each reading with its rate as a multiple of one worker's.

    `title` is split where it has a semicolon.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    counts = sorted({reading.workers for reading, _ in times})
    axes.plot([1, counts[-1]], [1, counts[-1]], color="#444444", linestyle="--", linewidth=1, label="ideal", zorder=3)
    for mode, colour in _COLOURS.items():
        points = sorted((reading.workers, factor) for reading, factor in times if reading.mode == mode)
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker=_MARKERS[mode], linewidth=1.5, label=mode)
    axes.set_title(title.replace("; ", "\n"), fontsize="medium")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("workers")
    axes.set_ylabel("candidates per second, times one worker")
    axes.grid(color="#DDDDDD", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    stream = BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
