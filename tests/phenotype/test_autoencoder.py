from fractions import Fraction

import pytest
import torch
from torch import nn

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Decoder, NetworkSpec
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import Autoencoder, build, code_channels_for


def spec(
    *, channels: int = 3, reductions: int = 1, code_channels: int | None = None, decoder: Decoder = "same"
) -> NetworkSpec:
    return NetworkSpec(channels=channels, reductions=reductions, code_channels=code_channels, decoder=decoder)


def n_parameters(network: Autoencoder) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("reductions", "expected"), [(1, 6_043), (2, 12_779)])
def test_the_paper_s_form_has_the_published_number_of_parameters(reductions: int, expected: int) -> None:
    assert n_parameters(build(parse_genotype("3x3conv2d:16"), spec(reductions=reductions))) == expected


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("reductions", [1, 2, 3])
def test_output_has_the_image_s_shape_and_range(channels: int, reductions: int) -> None:
    network = build(parse_genotype("3x3conv2d:4,dropout2d,2x2conv2d:3"), spec(channels=channels, reductions=reductions))
    output = network(10 * torch.randn(2, channels, 24, 16))
    assert output.shape == (2, channels, 24, 16)
    assert output.abs().max() <= 1


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
def test_every_kernel_keeps_height_and_width(kernel: int) -> None:
    network = build(parse_genotype(f"{kernel}x{kernel}conv2d:5"), spec())
    code = network.encode(torch.zeros(1, 3, 8, 12))
    assert code.shape == (1, 10, 4, 6)
    assert network.decode(code).shape == (1, 3, 8, 12)


def test_a_module_of_dropout_alone_makes_a_network() -> None:
    for channels in (1, 3):
        network = build(parse_genotype("dropout2d,dropout2d"), spec(channels=channels, reductions=2))
        assert network(torch.zeros(1, channels, 8, 8)).shape == (1, channels, 8, 8)


@pytest.mark.parametrize(("reductions", "code_channels"), [(1, 3), (2, 12), (3, 48)])
def test_the_bottleneck_s_code_is_a_quarter_of_the_image(reductions: int, code_channels: int) -> None:
    assert code_channels_for(3, reductions, Fraction(1, 4)) == code_channels
    network = build(parse_genotype("3x3conv2d:8"), spec(reductions=reductions, code_channels=code_channels))
    image = torch.zeros(1, 3, 32, 32)
    code = network.encode(image)
    assert 4 * code.numel() == image.numel()
    assert network.decode(code).shape == image.shape


def test_forward_is_decode_after_encode() -> None:
    network = build(parse_genotype("3x3conv2d:8"), spec(reductions=2, code_channels=4)).eval()
    image = torch.randn(2, 3, 16, 16)
    assert torch.equal(network(image), network.decode(network.encode(image)))


def test_a_mirrored_decoder_reverses_the_module_and_the_paper_s_does_not() -> None:
    genotype = parse_genotype("5x5conv2d:8,3x3conv2d:4")

    def decoder_kernels(decoder: Decoder) -> list[int]:
        layers = build(genotype, spec(decoder=decoder)).decoder.modules()
        return [layer.kernel_size[0] for layer in layers if isinstance(layer, nn.Conv2d)]

    assert decoder_kernels("same") == [5, 3, 1]
    assert decoder_kernels("mirrored") == [3, 5, 1]


def test_each_convolution_of_the_module_is_followed_by_relu_and_no_other_is() -> None:
    layers = list(build(parse_genotype("3x3conv2d:8,1x1conv2d:4"), spec(reductions=2)).modules())
    assert sum(isinstance(layer, nn.ReLU) for layer in layers) == 2 * 2 * 2


def test_dropout_acts_in_training_and_not_in_evaluation() -> None:
    network = build(parse_genotype("3x3conv2d:16,dropout2d"), spec())
    image = torch.randn(1, 3, 16, 16)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


def test_an_image_that_cannot_be_halved_is_refused_with_the_nearest_sizes() -> None:
    network = build(parse_genotype("3x3conv2d:4"), spec(reductions=3))
    with pytest.raises(UsageError, match=r"30x50 pixels.*3 times.*24x48 or 32x56"):
        network(torch.zeros(1, 3, 30, 50))
    with pytest.raises(UsageError, match=r"sizes \(height x width\): 8x8$"):
        network(torch.zeros(1, 3, 4, 4))


def test_a_ratio_without_whole_code_channels_is_refused_with_the_possible_ones() -> None:
    with pytest.raises(
        UsageError, match=r"--code-ratio 1/8 gives 1\.5 code channels.*1/2, 1/3, 1/4, 1/6, 1/12 .*multiples of 1/12"
    ):
        code_channels_for(3, 1, Fraction(1, 8))
    with pytest.raises(UsageError, match=r"1/100 gives 0\.04 code channels"):
        code_channels_for(1, 1, Fraction(1, 100))
    assert code_channels_for(1, 1, Fraction(3, 4)) == 3


