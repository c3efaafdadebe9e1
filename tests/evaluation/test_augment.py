import torch

from evoae_cli.evaluation.augment import mirrored, recoloured


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_crops_of_odd_numbers_are_mirrored_and_no_others() -> None:
    crops = torch.randint(256, (4, 5, 5, 3), dtype=torch.uint8, generator=generator())
    found = mirrored(crops, torch.tensor([0, 1, 2**62 - 1, 6]))
    assert torch.equal(found, torch.stack((crops[0], crops[1].flip(1), crops[2].flip(1), crops[3])))


def test_recoloured_crops_keep_their_shapes_and_the_range() -> None:
    """Each channel is the old one, scaled and shifted, and clipped where that leaves the range."""
    crops = torch.rand((64, 6, 6, 3), generator=generator(1)) * 2 - 1
    found = recoloured(crops.clone(), generator(2))
    assert found.abs().max() == 1.0
    slopes, shifts = [], []
    for before, after in zip(
        crops.permute(0, 3, 1, 2).flatten(0, 1), found.permute(0, 3, 1, 2).flatten(0, 1), strict=True
    ):
        # Around the middle nothing is clipped.
        low, high = before.flatten().argsort()[[15, 21]]
        slope = (after.flatten()[high] - after.flatten()[low]) / (before.flatten()[high] - before.flatten()[low])
        shift = after.flatten()[low] - slope * before.flatten()[low]
        torch.testing.assert_close(after, (before * slope + shift).clamp(-1, 1), atol=1e-4, rtol=0)
        slopes.append(float(slope))
        shifts.append(float(shift))
    assert 0.4 <= min(slopes) < 0.5
    assert 1.1 < max(slopes) <= 1.2
    assert -0.4 <= min(shifts) < -0.3
    assert 0.3 < max(shifts) <= 0.4


def test_the_generator_alone_decides_the_colours() -> None:
    crops = torch.rand((8, 6, 6, 3), generator=generator(1))
    first = recoloured(crops.clone(), generator(3))
    assert torch.equal(first, recoloured(crops.clone(), generator(3)))
    assert not torch.equal(first, recoloured(crops.clone(), generator(4)))
