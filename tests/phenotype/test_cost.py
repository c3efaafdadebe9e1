import subprocess
import sys

import msgspec
import pytest
import torch
from torch import Tensor, nn

from evoae_cli.evaluation.contract import Decoder, NetworkSpec, Recipe
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import build
from evoae_cli.phenotype.cost import cost, training_bytes

RECIPE = Recipe(
    epochs=1,
    epoch_images=32,
    batch_size=16,
    crop=32,
    flips=False,
    lr=1e-3,
    schedule="constant",
    precision="float32",
    channels_last=True,
)


def measured_operations(network: nn.Module, side: int, channels: int) -> int:
    """Multiply-accumulates counted from the shapes that flow through the real network."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        positions = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += layer.weight.numel() * positions.shape[-1] * positions.shape[-2]

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    network(torch.zeros(1, channels, side, side))
    return total


@pytest.mark.parametrize("text", ["3x3conv2d:16", "dropout2d", "5x5conv2d:8,dropout2d,2x2conv2d:3,1x1conv2d:5"])
@pytest.mark.parametrize(("channels", "reductions", "code_channels"), [(1, 1, None), (3, 2, 12), (8, 3, None)])
@pytest.mark.parametrize("decoder", ["same", "mirrored"])
def test_the_arithmetic_equals_the_real_network(
    text: str, channels: int, reductions: int, code_channels: int | None, decoder: Decoder
) -> None:
    genotype = parse_genotype(text)
    spec = NetworkSpec(channels=channels, reductions=reductions, code_channels=code_channels, decoder=decoder)
    network = build(genotype, spec)
    price = cost(genotype, spec, 32)
    assert price.parameters == sum(p.numel() for p in network.parameters())
    assert price.code_values == network.encode(torch.zeros(1, channels, 32, 32)).numel()
    assert price.operations == measured_operations(network, 32, channels)


def test_the_code_of_wide_filters_has_the_size_the_paper_leaves_unsaid() -> None:
    genotype = parse_genotype("3x3conv2d:64")
    sizes = [
        cost(genotype, NetworkSpec(channels=3, reductions=r, code_channels=None, decoder="same"), 96).code_values
        for r in (1, 2, 3)
    ]
    assert sizes == [294_912, 73_728, 18_432]


@pytest.mark.parametrize("text", ["3x3conv2d:64", "3x3conv2d:16,3x3conv2d:16,dropout2d,1x1conv2d:32", "1x1conv2d:8"])
def test_the_estimate_covers_what_the_backward_pass_keeps_without_wild_excess(text: str) -> None:
    genotype, spec = parse_genotype(text), NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same")
    network = build(genotype, spec)
    kept: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        loss = network(torch.zeros(16, 3, 32, 32)).square().mean()
    assert loss.requires_grad
    measured = sum(kept.values())
    assert measured < training_bytes(genotype, spec, RECIPE) < 3 * measured


def test_memory_grows_with_batch_and_crop_and_shrinks_with_half_precision() -> None:
    genotype, spec = (
        parse_genotype("3x3conv2d:16"),
        NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same"),
    )
    usual = training_bytes(genotype, spec, RECIPE)
    assert training_bytes(genotype, spec, msgspec.structs.replace(RECIPE, batch_size=32)) > 1.9 * usual
    assert training_bytes(genotype, spec, msgspec.structs.replace(RECIPE, crop=64)) > 3.9 * usual
    assert training_bytes(genotype, spec, msgspec.structs.replace(RECIPE, precision="bfloat16")) < usual


def test_the_cost_is_known_without_torch() -> None:
    code = "import sys; import evoae_cli.phenotype.cost; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