def test_the_same_seed_gives_the_same_weights() -> None:
    networks = []
    for seed in (1, 1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            networks.append(build(parse_genotype("3x3conv2d:4"), spec()))
    first, same, other = (torch.cat([p.flatten() for p in n.parameters()]) for n in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def seen_from(network: Autoencoder, side: int) -> int:
    """How far from the middle, in pixels, the output depends on it."""
    image = torch.zeros(1, 3, side, side, requires_grad=True)
    network(image)[0, :, side // 2, side // 2].sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    rows, columns = torch.nonzero(image.grad.abs().sum(dim=(0, 1)), as_tuple=True)
    return int(max((rows - side // 2).abs().max(), (columns - side // 2).abs().max()))


@pytest.mark.parametrize(
    "text",
    [
        "5x5conv2d:4",
        "3x3dilated:4,3x3sepconv:4/reductions:2/skips:concat,add",
        "4x4conv2d:4/reductions:3/repeats:2/skips:add,none,concat/residual",
    ],
)
def test_no_output_depends_on_pixels_beyond_the_reach(text: str) -> None:
    network = build(parse_genotype(text), spec()).eval()
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    # The gradient at the edge of the reach, not beyond it; the pool takes the first of equal values.
    assert network.reach / 2 < seen_from(network, 8 * (network.reach // 3)) <= network.reach


def test_the_units_of_a_full_skip_network_are_those_of_a_u_net() -> None:
    network = build(parse_genotype("3x3conv2d:16/reductions:2/skips:concat,concat"), spec())
    # Encoder 3-16, 16-32, 32-16, 16-32; code 32-16; up 16-8, (8+16)-16; up 16-8, (8+16)-16; output 16-3.
    widths = [(m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [
        *((3, 16), (16, 32), (32, 16), (16, 32)),
        *((32, 16), (16, 8), (24, 16), (16, 8)),
        *((24, 16), (16, 3)),
    ]
    assert n_parameters(network) == 18_579


def test_an_added_skip_widens_the_dilation_to_the_encoders_filters() -> None:
    network = build(parse_genotype("3x3conv2d:24/reductions:3/skips:add,add,add"), spec())
    assert n_parameters(network) == 59_931


@pytest.mark.parametrize("skips", ["none,none", "add,none", "none,concat", "concat,add"])
@pytest.mark.parametrize("residual", ["", "/residual"])
@pytest.mark.parametrize("layers", ["3x3conv2d:5", "dropout2d", "2x2sepconv:3,3x3dilated:4"])
def test_every_kind_of_skip_keeps_the_images_shape(layers: str, skips: str, residual: str) -> None:
    text = f"{layers}/reductions:2/repeats:2/skips:{skips}{residual}"
    network = build(parse_genotype(text), spec())
    output = network(torch.randn(2, 3, 12, 16))
    assert output.shape == (2, 3, 12, 16)
    assert network.step == 4
    assert network.has_skips == (skips != "none,none" or bool(residual))


def test_a_residual_network_takes_its_output_off_the_image() -> None:
    network = build(parse_genotype("3x3conv2d:4/reductions:1/residual"), spec()).eval()
    nn.init.zeros_(network.output.weight)
    assert network.output.bias is not None
    nn.init.constant_(network.output.bias, 0.25)
    image = 3 * torch.randn(1, 3, 8, 8)
    assert torch.equal(network(image), image - 0.25)


def test_a_code_that_features_pass_by_cannot_be_decoded() -> None:
    network = build(parse_genotype("3x3conv2d:4/reductions:1/skips:add"), spec())
    with pytest.raises(UsageError, match="use a manifold model"):
        network.decode(network.encode(torch.zeros(1, 3, 8, 8)))


def test_the_genotypes_reductions_go_before_the_studys_and_keep_the_codes_size() -> None:
    study = spec(reductions=2, code_channels=12)
    image = torch.zeros(1, 3, 32, 32)
    for reductions, channels in ((1, 3), (2, 12), (3, 48)):
        code = build(parse_genotype(f"3x3conv2d:4/reductions:{reductions}"), study).encode(image)
        assert code.shape[1] == channels
        assert 4 * code.numel() == image.numel()
    with pytest.raises(UsageError, match="no whole number of channels after 1"):
        build(parse_genotype("3x3conv2d:4/reductions:1"), spec(reductions=2, code_channels=6))


def test_each_repeat_of_the_module_has_weights_of_its_own() -> None:
    once, twice = (build(parse_genotype(f"3x3conv2d:8/repeats:{n}"), spec()) for n in (1, 2))
    written_out = build(parse_genotype("3x3conv2d:8,3x3conv2d:8"), spec())
    assert n_parameters(once) < n_parameters(twice) == n_parameters(written_out)
