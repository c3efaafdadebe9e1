import gc
import itertools
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Augmentation, Decoder, NetworkSpec, Precision, Recipe
from evoae_cli.evaluation.noise import gaussian
from evoae_cli.evaluation.reproducible import reproducible
from evoae_cli.evaluation.training import train
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.genome.layers import CustomLayer
from evoae_cli.genome.space import SearchSpace
from evoae_cli.phenotype.autoencoder import build
from evoae_cli.phenotype.cost import cost, training_bytes
from evoae_cli.phenotype.measured import check_further

RECIPE = Recipe(
    epochs=1,
    epoch_images=32,
    batch_size=16,
    crop=32,
    augmentation=Augmentation(),
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
        # Of a depthwise convolution the weights hold one channel in each, so they say the operations too.
        positions = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += layer.weight.numel() * positions.shape[-1] * positions.shape[-2]

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    network(torch.zeros(1, channels, side, side))
    return total


@pytest.mark.parametrize(
    "text",
    [
        "3x3conv2d:16",
        "dropout2d",
        "5x5conv2d:8,dropout2d,2x2conv2d:3,1x1conv2d:5",
        "3x3dilated:8,5x5sepconv:4/repeats:2",
        "3x3conv2d:8/reductions:3/skips:add,none,concat/residual",
    ],
)
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


def test_a_linear_code_is_counted_with_the_network_behind_it() -> None:
    genotype = parse_genotype("3x3conv2d:8/reductions:2/skips:concat,add/residual")
    spec = NetworkSpec(channels=3, reductions=3, code_channels=24, decoder="same", is_manifold=True)
    network = build(genotype, spec)
    price = cost(genotype, spec, 32)
    assert price.parameters == sum(p.numel() for p in network.parameters())
    assert price.code_values == network.encode(torch.zeros(1, 3, 32, 32)).numel() == 24 * 4 * 4
    assert price.operations == measured_operations(network, 32, 3)


def test_the_code_of_wide_filters_has_the_size_the_paper_leaves_unsaid() -> None:
    genotype = parse_genotype("3x3conv2d:64")
    sizes = [
        cost(genotype, NetworkSpec(channels=3, reductions=r, code_channels=None, decoder="same"), 96).code_values
        for r in (1, 2, 3)
    ]
    assert sizes == [294_912, 73_728, 18_432]


class Grey:
    """Random crops, in the memory format in which those of real images come."""

    is_paired = False

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def sampler(self, side: int, augmentation: Augmentation, generator: torch.Generator) -> "Grey":
        self.side, self.generator = side, generator
        return self

    def crops(self, n: int) -> Tensor:
        nhwc = torch.rand((n, self.side, self.side, self.channels), generator=self.generator)
        return nhwc.mul_(2).sub_(1).permute(0, 3, 1, 2)


def measured_peak(text: str, spec: NetworkSpec, recipe: Recipe, trace: Path) -> int:
    """Most bytes that torch's allocator held at once, oneDNN's workspaces included, from no network to two steps."""
    gc.collect()
    with reproducible(1), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        network = build(parse_genotype(text), spec)
        if recipe.channels_last:
            network.to(memory_format=torch.channels_last)
        images = Grey(spec.channels)
        train(
            network, images, recipe, noise=gaussian(0.5), seed=1, device="cpu", n_parts=1, progress=lambda share: None
        )
    profiler.export_chrome_trace(str(trace))
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    return max(itertools.accumulate(event["args"]["Bytes"] for event in events))


# Text, channels, reductions, code channels, batch size, crop, precision, channels_last.
MEASURED: list[tuple[str, int, int, int | None, int, int, Precision, bool]] = [
    ("dropout2d", 3, 1, None, 8, 48, "float32", True),
    ("dropout2d,dropout2d,3x3conv2d:8", 3, 2, 6, 8, 48, "float32", True),
    ("1x1conv2d:8", 1, 2, 4, 32, 96, "float32", True),
    ("1x1conv2d:8", 3, 2, None, 8, 32, "bfloat16", True),
    ("3x3conv2d:16", 1, 1, None, 32, 32, "float32", False),
    ("3x3conv2d:64", 3, 1, 12, 8, 48, "float32", False),
    ("7x7conv2d:64", 3, 1, None, 8, 32, "float32", True),
    ("5x5conv2d:32,dropout2d", 3, 1, None, 8, 64, "bfloat16", False),
    ("3x3conv2d:16,3x3conv2d:16,dropout2d,1x1conv2d:32", 3, 2, None, 8, 64, "bfloat16", True),
    ("1x1conv2d:64,7x7conv2d:16,dropout2d,3x3conv2d:8", 3, 2, 12, 8, 32, "float32", True),
    (",".join(["3x3conv2d:16", "1x1conv2d:32"] * 5), 3, 1, 6, 8, 48, "float32", True),
    ("3x3conv2d:24/reductions:3/skips:concat,concat,concat", 3, 1, None, 16, 48, "bfloat16", True),
    ("3x3dilated:16,5x5sepconv:32/reductions:2/repeats:2/skips:add,concat", 3, 1, None, 8, 48, "float32", False),
    ("3x3conv2d:16/reductions:3/repeats:3/skips:concat,none,add/residual", 1, 1, None, 16, 32, "float32", True),
    (",".join(["7x7conv2d:32", "5x5conv2d:64"] * 3), 3, 1, None, 8, 32, "bfloat16", True),
    ("3x3conv2d:16/reductions:2/skips:concat,add/residual", 3, 3, 48, 8, 32, "bfloat16", True),
    ("3x3conv2d:8,5x5sepconv:8/reductions:3/skips:none,add,none/residual", 3, 3, 24, 16, 48, "float32", False),
    ("1x1conv2d:8/reductions:1/residual", 3, 3, 48, 32, 96, "float32", True),
]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere PyTorch convolves by other means")
@pytest.mark.parametrize(
    ("text", "channels", "reductions", "code_channels", "batch_size", "crop", "precision", "channels_last"), MEASURED
)
def test_the_estimated_memory_is_within_30_percent_of_a_real_training_s_peak(
    text: str,
    channels: int,
    reductions: int,
    code_channels: int | None,
    batch_size: int,
    crop: int,
    precision: Precision,
    channels_last: bool,
    tmp_path: Path,
) -> None:
    if precision == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("without AVX-512 PyTorch convolves bfloat16 by other means")
    spec = NetworkSpec(
        channels=channels,
        reductions=reductions,
        code_channels=code_channels,
        decoder="mirrored",
        is_manifold="residual" in text and code_channels is not None,
    )
    recipe = msgspec.structs.replace(
        RECIPE,
        epoch_images=2 * batch_size,
        batch_size=batch_size,
        crop=crop,
        precision=precision,
        channels_last=channels_last,
    )
    estimated = training_bytes(parse_genotype(text), spec, recipe)
    assert measured_peak(text, spec, recipe, tmp_path / "trace.json") == pytest.approx(estimated, rel=0.3)


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


@dataclass(frozen=True)
class Gated(CustomLayer):
    """A convolution that another one lets through."""

    filters: int

    @property
    def text(self) -> str:
        return f"gated:{self.filters}"

    def n_out(self, n_in: int) -> int:
        return self.filters

    def build(self, n_in: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(n_in, 2 * self.filters, 3, padding=1), nn.GLU(dim=1))


def test_a_layer_of_ones_own_is_counted_by_what_its_network_does(tmp_path: Path) -> None:
    genotype = parse_genotype("gated:6,3x3conv2d:8/reductions:2/skips:concat,add", further=[Gated(6)])
    spec = NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same")
    network = build(genotype, spec)
    price = cost(genotype, spec, 32)
    assert price.parameters == sum(p.numel() for p in network.parameters())
    assert price.operations == measured_operations(network, 32, 3)
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)


