"""The architecture as the paper draws it: the whole autoencoder as a chain (its Figure 1), and the layers inside a
module (its Figure 2), each with true shapes.

The chain turns at the code, encoder above and decoder below, so that what skips the code is a line straight down.
"""

import msgspec
from markupsafe import escape

from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.spaces import genotype_of
from evoae_cli.phenotype.blocks import Block, Shape, blocks_of
from evoae_cli.phenotype.layout import Layout, layout

_WIDTH, _HEIGHT, _GAP, _APART, _MARGIN = 126, 66, 16, 74, 12
"""Pixels: a box, the gap between two, and that between the rows."""

_TITLES = {
    "linear code": "linear code",
    "linear decoder": "and back",
    "reduction": "reduction",
    "code": "code",
    "features": "features",
    "dilation": "dilation",
    "output": "output",
}


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """One network for images of one size."""

    genotype: Genotype
    plan: Layout
    blocks: tuple[Block, ...]
    image: Shape

    @property
    def module(self) -> Block:
        """The first of the encoder's modules."""
        return next(block for block in self.blocks if block.kind == "module")

    @property
    def code(self) -> Shape:
        """What all of the image is in, but for what skips it."""
        return next(block.out for block in self.blocks if block.kind in ("linear code", "code"))

    @property
    def parameters(self) -> int:
        """Of all blocks."""
        return sum(block.parameters for block in self.blocks)

    @property
    def operations(self) -> int:
        """Multiply-accumulates of one image, of all blocks."""
        return sum(block.operations for block in self.blocks)


def architecture(genotype: str, network: NetworkSpec, side: int) -> Architecture:
    """The network of a genotype. Raises EvoaeError where it, or a search space of one's own, cannot be read."""
    read = genotype_of(genotype, network)
    plan = layout(read, network)
    return Architecture(
        genotype=read,
        plan=plan,
        blocks=tuple(blocks_of(plan, network.channels, side)),
        image=Shape(network.channels, side),
    )


def read_architecture(model: dict[str, object]) -> Architecture | str:
    """The network that a `model.json` describes, or a sentence that says why it cannot be drawn."""
    try:
        about = msgspec.convert(model, _Described)
        return architecture(about.genotype, about.network, about.image_size[0])
    except msgspec.ValidationError as error:
        return f"It cannot be drawn, as best/model.json is not as evoae writes it: {error}."
    except EvoaeError as error:
        return f"It cannot be drawn: {error}."


class _Described(msgspec.Struct):
    genotype: str
    network: NetworkSpec
    image_size: tuple[int, int]


class _Box(msgspec.Struct, kw_only=True):
    kind: str
    title: str
    lines: list[str]
    x: float = 0
    y: float


def chain_svg(found: Architecture, name: str) -> str:
    """The whole autoencoder."""
    return _Chain(found, name).svg()


