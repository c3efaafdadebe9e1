import pytest
import torch

from evoae_cli.evaluation.objective import corrupt, fixed_noise


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_noise_has_the_asked_strength_keeps_the_memory_format_and_is_not_clipped(
    memory_format: torch.memory_format,
) -> None:
    clean = torch.full((8, 3, 32, 32), 0.9).contiguous(memory_format=memory_format)
    noisy = corrupt(clean, 0.5, torch.Generator().manual_seed(1))
    assert noisy.is_contiguous(memory_format=memory_format)
    assert noisy.max() > 1.5
    assert float((noisy - clean).std()) == pytest.approx(0.5, rel=0.02)
    assert float((noisy - clean).mean()) == pytest.approx(0.0, abs=0.02)


def test_corruption_leaves_the_clean_images_alone_and_follows_its_generator() -> None:
    clean = torch.zeros(2, 3, 8, 8)
    first, again = (corrupt(clean, 1.0, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not clean.any()


def test_manifold_trains_on_the_image_itself() -> None:
    clean = torch.randn(2, 3, 8, 8)
    assert corrupt(clean, 0.0, torch.Generator()) is clean


def test_fixed_noise_depends_on_study_and_split_alone() -> None:
    noise = fixed_noise((4, 3, 16, 16), 0.5, 7, "val")
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert torch.equal(noise, fixed_noise((4, 3, 16, 16), 0.5, 7, "val"))
    assert not torch.equal(noise, fixed_noise((4, 3, 16, 16), 0.5, 7, "test"))
    assert not torch.equal(noise, fixed_noise((4, 3, 16, 16), 0.5, 8, "val"))
    assert float(noise.std()) == pytest.approx(0.5, rel=0.05)


def test_the_noise_of_the_first_patches_does_not_depend_on_how_many_follow() -> None:
    assert torch.equal(fixed_noise((2, 1, 8, 8), 1.0, 0, "val"), fixed_noise((5, 1, 8, 8), 1.0, 0, "val")[:2])
