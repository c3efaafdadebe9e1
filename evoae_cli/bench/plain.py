"""The training that most people write for image files, to compare with: a Dataset, a DataLoader, Adam, a loop.

It has a module of its own, so that the loader's worker processes can import it.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from evoae_cli.evaluation.contract import Recipe


class ImageFiles(Dataset[Tensor]):
    """`n` random crops of image files, each [3, crop, crop] float32 on [-1, 1], decoded when it is asked for.

    An epoch runs through the files as often as it takes: one pass over a few photographs would be over in a moment.
    """

    def __init__(self, paths: Sequence[Path], crop: int, n: int) -> None:
        self._paths = paths
        self._n = n
        self._transform = transforms.Compose(
            [transforms.RandomCrop(crop), transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
        )

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self._paths[index % len(self._paths)]) as image:
            crop: Tensor = self._transform(image.convert("RGB"))
        return crop


class PlainLoop:
    """Trains `network` on `paths` with one thread, as `recipe` says; schedule, epochs and augmentation are left out."""

    def __init__(
        self, network: nn.Module, paths: Sequence[Path], recipe: Recipe, noise_std: float, n_loaders: int
    ) -> None:
        self._memory_format = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self._network = network.to(memory_format=self._memory_format).train()
        self._paths = paths
        self._recipe = recipe
        self._noise_std = noise_std
        self._n_loaders = n_loaders
        self._optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr)

    def rate(self, n_warm: int, n_steps: int) -> float:
        """Images per second of `n_steps` steps, after `n_warm` that are not timed."""
        batch_size = self._recipe.batch_size
        files = ImageFiles(self._paths, self._recipe.crop, (n_warm + n_steps) * batch_size)
        loader = DataLoader(files, batch_size, shuffle=True, num_workers=self._n_loaders)
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            begun = time.perf_counter()
            for number, clean in enumerate(loader, 1):
                self._step(clean)
                if number == n_warm:
                    begun = time.perf_counter()
            return n_steps * batch_size / (time.perf_counter() - begun)
        finally:
            torch.set_num_threads(n_threads)

    def _step(self, clean: Tensor) -> None:
        clean = clean.to(memory_format=self._memory_format)
        noisy = clean + self._noise_std * torch.randn_like(clean)
        self._optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._recipe.precision == "bfloat16"):
            output = self._network(noisy)
        loss = F.mse_loss(output.float(), clean)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimizer.step()
