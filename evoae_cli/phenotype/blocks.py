"""The network as people draw it: blocks in their order, with true shapes, parameters and operations. By arithmetic."""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

import msgspec

from evoae_cli.genome.layers import Conv2d, DilatedConv2d, Layer, SepConv2d
from evoae_cli.phenotype.layout import Layout
from evoae_cli.phenotype.steps import Step, n_steps_of, steps_of

Kind = Literal["linear code", "linear decoder", "module", "reduction", "code", "features", "dilation", "output"]
"""`linear code` and `linear decoder` are a residual manifold network's lapped transform. `code` is the code, with the
convolutions that make and undo it where there are any, and `features` what lies in its place behind a linear code."""


class Shape(msgspec.Struct, frozen=True):
    """Channels, height and width of what flows between two blocks."""

    channels: int
    side: int

    @property
    def text(self) -> str:
        """`16 × 48 × 48`."""
        return f"{self.channels:,} × {self.side:,} × {self.side:,}"

    @property
    def values(self) -> int:
        """Numbers in it."""
        return self.channels * self.side**2


class LayerBlock(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of a module."""

    text: str
    """As a genotype has it."""
    has_relu: bool
    out: Shape
    parameters: int
    operations: int


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One block of the chain."""

    kind: Kind
    stage: int = -1
    """Of the encoder or decoder, 0 the finest; -1 where it belongs to none."""
    is_encoder: bool = False
    given: Shape
    out: Shape
    """What it puts out; of a `code`, the code."""
    parameters: int
    operations: int
    layers: tuple[LayerBlock, ...] = ()
    """Of a `module`, each repeat written out."""
    skip: Literal["none", "add", "concat"] = "none"
    """Of a `dilation`: how what the encoder's module of this stage made joins what it puts out."""
    joined: Shape | None = None
    """Of a `dilation` with a skip: what the next block takes in."""


def blocks_of(plan: Layout, channels: int, side: int) -> list[Block]:
    """The blocks of `plan`'s network for an image of `side` x `side` pixels, in the order in which it runs.

    Their parameters and operations add up to those of the network.
    """
    return list(_Walk(plan, channels, side).blocks())


class _Walk:
    """Goes through the operations once, and shares them out."""

    def __init__(self, plan: Layout, channels: int, side: int) -> None:
        self._plan = plan
        self._channels = channels
        self._side = side
        self._steps = steps_of(plan, channels, side)

    def blocks(self) -> Iterator[Block]:
        plan, image = self._plan, Shape(self._channels, self._side)
        if plan.transform is not None:
            code = Shape(plan.transform.channels, self._side // plan.transform.block)
            yield self._block("linear code", image, code, 1)
            yield self._block("linear decoder", code, image, 1)
        given, stages = image, list(enumerate(plan.encoder))
        for number, stage in stages:
            yield (module := self._module(plan.layers, given, number, is_encoder=True))
            given = Shape(2 * stage.width, given.side // 2)
            yield self._block("reduction", module.out, given, 2, stage=number, is_encoder=True)
        if plan.code_channels is None:
            yield self._block("code" if plan.transform is None else "features", given, given, 1)
        else:
            yield self._block("code", given, Shape(plan.code_channels, given.side), 2)
        for (number, _), up in zip(reversed(stages), plan.decoder, strict=True):
            yield (module := self._module(plan.decoder_layers, given, number))
            out = Shape(up.n_up, 2 * given.side)
            given = Shape(up.n_out, out.side)
            n_steps = 2 if up.skip == "none" else 3
            joined = None if up.skip == "none" else given
            yield self._block("dilation", module.out, out, n_steps, stage=number, skip=up.skip, joined=joined)
        if plan.last is not None:
            yield (module := self._module(plan.decoder_layers, given, 0))
            given = module.out
        yield self._block("output", given, image, 1)

    def _module(self, layers: tuple[Layer, ...], given: Shape, stage: int, is_encoder: bool = False) -> Block:
        rows, width = [], given.channels
        for layer in layers:
            own = self._next(n_steps_of(layer, width, given.side))
            width = layer.n_out(width)
            rows.append(
                LayerBlock(
                    text=layer.text,
                    has_relu=isinstance(layer, Conv2d | SepConv2d | DilatedConv2d),
                    out=Shape(width, given.side),
                    parameters=sum(step.parameters for step in own),
                    operations=sum(step.operations for step in own),
                )
            )
        return Block(
            kind="module",
            stage=stage,
            is_encoder=is_encoder,
            given=given,
            out=Shape(width, given.side),
            parameters=sum(row.parameters for row in rows),
            operations=sum(row.operations for row in rows),
            layers=tuple(rows),
        )

    def _block(
        self,
        kind: Kind,
        given: Shape,
        out: Shape,
        n_steps: int,
        *,
        stage: int = -1,
        is_encoder: bool = False,
        skip: Literal["none", "add", "concat"] = "none",
        joined: Shape | None = None,
    ) -> Block:
        own = self._next(n_steps)
        return Block(
            kind=kind,
            stage=stage,
            is_encoder=is_encoder,
            given=given,
            out=out,
            parameters=sum(step.parameters for step in own),
            operations=sum(step.operations for step in own),
            skip=skip,
            joined=joined,
        )

    def _next(self, n: int) -> list[Step]:
        return list(islice(self._steps, n))
