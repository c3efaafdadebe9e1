"""The blocks that people see are the network's operations, each counted once."""

import itertools

import pytest

from evoae_cli.draws import generator
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.sampling import random_genotypes, uniform_lengths
from evoae_cli.genome.spaces import named_space
from evoae_cli.phenotype.blocks import Block, Shape, blocks_of
from evoae_cli.phenotype.cost import cost
from evoae_cli.phenotype.layout import layout

DENOISE = NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="mirrored")
MANIFOLD = NetworkSpec(channels=3, reductions=2, code_channels=12, decoder="same", is_manifold=True)


def blocks(genotype: Genotype, spec: NetworkSpec) -> list[Block]:
    return blocks_of(layout(genotype, spec), spec.channels, 64)


@pytest.mark.parametrize("spec", [DENOISE, MANIFOLD])
@pytest.mark.parametrize("space", ["paper", "skip"])
def test_they_add_up_to_the_cost_of_the_network_and_what_one_puts_out_the_next_takes_in(
    space: str, spec: NetworkSpec
) -> None:
    found = named_space(space)
    n = 0
    for genotype in random_genotypes(uniform_lengths(60, found, generator(0)), found, generator(1)):
        try:
            expected = cost(genotype, spec, 64)
        except UsageError:
            # It has more reductions than the code of this study allows.
            continue
        n += 1
        chain = blocks(genotype, spec)
        assert sum(block.parameters for block in chain) == expected.parameters
        assert sum(block.operations for block in chain) == expected.operations
        code = next(block for block in chain if block.kind in ("linear code", "code"))
        assert code.out.values == expected.code_values
        for before, after in itertools.pairwise(chain):
            # A convolution of its own leads back from a code to as many channels as led to it.
            given = before.given if before.kind == "code" else before.joined or before.out
            assert after.given == given
        assert chain[-1].out == Shape(3, 64)
        module = next(block for block in chain if block.kind == "module")
        assert len(module.layers) == len(genotype.layers)
        assert module.layers[-1].out == module.out
    assert n > 20


def test_a_u_net_reads_as_the_paper_s_figure_turned_at_the_code() -> None:
    chain = blocks(parse_genotype("3x3conv2d:16,dropout2d/reductions:2/skips:add,none"), DENOISE)
    assert [block.kind for block in chain] == [
        *("module", "reduction", "module", "reduction", "code"),
        *("module", "dilation", "module", "dilation", "module", "output"),
    ]
    assert [block.out.text for block in chain[:5]] == [
        "16 × 64 × 64",
        "32 × 32 × 32",
        "16 × 32 × 32",
        "32 × 16 × 16",
        "32 × 16 × 16",
    ]
    assert [block.skip for block in chain if block.kind == "dilation"] == ["none", "add"]
    assert [layer.has_relu for layer in chain[0].layers] == [True, False]
