"""A denoiser applied to images of any size, depth and colour; the network is real, tiny and untrained."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from denoisers import make_image, make_model
from skimage.restoration import estimate_sigma
from torch import nn

from evoae_cli.applying.apply import denoise_array
from evoae_cli.errors import ImageError
from evoae_cli.evaluation.blindspot import cleaned


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (1, 1), (2, 5), (3, 64), (31, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_size_and_depth_come_out_as_they_went_in(size: tuple[int, int], dtype: str) -> None:
    image = make_image((*size, 3), dtype)
    cleaned = denoise_array(make_model(), image)
    assert cleaned.shape == image.shape
    assert cleaned.dtype == image.dtype


def test_the_output_is_what_the_network_says_on_the_scale_of_the_image() -> None:
    model, image = make_model(), make_image((32, 32, 3))
    batch = torch.from_numpy(image.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = (model.network(batch)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(denoise_array(model, image) - expected).max() <= 0.51


def test_padding_reflects_and_does_not_shift_the_image() -> None:
    model, image = make_model(), make_image((32, 32, 3))
    cut = image[:30, :29]
    mirrored = np.pad(cut, ((0, 2), (0, 3), (0, 0)), mode="reflect")
    assert np.array_equal(denoise_array(model, cut), denoise_array(model, mirrored)[:30, :29])


def test_the_input_is_left_as_it_was() -> None:
    image = make_image((17, 19, 3))
    before = image.copy()
    denoise_array(make_model(), image)
    assert np.array_equal(image, before)


@pytest.mark.parametrize(("genotype", "reductions"), [("3x3conv2d:8", 1), ("2x2conv2d:8", 2), ("5x5conv2d:8", 1)])
def test_pieces_that_see_as_far_as_the_network_change_nothing(genotype: str, reductions: int) -> None:
    model = make_model(genotype=genotype, reductions=reductions)
    image = make_image((301, 60, 3), "float64")
    assert np.abs(denoise_array(model, image, tile=256) - denoise_array(model, image)).max() < 1e-5


BLIND = {"settings": {"noisy_only": True}}


def test_a_model_that_learnt_from_noisy_images_only_answers_for_pixels_that_it_does_not_see() -> None:
    model, image = make_model(**BLIND, genotype="3x3conv2d:8/reductions:2/residual"), make_image((40, 32, 3), "float64")
    signal = (image * 2 - 1).astype(np.float32)
    variance = torch.tensor(estimate_sigma(signal, channel_axis=-1)).square()[:, None, None]
    with torch.inference_mode():
        output = cleaned(model.network, torch.from_numpy(signal).permute(2, 0, 1)[None], variance)[0]
    assert np.abs(denoise_array(model, image) * 2 - 1 - output.permute(1, 2, 0).numpy()).max() < 1e-5


def test_pieces_change_nothing_for_it_either() -> None:
    model = make_model(**BLIND, reductions=1)
    image = make_image((301, 60, 3), "float64")
    assert np.abs(denoise_array(model, image, tile=256) - denoise_array(model, image)).max() < 1e-5


@pytest.mark.parametrize(("n_model", "n_image"), [(3, 1), (1, 3)])
def test_grey_and_colour_go_through_it_as_through_others(n_model: int, n_image: int) -> None:
    model, image = make_model(**BLIND, channels=n_model), make_image((36, 32, n_image), "float64")
    output = denoise_array(model, image)
    for channel in range(n_image):
        alone = denoise_array(model, image[:, :, [channel]])
        assert np.abs(output[:, :, [channel]] - alone).max() < 1e-5


@pytest.mark.parametrize("size", [(33, 47), (1, 1), (2, 5), (3, 64), (31, 1)])
def test_images_of_any_size_go_through_it(size: tuple[int, int]) -> None:
    image = make_image((*size, 3))
    assert denoise_array(make_model(**BLIND), image).shape == image.shape


class Blur(nn.Module):
    """A denoiser by hand: a wide Gaussian window, which reaches further than a small piece's margin."""

    step, reach = 4, 15

    def __init__(self, std: float = 3.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 31, padding=15, bias=False)
        at = torch.exp(-((torch.arange(31) - 15) ** 2) / (2 * std**2))
        self.conv.weight.data = (at[:, None] * at / at.sum() ** 2)[None, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def test_a_network_that_reaches_beyond_the_overlap_loses_less_than_a_tenth_of_a_decibel() -> None:
    model = replace(make_model(channels=1, dtype="float32", low=-1.0, high=1.0), network=Blur())
    wave = np.sin(np.arange(300) / 17)
    clean = (0.2 + 0.6 * wave[:, None] * wave)[:, :, None]
    noisy = clean + np.random.default_rng(0).normal(0, 0.3, clean.shape)
    whole, pieces = denoise_array(model, noisy), denoise_array(model, noisy, tile=64)
    inner = slice(16, -16)  # What lies beyond the image is the same to both.

    def psnr(output: Any) -> float:
        return float(-10 * np.log10(np.mean((output - clean)[inner, inner] ** 2)))

    assert psnr(whole) > psnr(noisy) + 10
    assert abs(psnr(pieces) - psnr(whole)) < 0.1
    # No seam: what differs does so by less than noise of a hundredth of the range, and is spread over the overlap.
    difference = (pieces - whole)[:, :, 0]
    assert 0 < np.abs(difference).max() < 0.02
    assert np.abs(np.diff(difference, axis=0)).max() < 0.005


def test_progress_ends_at_one() -> None:
    shares: list[float] = []
    denoise_array(make_model(), make_image((100, 40, 3)), tile=32, on_progress=shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 2
    assert shares[-1] == 1


def test_a_network_says_by_itself_what_its_sides_must_be_multiples_of() -> None:
    model = make_model(reductions=1, genotype="3x3conv2d:8/reductions:4")
    image = make_image((30, 30, 3))
    mirrored = np.pad(image, ((0, 2), (0, 2), (0, 0)), mode="reflect")
    assert np.array_equal(denoise_array(model, image), denoise_array(model, mirrored)[:30, :30])


def test_grey_goes_through_a_colour_model_and_comes_back_grey() -> None:
    grey = make_image((16, 16))
    as_colour = denoise_array(make_model(), np.repeat(grey[:, :, None], 3, axis=2))
    cleaned = denoise_array(make_model(), grey)
    assert cleaned.shape == grey.shape
    assert np.abs(cleaned - as_colour.astype(float).mean(axis=2)).max() <= 1
    assert np.array_equal(denoise_array(make_model(), grey[:, :, None])[:, :, 0], cleaned)


def test_colour_goes_through_a_grey_model_channel_by_channel() -> None:
    model, image = make_model(channels=1), make_image((16, 18, 3))
    cleaned = denoise_array(model, image)
    for channel in range(3):
        assert np.array_equal(cleaned[:, :, channel], denoise_array(model, image[:, :, channel]))


def test_an_8_bit_model_treats_the_same_picture_alike_in_every_depth() -> None:
    model, image = make_model(), make_image((16, 16, 3))
    cleaned = denoise_array(model, image)
    deep = denoise_array(model, image.astype(np.uint16) * 257)
    unit = denoise_array(model, image / 255.0)
    assert np.abs(deep / 257.0 - cleaned).max() <= 0.51
    assert np.abs(unit * 255.0 - cleaned).max() <= 0.51


def test_limits_of_the_training_set_are_honoured_and_inverted() -> None:
    image = make_image((16, 16, 1)) / 255.0
    unit = denoise_array(make_model(channels=1, dtype="float32", low=0.0, high=1.0), image)
    shifted = denoise_array(make_model(channels=1, dtype="float32", low=-100.0, high=300.0), image * 400 - 100)
    assert np.abs(unit * 400 - 100 - shifted).max() < 1e-3


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_integer_image_far_outside_the_floating_point_limits_of_a_model_is_refused(dtype: str) -> None:
    model, image = make_model(dtype="float32", low=0.0, high=1.0), make_image((40, 40, 3), dtype)
    with pytest.raises(ImageError, match=rf"to \d+ in {dtype}; .* float32 from 0 to 1: convert the image") as found:
        denoise_array(model, image)
    assert "\n" not in str(found.value)
    image[:] = 0
    # A pixel that always reads as white makes no image unfit.
    image[3, 3, 0] = 255
    assert denoise_array(model, image).dtype == dtype


def test_an_integer_image_within_the_floating_point_limits_of_a_model_goes_through() -> None:
    model, image = make_model(dtype="float32", low=0.0, high=255.0), make_image((16, 16, 3))
    assert np.abs(denoise_array(model, image) - denoise_array(model, image.astype(np.float32))).max() <= 0.51


@pytest.mark.parametrize(
    ("image", "part"),
    [
        (make_image((8, 8, 3), "float32") * 255, "trained on uint8"),
        (make_image((8, 8, 5)), "5 channels; this model takes 3, or 1; .* --axes YXC"),
        (np.zeros((8, 8, 3), np.int32), "int32"),
        (np.zeros((2, 8, 8, 3), np.uint8), "2x8x8x3"),
        (np.zeros((0, 8, 3), np.uint8), "0x8x3"),
    ],
)
def test_what_the_model_cannot_take_is_refused_with_a_remedy(image: Any, part: str) -> None:
    with pytest.raises(ImageError, match=part):
        denoise_array(make_model(), image)


class Stretch(nn.Module):
    """By hand: it answers with more contrast than there is, so beyond black and white."""

    step, reach = 1, 0

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_with_noise_beyond_0_and_1_are_on_that_scale(dtype: str) -> None:
    model = replace(make_model(), network=Stretch(1.0))
    noisy = (make_image((64, 64, 3)) / 255 + np.random.default_rng(0).normal(0, 0.2, (64, 64, 3))).astype(dtype)
    assert noisy.min() < -0.25
    assert np.abs(denoise_array(model, noisy) - noisy.clip(-0.25, 1.25)).max() < 1e-6


@pytest.mark.parametrize(
    ("scale", "name"),
    [
        (lambda image: image * 255, "0..255"),
        (lambda image: image * 2 - 1, "-1..1"),
        (lambda image: (image - image.mean()) / image.std(), "standardised"),
        (lambda image: np.where(image > 0.999, 255, 0.0), "black with few white points of 255"),
    ],
)
def test_floats_on_another_scale_than_0_to_1_are_refused(scale: Any, name: str) -> None:
    with pytest.raises(ImageError, match=r"the image holds \S+ to \S+; .* or scale it to 0\.\.1$"):
        denoise_array(make_model(), scale(make_image((64, 64, 3), "float64")))


@pytest.mark.parametrize("noise_std", [0.0, 0.1, 0.3])
def test_what_was_written_in_floats_is_taken_again_and_what_lay_in_0_to_1_stays_there(noise_std: float) -> None:
    model = replace(make_model(), network=Stretch(2.0))
    image = make_image((32, 32, 3), "float32")
    image += np.random.default_rng(0).normal(0, noise_std, image.shape).astype(np.float32)
    for _ in range(4):
        before, image = image, denoise_array(model, image)
        assert image.min() >= min(0, before.min())
        assert image.max() <= max(1, before.max())
    assert noise_std or (image.min(), image.max()) == (0, 1)


def test_a_background_below_0_is_not_cut_off() -> None:
    image = np.full((16, 16), -0.05) + np.random.default_rng(0).normal(0, 0.01, (16, 16))
    assert np.abs(denoise_array(replace(make_model(), network=Stretch(1.0)), image) - image).max() < 1e-6


def test_floats_on_the_scale_of_a_model_of_floats_are_not_clipped() -> None:
    model = replace(make_model(dtype="float32", low=0.0, high=10.0), network=Stretch(2.0))
    assert np.abs(denoise_array(model, np.full((8, 8), 40.0)) - 75).max() < 1e-4


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(odd: float, dtype: str) -> None:
    image = make_image((8, 8, 3), "float32")
    image[3, 4, 1] = odd
    with pytest.raises(ImageError, match="holds pixels that are NaN or infinite"):
        denoise_array(make_model(dtype=dtype), image)
