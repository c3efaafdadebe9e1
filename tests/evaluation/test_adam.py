import subprocess
import sys

import pytest
import torch

from evoae_cli.evaluation.adam import Adam
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import Autoencoder, build


def network(memory_format: torch.memory_format) -> Autoencoder:
    spec = NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(parse_genotype("3x3conv2d:5,1x1conv2d:7"), spec).to(memory_format=memory_format)


def flat(net: Autoencoder) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_it_takes_the_steps_of_pytorch_s_own(memory_format: torch.memory_format) -> None:
    mine, theirs = network(memory_format), network(memory_format)
    start = flat(mine)
    adam, reference = Adam(mine), torch.optim.Adam(theirs.parameters())
    assert torch.equal(flat(mine), start)
    for step in range(5):
        image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        lr = 0.01 / (step + 1)
        (mine(image) - image).square().mean().backward()
        adam.step(lr)
        reference.param_groups[0]["lr"] = lr
        (theirs(image) - image).square().mean().backward()
        reference.step()
        reference.zero_grad()
    assert torch.allclose(flat(mine), flat(theirs), atol=1e-6)
    assert not torch.allclose(flat(mine), start, atol=1e-3)


def test_gradients_of_several_backward_passes_add_up_and_are_forgotten_by_the_step() -> None:
    net = network(torch.channels_last)
    adam = Adam(net)
    image = torch.rand(1, 3, 8, 8)
    net(image).mean().backward()
    once = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net(image).mean().backward()
    twice = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    assert all(torch.allclose(2 * a, b, atol=1e-7) for a, b in zip(once, twice, strict=True))
    adam.step(0.1)
    assert not any(p.grad.any() for p in net.parameters() if p.grad is not None)


def steps_of(net: Autoencoder, adam: Adam, scales: list[float]) -> torch.Tensor:
    """Take steps with one random gradient per scale; the parameters after them."""
    for number, scale in enumerate(scales):
        generator = torch.Generator().manual_seed(number)
        for p in net.parameters():
            assert p.grad is not None
            p.grad.copy_(scale * torch.randn(p.shape, generator=generator))
        adam.step(0.01)
    return flat(net)


def test_a_clipped_gradient_is_at_most_twice_as_long_as_usual() -> None:
    clipped, shortened = network(torch.contiguous_format), network(torch.contiguous_format)
    usual = [1.0] * 20
    with_clip = steps_of(clipped, Adam(clipped, clip=True), [*usual, 100.0, *usual])
    # Random gradients of as many values differ in length by some per cent.
    by_hand = steps_of(shortened, Adam(shortened), [*usual, 2.0, *usual])
    assert torch.allclose(with_clip, by_hand, atol=2e-3)
    unclipped = network(torch.contiguous_format)
    assert not torch.allclose(with_clip, steps_of(unclipped, Adam(unclipped), [*usual, 100.0, *usual]), atol=2e-2)


@pytest.mark.parametrize("scales", [[1.0, 1.5, 0.5, 1.8, 0.1], [0.0, 0.0, 0.0]])
def test_gradients_of_usual_length_are_not_clipped(scales: list[float]) -> None:
    one, other = network(torch.contiguous_format), network(torch.contiguous_format)
    assert torch.equal(steps_of(one, Adam(one, clip=True), scales), steps_of(other, Adam(other), scales))


def test_clipping_follows_gradients_that_grow() -> None:
    """Were 10 still far beyond the usual length, 10 and 15 would both be cut to the same."""

    def ended_with(scale: float, n_before: int) -> torch.Tensor:
        net = network(torch.contiguous_format)
        return steps_of(net, Adam(net, clip=True), [*[1.0] * 10, *[10.0] * n_before, scale])

    assert torch.allclose(ended_with(10.0, 0), ended_with(15.0, 0), atol=1e-6)
    assert not torch.allclose(ended_with(10.0, 200), ended_with(15.0, 200), atol=1e-4)


def test_clipping_hides_no_gradient_that_is_no_number() -> None:
    net = network(torch.contiguous_format)
    adam = Adam(net, clip=True)
    assert torch.isfinite(steps_of(net, adam, [1.0, 1.0])).all()
    assert not torch.isfinite(steps_of(net, adam, [float("inf")])).any()


def test_parameters_keep_their_memory_format() -> None:
    net = network(torch.channels_last)
    strides = [p.stride() for p in net.parameters()]
    Adam(net)
    assert [p.stride() for p in net.parameters()] == strides


def test_training_does_not_load_pytorch_s_compiler() -> None:
    code = """
import sys
import torch
from evoae_cli.evaluation.adam import Adam
from evoae_cli.evaluation.reproducible import reproducible, seeded
with reproducible(1), seeded(0, "cpu"):
    net = torch.nn.Conv2d(1, 1, 1)
    adam = Adam(net)
    net(torch.ones(1, 1, 2, 2)).mean().backward()
    adam.step(0.1)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
