"""How genotypes read where there is little room: on one line with parts left out, or whole on several lines.

Only whole parts (layers and genes) give way, and lines break between them, so that no part is torn.
"""

import re

from evoae_cli.app.wording import ELLIPSIS, shorten

_BRIEF = (
    (re.compile(r"reductions:(\d+)"), r"r\1"),
    (re.compile(r"repeats:(\d+)"), r"x\1"),
    (re.compile("residual"), "res"),
)
_SKIPS = "skips:"


def fitted(text: str, width: int) -> str:
    """The text of a genotype in at most `width` columns; words before it, as in `last: 3x3conv2d:16`, stay.

    What does not fit has its genes in short, as `r3/x2/skips:can/res` for `reductions:3/repeats:2/` with the skips
    concat, add and none, and `residual`. If that is not enough, layers give way from the middle, so that both ends of
    the module stay; then genes from the end, and the filters. Below the width of a layer letters do.
    """
    if len(text) <= width:
        return text
    words, space, genotype = text.rpartition(" ")
    return words + space + _parts_that_fit(genotype, max(width - len(words + space), 0))[:width]


def broken(text: str, width: int) -> list[str]:
    """The whole text of a genotype on lines of at most `width` columns; a part longer than that stays whole.

    Each but the last ends in the slash or comma between two parts: joined again, with or without spaces, the lines are
    what `parse_genotype` reads. They break at slashes where these are enough.
    """
    lines = [""]
    for gene in re.findall(r"[^/]*/|[^/]+", text):
        is_whole = len(gene) <= width
        for part in [gene] if is_whole else re.findall(r"[^,]*,|[^,]+", gene):
            if lines[-1] and len(lines[-1]) + len(part) > width:
                lines.append("")
            lines[-1] += part
    return lines


def _parts_that_fit(genotype: str, width: int) -> str:
    module, *genes = genotype.split("/")
    layers, brief = module.split(","), [_in_brief(gene) for gene in genes]
    first = _with_layers(layers, 1)
    tries = [
        *("/".join([_with_layers(layers, n_kept), *brief]) for n_kept in range(len(layers), 0, -1)),
        *("/".join([first, *brief[:n_genes], ELLIPSIS]) for n_genes in range(len(brief) - 1, -1, -1)),
        layers[0] + ELLIPSIS,
        layers[0].partition(":")[0] + ELLIPSIS,
    ]
    return next((fitting for fitting in tries if len(fitting) <= width), shorten(genotype, width))


def _with_layers(layers: list[str], n_kept: int) -> str:
    """The module with so many of its layers, in turn from its beginning and its end."""
    n_last = n_kept // 2
    gap = [] if n_kept == len(layers) else [ELLIPSIS]
    return ",".join([*layers[: n_kept - n_last], *gap, *layers[len(layers) - n_last :]])


def _in_brief(gene: str) -> str:
    if gene.startswith(_SKIPS):
        return _SKIPS + "".join(skip[0] for skip in gene.removeprefix(_SKIPS).split(","))
    for pattern, brief in _BRIEF:
        gene = pattern.sub(brief, gene)
    return gene
