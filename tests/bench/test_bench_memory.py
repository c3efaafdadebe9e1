import sys

import pytest

from evoae_cli.bench.memory import measure


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory of another process")
def test_the_peak_of_a_real_training_is_read_for_both_precisions() -> None:
    figures = measure("3x3conv2d:8", crop=32, batch_size=4, n_images=8).figures
    assert set(figures) == {"float32", "bfloat16"}
    for found in figures.values():
        # No process that has loaded PyTorch is smaller.
        assert found["peak_bytes"] > 100e6
        assert 0 < found["file_bytes"] < found["peak_bytes"]
        assert found["images_seen"] == 8
        assert found["fitness"] > 0
