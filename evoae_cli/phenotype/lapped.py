"""A lapped transform: a linear code of an image's blocks, each seen with half a block around it, and the way back.

It begins as the principal components of blocks (the Karhunen-Loève transform, which no other linear code of separate
blocks excels in squared error) and is trained with the network behind it. What lies around a block is seen with weight
0 at first; training finds what helps there, as lapped transforms (Malvar and Staelin, 1989) do by design.
"""

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from evoae_cli.phenotype.layout import Transform

_SHARE = 0.25
"""Weights are kept 1 / `_SHARE` times as large, so that a step of Adam moves them by that share of the learning rate:
they begin where they are good already. At 1/8 of the values, 15 epochs of one network on BSDS gave 34.35 dB with 0.01,
34.42 with 0.05, 34.47 with 0.2, 34.49 with 0.5, and 34.28 with 1; separate blocks 34.22 with 0.01, 34.26 with 0.05."""


class LappedTransform(nn.Module):
    """Images [n, C, H, W] -> code [n, k, H/b, W/b] -> images; windows of 2b x 2b pixels, b apart, are seen and made.

    Float32 also where the rest computes in half precision, in which a code would lose what there is to gain.
    """

    def __init__(self, channels: int, plan: Transform) -> None:
        super().__init__()
        self.plan = plan
        window, around = 2 * plan.block, plan.block // 2
        self.analysis = nn.Conv2d(channels, plan.channels, window, stride=plan.block, bias=False)
        self.synthesis = nn.ConvTranspose2d(
            plan.channels, channels, window, stride=plan.block, padding=around, bias=False
        )
        # No parameter: Adam would move it about by more than it can be wrong.
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(channels, 1, 1))

    @property
    def reach(self) -> int:
        """How far, in pixels, what comes back can depend on the image."""
        return 2 * self.plan.block

    def begin(self, mean: Tensor, components: Tensor) -> None:
        """Take the mean of blocks [C, b, b] and their principal components [k, C, b, b] for the first weights."""
        around = self.plan.block // 2
        windows = F.pad(components, (around, around, around, around))  # [k, C, 2b, 2b]
        with torch.no_grad():
            for part in (self.analysis, self.synthesis):
                part.weight.copy_(windows / _SHARE)
            self.mean.copy_(mean.mean(dim=(1, 2), keepdim=True))

    def encode(self, x: Tensor) -> Tensor:
        """[n, C, H, W] -> [n, k, H/b, W/b]; H and W are multiples of b."""
        around = self.plan.block // 2
        with torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x.float() - self.mean, (around, around, around, around), mode="reflect")
            code: Tensor = self.analysis(_SHARE * padded)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """[n, k, h, w] -> [n, C, b * h, b * w]."""
        with torch.autocast(code.device.type, enabled=False):
            image: Tensor = self.synthesis(_SHARE * code.float()) + self.mean
        return image

    def forward(self, x: Tensor) -> Tensor:
        """[n, C, H, W] -> what comes back from its code."""
        return self.decode(self.encode(x))