class _Chain:
    """Places the boxes, and joins them."""

    def __init__(self, found: Architecture, name: str) -> None:
        self._found = found
        self._name = name
        self._parts: list[str] = []
        linear = [block for block in found.blocks if block.kind.startswith("linear")]
        chain = [block for block in found.blocks if not block.kind.startswith("linear")]
        turn = next(i for i, block in enumerate(chain) if block.kind in ("code", "features"))
        self._top = 0 if not linear else _HEIGHT + _APART
        given = Shape(found.image.channels, found.image.side)
        start = "image" if not linear else "image again"
        below = self._top + _HEIGHT + _APART
        self._upper = [_Box(kind="image", title=start, lines=[given.text], y=self._top)]
        self._upper += [_box(block, self._top) for block in chain[:turn]]
        self._lower = [_Box(kind="image", title="result", lines=[given.text], y=below)]
        self._lower += [_box(block, below) for block in reversed(chain[turn + 1 :])]
        # The rows end at the code together: so a dilation lies under the module whose features join it.
        self._n_columns = max(len(self._upper), len(self._lower))
        for row in (self._upper, self._lower):
            for number, box in enumerate(row):
                box.x = self._x(number + self._n_columns - len(row))
        self._code = _box(chain[turn], self._top + (_HEIGHT + _APART) / 2)
        self._code.x = self._x(self._n_columns)
        self._skips = self._joined(chain, turn)
        self._linear = [_Box(kind="image", title="image", lines=[given.text], y=0)] if linear else []
        for number, block in enumerate(linear):
            box = _box(block, 0)
            box.x = self._x(number + 1)
            self._linear.append(box)

    @staticmethod
    def _x(number: int) -> float:
        return number * (_WIDTH + _GAP)

    def _joined(self, chain: list[Block], turn: int) -> list[tuple[_Box, _Box, str]]:
        """Boxes of the encoder and of the decoder that a skip joins, and how."""
        modules = {
            block.stage: box for block, box in zip(chain[:turn], self._upper[1:], strict=True) if block.kind == "module"
        }
        decoder = list(zip(reversed(chain[turn + 1 :]), self._lower[1:], strict=True))
        return [
            (modules[block.stage], box, block.skip)
            for block, box in decoder
            if block.kind == "dilation" and block.skip != "none"
        ]

    def svg(self) -> str:
        for box in (*self._upper, *self._lower, self._code, *self._linear):
            self._draw(box)
        for before, after in zip(self._upper, self._upper[1:], strict=False):
            self._arrow(before.x + _WIDTH, self._middle(before), after.x, self._middle(after))
        for before, after in zip(self._lower, self._lower[1:], strict=False):
            self._arrow(after.x, self._middle(after), before.x + _WIDTH, self._middle(before))
        for before, after in zip(self._linear, self._linear[1:], strict=False):
            self._arrow(before.x + _WIDTH, self._middle(before), after.x, self._middle(after))
        if self._linear:
            last, first = self._linear[-1], self._upper[0]
            y = (last.y + _HEIGHT + first.y) / 2
            self._line(
                [(last.x + _WIDTH / 2, last.y + _HEIGHT), (last.x + _WIDTH / 2, y), (first.x + _WIDTH / 2, y)],
                (first.x + _WIDTH / 2, first.y),
            )
        self._turn()
        for above, below, how in self._skips:
            self._skip(above, below, how)
        if self._found.plan.is_residual:
            self._residual()
        width = self._x(self._n_columns) + _WIDTH
        height = self._lower[0].y + _HEIGHT
        marker = f"{self._name}-arrow"
        label = escape(self._label())
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-_MARGIN} {-_MARGIN} {width + 2 * _MARGIN:g} '
            f'{height + 2 * _MARGIN:g}" style="min-width: {min(width, 1000) * 0.8:.0f}px; max-width: {width:.0f}px" '
            f'class="chain" role="img" aria-label="{label}">'
            f'<defs><marker id="{marker}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto-start-reverse"><path d="M0 0.6 7.4 4 0 7.4z" class="head"/></marker></defs>'
            f"{''.join(self._parts)}</svg>"
        )

    def _label(self) -> str:
        found = self._found
        skips = f", {len(self._skips)} skips" if self._skips else ""
        residual = ", its output is taken off the image" if found.plan.is_residual else ""
        return (
            f"Autoencoder {found.genotype.text}: image {found.image.text}, code {found.code.text}"
            f"{skips}{residual}; {found.parameters:,} parameters."
        )

    def _turn(self) -> None:
        """From the end of the encoder through the code to the beginning of the decoder."""
        above, below, code = self._upper[-1], self._lower[-1], self._code
        middle = code.x + _WIDTH / 2
        self._line([(above.x + _WIDTH, self._middle(above)), (middle, self._middle(above))], (middle, code.y))
        self._line([(middle, code.y + _HEIGHT), (middle, self._middle(below))], (below.x + _WIDTH, self._middle(below)))

    def _skip(self, above: _Box, below: _Box, how: str) -> None:
        x = below.x + _WIDTH / 2
        self._line([(above.x + _WIDTH / 2, above.y + _HEIGHT)], (x, below.y), "skip")
        self._sign(x, below.y, "+" if how == "add" else "beside")

    def _residual(self) -> None:
        first, last = self._upper[0], self._lower[0]
        x, to_x, y = first.x + _WIDTH / 2, last.x + _WIDTH / 2, (first.y + _HEIGHT + last.y) / 2
        self._line([(x, first.y + _HEIGHT), (x, y), (to_x, y)], (to_x, last.y), "residual")
        self._sign(to_x, last.y, "− output")

    def _sign(self, x: float, y: float, text: str) -> None:
        self._parts.append(f'<text x="{x + 6:g}" y="{y - 12:g}" class="sign">{text}</text>')

    def _draw(self, box: _Box) -> None:
        self._parts.append(
            f'<g class="box {box.kind.replace(" ", "-")}"><rect x="{box.x:g}" y="{box.y:g}" width="{_WIDTH}" '
            f'height="{_HEIGHT}" rx="7"/>'
        )
        n = len(box.lines) + 1
        y = box.y + _HEIGHT / 2 - (n - 1) * 8 + 4
        self._parts.append(f'<text x="{box.x + _WIDTH / 2:g}" y="{y:g}" class="title">{escape(box.title)}</text>')
        for number, line in enumerate(box.lines, start=1):
            self._parts.append(f'<text x="{box.x + _WIDTH / 2:g}" y="{y + 16 * number:g}">{escape(line)}</text>')
        self._parts.append("</g>")

    def _arrow(self, x: float, y: float, to_x: float, to_y: float) -> None:
        self._line([(x, y)], (to_x, to_y))

    def _line(self, points: list[tuple[float, float]], end: tuple[float, float], kind: str = "flow") -> None:
        path = " ".join(f"{x:g} {y:g}" for x, y in (*points, end))
        self._parts.append(f'<path d="M{path}" class="{kind}" marker-end="url(#{self._name}-arrow)"/>')

    @staticmethod
    def _middle(box: _Box) -> float:
        return box.y + _HEIGHT / 2


def _box(block: Block, y: float) -> _Box:
    if block.kind == "module":
        title = "encoder module" if block.is_encoder else "decoder module"
    else:
        title = _TITLES[block.kind]
    lines = [block.out.text]
    if block.kind in ("code", "linear code"):
        lines.append(f"{block.out.values:,} values")
    elif block.parameters:
        lines.append(
            f"{block.parameters:,} parameters"
            if block.parameters < 10_000_000
            else f"{block.parameters / 1e6:.1f}M param."
        )
    return _Box(kind=block.kind, title=title, lines=lines, y=y)
