import numpy as np
import pytest
import torch

from evoae_cli.evaluation.pixelscale import to_bytes, to_pixels, to_signal


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.view(np.int16) if pixels.dtype == np.uint16 else pixels)


@pytest.mark.parametrize(
    ("dtype", "limits"), [("uint8", (0.0, 255.0)), ("uint16", (0.0, 65535.0)), ("uint16", (1000.0, 50000.0))]
)
def test_every_whole_pixel_value_survives_the_way_to_the_signal_and_back(dtype, limits):
    values = np.arange(limits[0], limits[1] + 1, dtype=dtype)[:, None, None, None]
    signal = to_signal(as_tensor(values), limits[:1], limits[1:])
    assert signal.dtype == torch.float32
    assert (signal.min().item(), signal.max().item()) == (-1.0, 1.0)
    back = to_pixels(signal.permute(0, 3, 1, 2), limits[:1], limits[1:], dtype)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, values)


def test_floats_survive_to_single_precision_with_limits_of_their_own_per_channel():
    values = np.random.default_rng(0).uniform((-3, 10), (5, 2000), (6, 7, 2)).astype(np.float32)
    low, high = values.min(axis=(0, 1)).tolist(), values.max(axis=(0, 1)).tolist()
    signal = to_signal(as_tensor(values), low, high)
    torch.testing.assert_close(signal.amin((0, 1)), torch.tensor([-1.0, -1.0]))
    torch.testing.assert_close(signal.amax((0, 1)), torch.tensor([1.0, 1.0]))
    np.testing.assert_allclose(to_pixels(signal.permute(2, 0, 1), low, high, "float32"), values, rtol=1e-5, atol=1e-5)


def test_what_lies_outside_the_limits_is_clipped_both_ways():
    signal = to_signal(torch.tensor([[-50.0], [0.0], [500.0]]), [0.0], [100.0])
    assert signal.flatten().tolist() == [-1.0, -1.0, 1.0]
    out = to_pixels(torch.tensor([-1.7, 0.0, 1.7]).view(1, 1, 3), [0.0], [255.0], "uint8")
    assert out.flatten().tolist() == [0, 128, 255]


def test_the_source_pixels_are_left_untouched():
    values = torch.tensor([[1.0], [2.0]])
    to_signal(values, [0.0], [4.0])
    assert values.flatten().tolist() == [1.0, 2.0]


def test_bytes_map_the_ends_to_0_and_255():
    x = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    assert to_bytes(x).tolist() == [[[[0, 128, 255]]]]
