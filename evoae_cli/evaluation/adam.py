"""Adam over all of a network's parameters as one flat vector.

`torch.optim.Adam` computes the same, but loads PyTorch's compiler, which costs each worker 150 MB and 1.3 s
(measured with PyTorch 2.14).
"""

import math

import torch
from torch import nn

# The defaults of the article (Kingma and Ba 2015, algorithm 1) and of PyTorch.
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_MOST_TIMES = 2.0
"""The usual length that a clipped gradient has at most."""
_ALIGNMENT = 32
"""Elements: every parameter starts at a multiple of 128 bytes, as one of its own memory would."""


class Adam:
    """Moves a network's parameters, and their gradients, into one vector each, and takes steps there.

    The parameters keep their shapes and memory formats; move the network to its device before, not after.

    With `clip` a gradient much longer than usual is shortened (Pascanu et al. 2013, algorithm 1, with a threshold that
    follows the training): a single one a hundred times as long, as deep networks have at a high learning rate, can
    leave every ReLU at 0, from where no training leads back.
    """

    def __init__(self, network: nn.Module, *, clip: bool = False) -> None:
        parameters = list(network.parameters())
        starts = [0]
        for parameter in parameters:
            starts.append(starts[-1] + math.ceil(parameter.numel() / _ALIGNMENT) * _ALIGNMENT)
        # What lies between the parameters stays 0: its gradient is.
        self._values = torch.zeros(starts[-1], device=parameters[0].device)
        self._gradients = torch.zeros_like(self._values)
        self._mean = torch.zeros_like(self._values)
        self._mean_square = torch.zeros_like(self._values)
        self._scale = torch.empty_like(self._values)
        self._n_steps = 0
        self._clip = clip
        for parameter, start in zip(parameters, starts, strict=False):
            value, gradient = (
                vector[start : start + parameter.numel()].as_strided(parameter.size(), parameter.stride())
                for vector in (self._values, self._gradients)
            )
            parameter.data = value.copy_(parameter.detach())
            parameter.grad = gradient

    def step(self, lr: float) -> None:
        """Take one step with the gradients that backward passes have added up since the last, then forget them."""
        if self._clip and self._n_steps:
            self._shorten()
        self._n_steps += 1
        self._mean.lerp_(self._gradients, 1 - _BETA_1)
        self._mean_square.mul_(_BETA_2).addcmul_(self._gradients, self._gradients, value=1 - _BETA_2)
        torch.sqrt(self._mean_square, out=self._scale)
        self._scale.div_(math.sqrt(1 - _BETA_2**self._n_steps)).add_(_EPSILON)
        self._values.addcdiv_(self._mean, self._scale, value=-lr / (1 - _BETA_1**self._n_steps))
        self._gradients.zero_()

    def _shorten(self) -> None:
        """Scale the gradient down to what is usual: the root mean square of the lengths so far, late ones foremost."""
        usual = (self._mean_square.sum() / (1 - _BETA_2**self._n_steps)).sqrt()
        # On the device, as reading it would wait for a GPU. Where both are 0 there is nothing to scale.
        times = (_MOST_TIMES * usual + _EPSILON) / (torch.linalg.vector_norm(self._gradients) + _EPSILON)
        self._gradients.mul_(times.clamp(max=1.0))
