"""Images as codes and back, through networks that are real, tiny and untrained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evoae_cli.applying.codes import check_decodes, code_channels, decode_array, encode_array, fingerprint
from evoae_cli.errors import ImageError, StudyError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import Autoencoder, build
from evoae_cli.study.model import LoadedModel

RESIDUAL = "5x5conv2d:8/reductions:1/skips:add/residual"


def make_model(
    channels: int = 3, reductions: int = 2, genotype: str = "3x3conv2d:8", seed: int = 0, code_channels: int | None = 6
) -> LoadedModel:
    spec = NetworkSpec(
        channels=channels, reductions=reductions, code_channels=code_channels, decoder="same", is_manifold=True
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(parse_genotype(genotype), spec).eval()
    pixels = {"dtype": "uint8", "low": [0.0] * channels, "high": [255.0] * channels}
    metadata = {"objective": "manifold", "network": {"channels": channels, "reductions": reductions}, "pixels": pixels}
    return LoadedModel(network=network, metadata=metadata, folder=Path())


def make_image(*shape: int, dtype: str = "uint8") -> Any:
    image = np.random.default_rng(1).uniform(0, 1, shape)
    scale = {"uint8": 255, "uint16": 65535}.get(dtype)
    return image.astype(dtype) if scale is None else np.rint(image * scale).astype(dtype)


def through_network(model: LoadedModel, image: Any) -> Any:
    """[H, W, C] uint8 -> [H, W, C] on 0..255, for sides that need no padding."""
    batch = torch.from_numpy(image.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return (model.network(batch)[0].permute(1, 2, 0).numpy() + 1) * 127.5


@pytest.mark.parametrize(("genotype", "code_channels"), [("3x3conv2d:8", None), ("3x3conv2d:8", 6), (RESIDUAL, 6)])
def test_decoding_a_code_gives_what_the_network_makes_of_the_image(genotype: str, code_channels: int | None) -> None:
    model, image = make_model(genotype=genotype, code_channels=code_channels), make_image(32, 24, 3)
    code = encode_array(model, image)
    assert code.dtype == np.float32
    assert code.shape[1:] == (8, 6)
    with torch.inference_mode():
        batch = torch.from_numpy(image.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        assert np.abs(code - model.network.encode(batch)[0].numpy()).max() < 1e-5
    again = decode_array(model, code, image.shape)
    assert again.dtype == np.uint8
    assert np.abs(again - through_network(model, image)).max() <= 0.51


@pytest.mark.parametrize("size", [(33, 47), (1, 1), (2, 5), (3, 64)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_size_and_depth_come_back_whatever_they_are(size: tuple[int, int], dtype: str) -> None:
    model, image = make_model(), make_image(*size, 3, dtype=dtype)
    code = encode_array(model, image)
    assert code.shape == (6, -(-size[0] // 4), -(-size[1] // 4))
    again = decode_array(model, code, image.shape, image.dtype)
    assert again.shape == image.shape
    assert again.dtype == image.dtype


@pytest.mark.parametrize(
    ("genotype", "reductions"), [("3x3conv2d:8", 2), ("7x7conv2d:4,2x2conv2d:4", 1), (RESIDUAL, 2)]
)
def test_pieces_join_to_the_code_and_the_image_of_the_whole(genotype: str, reductions: int) -> None:
    model, image = make_model(genotype=genotype, reductions=reductions), make_image(103, 45, 3)
    code = encode_array(model, image)
    assert np.abs(encode_array(model, image, tile=16) - code).max() < 1e-5
    whole = decode_array(model, code, image.shape, np.float64)
    assert np.abs(decode_array(model, code, image.shape, np.float64, tile=16) - whole).max() < 1e-5


def test_floats_with_noise_beyond_0_and_1_are_encoded_and_what_comes_back_lies_within() -> None:
    class Stretching(Autoencoder):
        def decode(self, code: torch.Tensor) -> torch.Tensor:
            return 20 * super().decode(code)

    model = make_model()
    model.network.__class__ = Stretching
    noisy = make_image(32, 32, 3, dtype="float32") + np.random.default_rng(0).normal(0, 0.1, (32, 32, 3))
    code = encode_array(model, noisy.astype(np.float32))
    again = decode_array(model, code, noisy.shape, np.float32)
    assert (again.min(), again.max()) == (0, 1)
    assert encode_array(model, again).shape == code.shape


def test_integers_far_outside_the_floating_point_limits_of_a_model_are_refused_and_those_within_come_back() -> None:
    model = make_model()
    model.metadata["pixels"] |= {"dtype": "float32", "low": [1000.0] * 3, "high": [1100.0] * 3}
    with pytest.raises(ImageError, match="from 1000 to 1100"):
        encode_array(model, make_image(16, 16, 3))
    image = np.full((16, 16, 3), 1050, np.uint16)
    assert decode_array(model, encode_array(model, image), image.shape, image.dtype).dtype == np.uint16


def test_grey_goes_through_a_colour_model_and_comes_back_grey() -> None:
    model, grey = make_model(), make_image(16, 20)
    code = encode_array(model, grey)
    assert np.array_equal(code, encode_array(model, np.repeat(grey[:, :, None], 3, axis=2)))
    again = decode_array(model, code, grey.shape)
    assert again.shape == grey.shape
    expected = through_network(model, np.repeat(grey[:, :, None], 3, axis=2)).mean(axis=2)
    assert np.abs(again - expected).max() <= 0.51


def test_colour_goes_through_a_grey_model_one_channel_after_the_other() -> None:
    model, image = make_model(channels=1), make_image(16, 20, 3)
    code = encode_array(model, image)
    assert code.shape == (18, 4, 5)
    assert np.array_equal(code[6:12], encode_array(model, image[:, :, 1]))
    again = decode_array(model, code)
    assert np.array_equal(again, decode_array(model, code, image.shape))
    assert np.array_equal(again[:, :, 2], decode_array(model, code[12:], (16, 20)))


def test_without_a_shape_the_image_is_as_large_as_its_code_allows() -> None:
    model = make_model()
    again = decode_array(model, encode_array(model, make_image(30, 17, 3)))
    assert again.shape == (32, 20, 3)
    assert again.dtype == np.uint8


def test_a_fingerprint_tells_weights_apart_and_nothing_else() -> None:
    assert fingerprint(make_model()) == fingerprint(make_model())
    assert fingerprint(make_model()) != fingerprint(make_model(seed=1))
    assert len(fingerprint(make_model())) == 64


@pytest.mark.parametrize(
    ("image", "part"),
    [
        (make_image(8, 8, 5), "5 channels; this model takes 3; use a model that was trained on such"),
        (np.zeros((8, 8, 3), np.int32), "int32"),
        (np.zeros((2, 8, 8, 3), np.uint8), "2x8x8x3"),
        (make_image(8, 8, 3) * 255.0, "trained on uint8"),
        (np.full((8, 8, 3), np.nan), "NaN or infinite"),
    ],
)
def test_an_image_that_the_model_cannot_take_is_refused(image: Any, part: str) -> None:
    with pytest.raises(ImageError, match=part):
        encode_array(make_model(), image)


@pytest.mark.parametrize(
    ("code", "shape", "part"),
    [
        (np.zeros((6, 4)), None, "6x4"),
        (np.zeros((7, 2, 2)), None, "7 channels; those of this model have 6"),
        (np.zeros((12, 2, 2)), None, "12 channels"),
        (np.full((6, 2, 2), np.nan), None, "NaN"),
        (np.zeros((6, 2, 2)), (9, 8, 3), "9x8x3"),
        (np.zeros((6, 2, 2)), (8, 8, 2), "8x8x2"),
        (np.zeros((6, 2, 2)), (8,), "not understood"),
    ],
)
def test_a_code_that_is_none_of_the_model_is_refused(code: Any, shape: tuple[int, ...] | None, part: str) -> None:
    with pytest.raises(ImageError, match=part):
        decode_array(make_model(), code, shape)


def test_a_model_with_skip_connections_encodes_but_does_not_decode() -> None:
    class Skipping(Autoencoder):
        @property
        def has_skips(self) -> bool:
            return True

    model = make_model()
    model.network.__class__ = Skipping
    code = encode_array(model, make_image(8, 8, 3))
    for refuse in (lambda: check_decodes(model), lambda: decode_array(model, code)):
        with pytest.raises(StudyError, match=r"skip connections .* search manifold"):
            refuse()


def test_a_code_has_as_many_channels_as_the_model_says() -> None:
    assert code_channels(make_model()) == 6
    assert code_channels(make_model(code_channels=None, genotype="1x1conv2d:8", reductions=1)) == 16
