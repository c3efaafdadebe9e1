import pytest
import torch
from torch import Tensor

from evoae_cli.evaluation.contract import derive_seed
from evoae_cli.evaluation.noise import gaussian, parse_noise
from evoae_cli.evaluation.objective import corrupt, fixed_noisy, noise_levels

KINDS = ["gaussian:25", "gaussian:5-75", "poisson:30", "poisson:5-90", "salt-pepper:0.1-0.4", "speckle:0.2"]
FORMATS = [torch.channels_last, torch.contiguous_format]


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_noise_has_the_asked_strength_keeps_the_memory_format_and_is_not_clipped(
    memory_format: torch.memory_format,
) -> None:
    clean = torch.full((8, 3, 32, 32), 0.9).contiguous(memory_format=memory_format)
    noisy = corrupt(clean, gaussian(0.5), seeded())
    assert noisy.is_contiguous(memory_format=memory_format)
    assert noisy.max() > 1.5
    assert float((noisy - clean).std()) == pytest.approx(0.5, rel=0.02)
    assert float((noisy - clean).mean()) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_poisson_noise_counts_light(memory_format: torch.memory_format) -> None:
    levels = torch.tensor([0.0, 0.1, 0.5, 1.0])  # on [0, 1], one image each
    clean = (levels * 2 - 1)[:, None, None, None].expand(4, 3, 64, 64).contiguous(memory_format=memory_format)
    noisy = corrupt(clean, parse_noise("poisson:30"), seeded())
    assert noisy.is_contiguous(memory_format=memory_format)
    light = (noisy + 1) / 2
    # Counts are whole numbers, with the mean and the variance of the light that is expected.
    assert torch.allclose(light * 30, (light * 30).round(), atol=1e-3)
    counts = light.flatten(1) * 30
    assert counts.mean(1).tolist() == pytest.approx((levels * 30).tolist(), rel=0.02)
    assert counts.var(1).tolist() == pytest.approx((levels * 30).tolist(), rel=0.06)


def test_light_below_black_counts_as_black() -> None:
    assert corrupt(torch.full((1, 1, 8, 8), -1.0000001), parse_noise("poisson:30"), seeded()).eq(-1).all()


@pytest.mark.parametrize("memory_format", FORMATS)
def test_salt_and_pepper_replaces_its_share_of_the_values_half_each(memory_format: torch.memory_format) -> None:
    clean = torch.full((4, 3, 64, 64), 0.25).contiguous(memory_format=memory_format)
    noisy = corrupt(clean, parse_noise("salt-pepper:0.1"), seeded())
    assert noisy.is_contiguous(memory_format=memory_format)
    shares = [float((noisy == value).float().mean()) for value in (-1.0, 1.0, 0.25)]
    assert shares == pytest.approx([0.05, 0.05, 0.9], abs=0.004)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_speckle_multiplies_the_light(memory_format: torch.memory_format) -> None:
    levels = torch.tensor([0.0, 0.2, 1.0])
    clean = (levels * 2 - 1)[:, None, None, None].expand(3, 3, 64, 64).contiguous(memory_format=memory_format)
    noisy = corrupt(clean, parse_noise("speckle:0.2"), seeded())
    assert noisy.is_contiguous(memory_format=memory_format)
    light = ((noisy + 1) / 2).flatten(1)
    assert light.mean(1).tolist() == pytest.approx(levels.tolist(), rel=0.01)
    assert light.std(1).tolist() == pytest.approx((0.2 * levels).tolist(), rel=0.03)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_each_image_of_a_range_has_a_strength_of_its_own_spread_evenly(memory_format: torch.memory_format) -> None:
    clean = torch.zeros(400, 3, 16, 16).contiguous(memory_format=memory_format)
    stds = corrupt(clean, parse_noise("gaussian:10-50"), seeded()).flatten(1).std(1) * 127.5
    assert 9 < stds.min() < 12
    assert 48 < stds.max() < 54
    assert float(stds.mean()) == pytest.approx(30, abs=1.5)
    assert float(stds.std()) == pytest.approx(40 / 12**0.5, rel=0.1)
    peppered = corrupt(clean, parse_noise("salt-pepper:0.01-1"), seeded()).abs().flatten(1).mean(1)
    assert float(peppered.std()) == pytest.approx(0.99 / 12**0.5, rel=0.1)


