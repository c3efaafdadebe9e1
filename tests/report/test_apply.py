"""A denoiser applied to images of any size, depth and colour; the network is real, tiny and untrained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evoae_cli.errors import ImageError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import build
from evoae_cli.report.apply import denoise_array
from evoae_cli.study.model import LoadedModel


def make_model(
    channels: int = 3,
    reductions: int = 2,
    dtype: str = "uint8",
    low: float = 0.0,
    high: float = 255.0,
    genotype: str = "3x3conv2d:8",
) -> LoadedModel:
    spec = NetworkSpec(channels=channels, reductions=reductions, code_channels=None, decoder="same")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(parse_genotype(genotype), spec).eval()
    pixels = {"dtype": dtype, "low": [low] * channels, "high": [high] * channels}
    metadata = {"objective": "denoise", "network": {"channels": channels, "reductions": reductions}, "pixels": pixels}
    return LoadedModel(network=network, metadata=metadata, folder=Path())


def make_image(shape: tuple[int, ...], dtype: str = "uint8") -> Any:
    image = np.random.default_rng(1).uniform(0, 1, shape)
    scale = {"uint8": 255, "uint16": 65535}.get(dtype)
    return image.astype(dtype) if scale is None else np.rint(image * scale).astype(dtype)


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


@pytest.mark.parametrize("genotype", ["3x3conv2d:8", "7x7conv2d:8,5x5conv2d:8", "2x2conv2d:8"])
@pytest.mark.parametrize("reductions", [1, 3])
def test_pieces_join_without_seams(genotype: str, reductions: int) -> None:
    model = make_model(genotype=genotype, reductions=reductions)
    image = make_image((101, 77, 3), "float64")
    assert np.abs(denoise_array(model, image, tile=16) - denoise_array(model, image)).max() < 1e-5


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


@pytest.mark.parametrize(
    ("image", "part"),
    [
        (make_image((8, 8, 3), "float32") * 255, "trained on uint8"),
        (make_image((8, 8, 5)), "5 channels"),
        (np.zeros((8, 8, 3), np.int32), "int32"),
        (np.zeros((2, 8, 8, 3), np.uint8), "2x8x8x3"),
        (np.zeros((0, 8, 3), np.uint8), "0x8x3"),
    ],
)
def test_what_the_model_cannot_take_is_refused_with_a_remedy(image: Any, part: str) -> None:
    with pytest.raises(ImageError, match=part):
        denoise_array(make_model(), image)
