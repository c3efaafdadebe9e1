"""A search space with a layer of its own: a gated convolution, beside all that `skip` has."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evoae_cli.genome.layers import CustomLayer
from evoae_cli.genome.spaces import SPACES

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Gated(CustomLayer):
    """One half of the filters, times how far the other half opens for them (Dauphin et al., 2017)."""

    kernel: int
    filters: int

    @property
    def text(self) -> str:
        """`3x3gated:16`."""
        return f"{self.kernel}x{self.kernel}gated:{self.filters}"

    def n_out(self, n_in: int) -> int:
        """Its filters, whatever comes in."""
        return self.filters

    def build(self, n_in: int) -> "nn.Module":
        """[n, n_in, h, w] -> [n, filters, h, w]."""
        from torch import nn

        both = nn.Conv2d(n_in, 2 * self.filters, self.kernel, padding=self.kernel // 2)
        return nn.Sequential(both, nn.GLU(dim=1))


SPACE = replace(SPACES["skip"], further=(Gated(3, 8), Gated(3, 16), Gated(3, 32)))
