"""What a layer of the user's own costs: found by running it on tensors without memory."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from evoae_cli.errors import UsageError, first_line
from evoae_cli.genome.layers import CustomLayer
from evoae_cli.genome.space import SearchSpace

_TRIED_SIDE = 8
"""Pixels; the coarsest features of a study may be as small."""


class _Outputs(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Adds up the values that operations put out, views of what is there already left out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.n_values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        is_fresh = not any(result.alias_info for result in func._schema.returns)
        if isinstance(output, Tensor) and is_fresh:
            self.n_values += output.numel()
        return output


class Measured:
    """Parameters, operations (multiply-accumulates) and values of one layer on one image."""

    def __init__(self, layer: CustomLayer, n_in: int, side: int) -> None:
        """Raises UsageError for a layer that does not do what `CustomLayer.build` says."""
        try:
            with torch.device("meta"):
                network = layer.build(n_in)
                image = torch.empty(1, n_in, side, side)
            with torch.no_grad(), FlopCounterMode(display=False) as counter, _Outputs() as outputs:
                made = tuple(network(image).shape)
            wanted = (1, layer.n_out(n_in), side, side)
            self.parameters = sum(parameter.numel() for parameter in network.parameters())
        except Exception as error:
            # It is a person's own program, so what it raises is theirs to mend.
            raise UsageError(
                f"layer {layer.text!r} cannot be used on {n_in} channels: {type(error).__name__}: {first_line(error)}"
            ) from error
        if made != wanted:
            raise UsageError(
                f"layer {layer.text!r} makes {made} of {tuple(image.shape)}, not {wanted}; "
                "its n_out and build must agree, and height and width stay"
            )
        # A multiplication and an addition each count as one there.
        self.operations = counter.get_total_flops() // 2
        self.n_values = outputs.n_values


def check_further(space: SearchSpace, channels: int) -> None:
    """Try the layers of a space of the user's own before a study begins.

    On images of `channels` channels, and on features of as many as come after the layer itself and after a reduction.

    Raises UsageError for one that does not do what `CustomLayer.build` says.
    """
    for layer in space.further:
        if isinstance(layer, CustomLayer):
            Measured(layer, channels, _TRIED_SIDE)
            n_out = layer.n_out(channels)
            for n_in in (n_out, 2 * n_out):
                Measured(layer, n_in, _TRIED_SIDE)