@dataclass(frozen=True)
class Shrinking(Gated):
    """Its network makes fewer rows than came in."""

    def build(self, n_in: int) -> nn.Module:
        return nn.Conv2d(n_in, self.filters, 3)


def test_a_layer_whose_network_is_not_what_it_says_is_refused() -> None:
    genotype = parse_genotype("gated:6", further=[Shrinking(6)])
    with pytest.raises(UsageError, match=r"layer 'gated:6' makes \(1, 6, 30, 30\) of \(1, 3, 32, 32\)"):
        cost(genotype, NetworkSpec(channels=3, reductions=1, code_channels=None, decoder="same"), 32)


@dataclass(frozen=True)
class Misspelt(Gated):
    def n_out(self, n_in: int) -> int:
        return self.fliters  # type: ignore[attr-defined,no-any-return]  # what is wrong with it


@dataclass(frozen=True)
class Doubled(Gated):
    """Its network gives two images."""

    def build(self, n_in: int) -> nn.Module:
        class Two(nn.Module):
            def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                return x, x

        return Two()


@dataclass(frozen=True)
class Unmade(Gated):
    """It builds a function, which has no parameters."""

    def build(self, n_in: int) -> nn.Module:
        return lambda x: x.new_zeros(x.shape[0], self.filters, *x.shape[2:])  # type: ignore[return-value]


@dataclass(frozen=True)
class OfColours(Gated):
    """It can stand at the very beginning alone."""

    def build(self, n_in: int) -> nn.Module:
        return nn.Conv2d(3, self.filters, 3, padding=1)


@pytest.mark.parametrize(
    ("layer", "channels", "reason"),
    [
        (Misspelt(6), 3, "AttributeError"),
        (Doubled(6), 3, "AttributeError"),
        (Unmade(6), 3, "AttributeError"),
        (OfColours(6), 6, "RuntimeError"),
    ],
)
def test_whatever_is_wrong_with_a_layer_of_ones_own_is_one_line_before_a_study_begins(
    layer: Gated, channels: int, reason: str
) -> None:
    with pytest.raises(UsageError, match=rf"^layer 'gated:6' cannot be used on {channels} channels: {reason}: [^\n]+$"):
        check_further(SearchSpace(further=(layer,)), 3)


def test_a_layer_that_does_what_it_says_is_taken() -> None:
    check_further(SearchSpace(further=(Gated(6),)), 3)