@pytest.mark.parametrize("text", KINDS)
def test_corruption_leaves_the_clean_images_alone_and_follows_its_generator(text: str) -> None:
    clean = grey(2)
    before = clean.clone()
    first, again, other = (corrupt(clean, parse_noise(text), seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(clean, before)


def test_manifold_trains_on_the_image_itself() -> None:
    clean = torch.randn(2, 3, 8, 8)
    assert corrupt(clean, None, torch.Generator()) is clean


@pytest.mark.parametrize("memory_format", FORMATS)
def test_gaussian_noise_of_one_strength_is_drawn_as_it_always_was(memory_format: torch.memory_format) -> None:
    clean = grey(3).contiguous(memory_format=memory_format)
    std = (1 / 3) ** 0.5
    shape = (3, 16, 16, 3) if memory_format is torch.channels_last else (3, 3, 16, 16)
    drawn = torch.empty(shape).normal_(0.0, std, generator=seeded(7))
    drawn = drawn.permute(0, 3, 1, 2) if memory_format is torch.channels_last else drawn
    assert torch.equal(corrupt(clean, gaussian(std), seeded(7)), clean + drawn)
    # On val and test: patch by patch, on the CPU, from the study's seed.
    generator = seeded(derive_seed(4, "noise", "val"))
    each = [torch.empty(3, 16, 16).normal_(0.0, std, generator=generator) for _ in range(3)]
    assert torch.equal(fixed_noisy(clean, gaussian(std), 4, "val"), clean + torch.stack(each))


def test_the_stream_of_gaussian_noise_has_not_changed() -> None:
    clean = torch.zeros(2, 3, 16, 16)
    drawn, fixed = corrupt(clean, gaussian(0.5), seeded(7)), fixed_noisy(clean, gaussian(0.5), 4, "val")
    assert drawn[:, 1, 2, 3].tolist() == pytest.approx([0.19866, -0.83203], abs=1e-4)
    assert fixed[:, 1, 2, 3].tolist() == pytest.approx([-0.26473, 0.69898], abs=1e-4)


def grey(n: int) -> Tensor:
    return torch.rand(n, 3, 16, 16, generator=seeded(0)) - 0.5


@pytest.mark.parametrize("text", KINDS)
def test_fixed_noise_depends_on_study_and_split_alone(text: str) -> None:
    clean, noise = grey(6), parse_noise(text)
    noisy = fixed_noisy(clean, noise, 7, "val")
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert torch.equal(noisy, fixed_noisy(clean, noise, 7, "val"))
    assert not torch.equal(noisy, fixed_noisy(clean, noise, 7, "test"))
    assert not torch.equal(noisy, fixed_noisy(clean, noise, 8, "val"))


@pytest.mark.parametrize("text", KINDS)
def test_the_noise_of_the_first_patches_does_not_depend_on_how_many_follow(text: str) -> None:
    clean, noise = grey(7), parse_noise(text)
    assert torch.equal(fixed_noisy(clean[:2], noise, 0, "val"), fixed_noisy(clean, noise, 0, "val")[:2])


def test_the_patches_of_a_range_take_its_fixed_strengths_in_turn() -> None:
    noisy = fixed_noisy(torch.zeros(10, 3, 64, 64), parse_noise("gaussian:5-75"), 0, "val")
    assert (noisy.flatten(1).std(1) * 127.5).tolist() == pytest.approx([5, 22.5, 40, 57.5, 75] * 2, rel=0.03)
    noisy = fixed_noisy(torch.zeros(5, 3, 64, 64), parse_noise("salt-pepper:0.1-0.5"), 0, "val")
    assert noisy.abs().flatten(1).mean(1).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], abs=0.02)


def test_each_level_of_the_noise_has_its_standard_deviation() -> None:
    levels = noise_levels(torch.zeros(15, 3, 32, 32), parse_noise("poisson:10-90"), seeded())
    for clean, noisy, std in levels:
        assert len(clean) == len(noisy) == 3
        assert std == pytest.approx(float((noisy - clean).std()), rel=0.02)
    # Half the light of white: the variance of the counts is half of those at white.
    assert [level[2] for level in levels] == pytest.approx(
        [2 * (0.5 / n) ** 0.5 for n in (10, 30, 50, 70, 90)], rel=0.04
    )
    assert noise_levels(torch.zeros(2, 3, 8, 8), parse_noise("gaussian:51"), seeded())[0][2] == 0.4
