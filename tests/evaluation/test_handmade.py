from pathlib import Path

import pytest
import torch
from gradients import gradients
from torch import nn

from evoae_cli.evaluation.contract import Augmentation, Recipe
from evoae_cli.evaluation.handmade import DnCNN, Lessons, UNet, train_for
from evoae_cli.evaluation.imagefile import open_image_file
from evoae_cli.evaluation.noise import gaussian
from evoae_cli.evaluation.resident import Resident

RECIPE = Recipe(
    epochs=1,
    epoch_images=1,
    batch_size=4,
    crop=16,
    augmentation=Augmentation(flips=True),
    lr=1e-3,
    schedule="cosine",
    precision="float32",
    channels_last=True,
)


@pytest.mark.parametrize("network", [DnCNN(3, 3, 4), UNet(3, 4, 2), DnCNN(1, 3, 4)])
@pytest.mark.parametrize("size", [(24, 40), (25, 38), (1, 3)])
def test_a_network_gives_an_image_for_an_image_of_any_size(network: nn.Module, size: tuple[int, int]) -> None:
    channels = 1 if isinstance(network, DnCNN) and network.noise[0].in_channels == 1 else 3
    x = torch.rand(2, channels, *size)
    assert network(x).shape == x.shape


def test_the_networks_have_the_articles_layers_at_the_sizes_that_the_documents_name() -> None:
    def n_parameters(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    # 3x3 convolutions: 3 -> 32, six 32 -> 32 with scale and shift, 32 -> 3.
    assert n_parameters(DnCNN(3)) == (27 * 32 + 32) + 6 * (9 * 32 * 32 + 2 * 32) + (9 * 32 * 3 + 3)
    widths, n_in, expected = (16, 32, 64, 128), 3, 16 * 3 + 3
    for width in widths:
        expected += 9 * n_in * width + width + 9 * width * width + width
        n_in = width
    for width in widths[:-1]:
        up = 4 * 2 * width * width + width
        joined = 9 * 2 * width * width + width + 9 * width * width + width
        expected += up + joined
    assert n_parameters(UNet(3)) == expected


def test_dncnn_predicts_what_is_to_be_taken_off() -> None:
    network = DnCNN(3, 3, 4)
    for parameter in network.noise[-1].parameters():
        parameter.data.zero_()
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(network(x), x)


def test_training_takes_about_the_time_given_and_learns(tmp_path: Path) -> None:
    images = Resident(open_image_file(gradients(tmp_path).path), "cpu", 32, n_val=1, n_test=1, study_seed=0)
    torch.manual_seed(0)
    network = UNet(3, 4, 1)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    taken = train_for(network, Lessons(images, RECIPE, gaussian(0.5), seed=0), 0.2)
    # A busy machine may slow one training and not the pilot; a factor of ten is no rounding.
    assert 0.02 < taken < 2
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())
