"""The linear code of residual networks for manifold learning."""

import pytest
import torch
from torch import Tensor

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.components import Components, principal_components
from evoae_cli.evaluation.compression import BLOCK, BlockPCA
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import Autoencoder, build

TEXT = "3x3conv2d:8/reductions:2/skips:concat,add/residual"


def made(text: str = TEXT, *, reductions: int = 3, code_channels: int | None = 24) -> Autoencoder:
    spec = NetworkSpec(channels=3, reductions=reductions, code_channels=code_channels, decoder="same", is_manifold=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(parse_genotype(text), spec)


def smooth(n: int, side: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, side // 4, side // 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=side, mode="bilinear") - 0.3


def components(k: int) -> Components:
    return principal_components([smooth(500, BLOCK)], k)


def test_it_begins_as_block_pca_with_a_network_behind_it_that_changes_nothing() -> None:
    network, images, found = made(), smooth(4, 32), components(24)
    network.begin(*found)
    pca = BlockPCA(found)
    with torch.inference_mode():
        code = network.encode(images)
        assert code.shape == (4, 24, 4, 4)
        # The network's mean is one for each channel, that of the components one for each place in a block.
        assert torch.allclose(network.decode(code), pca.decode(pca.encode(images)), atol=0.02)
        assert torch.equal(network.decode(code), network(images))
    assert not network.has_skips


def test_the_code_is_that_of_float32_also_where_the_rest_computes_in_half_precision() -> None:
    network, images = made(), smooth(2, 32)
    network.begin(*components(24))
    with torch.inference_mode():
        expected = network.encode(images)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(network.encode(images), expected)
            assert network(images).dtype == torch.float32


def test_all_of_it_is_trained_and_what_lies_round_a_block_is_seen_then() -> None:
    network = made()
    network.begin(*components(24))
    torch.nn.init.constant_(network.output.weight, 0.01)
    network(smooth(2, 32)).square().mean().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    assert network.transform is not None
    for part in (network.transform.analysis, network.transform.synthesis):
        assert not part.weight[..., :4, :].any()
        assert part.weight.grad is not None
        assert part.weight.grad[..., :4, :].any()


def test_no_output_depends_on_pixels_beyond_the_reach() -> None:
    network = made("3x3conv2d:4/reductions:1/residual").eval()
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    seen = 0
    for place in range(64, 64 + BLOCK):
        image = smooth(1, 144).requires_grad_()
        network(image)[0, :, place, place].sum().backward()
        assert image.grad is not None
        rows, columns = torch.nonzero(image.grad.abs().sum(dim=(0, 1)), as_tuple=True)
        seen = max(seen, int((rows - place).abs().max()), int((columns - place).abs().max()))
    assert network.reach / 2 < seen <= network.reach


def test_sides_are_multiples_of_the_block_however_often_the_network_halves() -> None:
    network = made("3x3conv2d:4/reductions:1/residual")
    assert network.step == 8
    for refused in (network, network.encode):
        with pytest.raises(UsageError, match=r"cannot be halved 3 times; nearest sizes .*: 16x24 or 24x24"):
            refused(torch.zeros(1, 3, 20, 24))


def test_without_a_code_of_some_size_or_with_finer_blocks_it_is_refused() -> None:
    with pytest.raises(UsageError, match="give --code-ratio"):
        made(code_channels=None)
    with pytest.raises(UsageError, match="raise --reductions"):
        made(reductions=1)


def test_more_components_than_there_are_values_are_refused() -> None:
    with pytest.raises(UsageError, match="192 values have no 193 components"):
        components(193)
