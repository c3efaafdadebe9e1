import torch

from evoae_cli.applying.codebytes import in_bytes


def test_codes_in_bytes_are_off_by_half_a_level_at_most_and_take_what_their_file_takes() -> None:
    codes = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    back, n_bytes = in_bytes(codes, (32, 32, 3))
    levels = (codes.amax((0, 2, 3)) - codes.amin((0, 2, 3))) / 255
    assert ((back - codes).abs() <= levels[:, None, None] * 0.51).all()
    # One byte each at most, and the file's own entries shared by all.
    assert 0 < n_bytes < 4 * 8 * 8 + 400
