import math

import msgspec
import pytest
import torch
from torch import Tensor

from evoae_cli.evaluation.contract import Augmentation, NetworkSpec, Recipe
from evoae_cli.evaluation.noise import Noise, gaussian, parse_noise
from evoae_cli.evaluation.reproducible import reproducible, seeded
from evoae_cli.evaluation.training import DivergedError, learning_rate, train
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import Autoencoder, build

RECIPE = Recipe(
    epochs=2,
    epoch_images=40,
    batch_size=16,
    crop=16,
    augmentation=Augmentation(),
    lr=5e-3,
    schedule="cosine",
    precision="float32",
    channels_last=True,
)
SPEC = NetworkSpec(channels=1, reductions=1, code_channels=None, decoder="same")
NOISE = gaussian(0.2)


class Ramps:
    """Crops of grey ramps; remembers how many it gave, in which batches."""

    is_paired = False

    def __init__(self) -> None:
        self.batches: list[int] = []

    def sampler(self, side: int, augmentation: Augmentation, generator: torch.Generator) -> "Ramps":
        self.side, self.generator = side, generator
        return self

    def crops(self, n: int) -> Tensor:
        self.batches.append(n)
        slope = torch.rand((n, 1, 1, 1), generator=self.generator)
        return (slope * torch.linspace(-1, 1, self.side)).expand(n, 1, self.side, self.side)


class NoisyRamps(Ramps):
    """The same with noise of their own."""

    STD = 0.3

    def crops(self, n: int) -> Tensor:
        clean = super().crops(n)
        return clean + self.STD * torch.randn(clean.shape, generator=self.generator)


def trained(
    recipe: Recipe, *, text: str = "3x3conv2d:4", seed: int = 1, n_parts: int = 1, noise: Noise | None = NOISE
) -> tuple[Autoencoder, list[int], list[float]]:
    images, shares = Ramps(), list[float]()
    with reproducible(1), seeded(0, "cpu"):
        network = build(parse_genotype(text), SPEC)
        n_images = train(
            network,
            images,
            recipe,
            noise=noise,
            seed=seed,
            device="cpu",
            n_parts=n_parts,
            progress=shares.append,
        )
    assert n_images == sum(images.batches)
    return network, images.batches, shares


def test_a_network_learns_from_noisy_images_alone_what_is_below_the_noise() -> None:
    """Ramps with noise: the network's error against the clean ramp is far below the noise it was taught with."""
    recipe = msgspec.structs.replace(RECIPE, epochs=20)
    with reproducible(1), seeded(0, "cpu"):
        network = build(parse_genotype("3x3conv2d:16"), SPEC)
        images = NoisyRamps()
        how = {"noise": None, "noisy_only": True, "seed": 1, "device": "cpu", "progress": lambda share: None}
        train(network, images, recipe, n_parts=1, **how)  # type: ignore[arg-type]
    assert error(network) < NoisyRamps.STD**2 / 10
    # In micro-batches the gradients add up to the batch's.
    steps = msgspec.structs.replace(RECIPE, epochs=1, epoch_images=16, lr=1e-4)
    pair = []
    for n_parts in (1, 4):
        with reproducible(1), seeded(0, "cpu"):
            again = build(parse_genotype("3x3conv2d:4"), SPEC)
            train(again, NoisyRamps(), steps, n_parts=n_parts, **how)  # type: ignore[arg-type]
        pair.append(weights(again))
    assert torch.allclose(pair[0], pair[1], atol=1e-5)


def test_a_training_on_a_range_is_reproducible_and_unlike_one_on_its_middle() -> None:
    recipe = msgspec.structs.replace(RECIPE, epochs=1)
    first, again, middle = (
        weights(trained(recipe, noise=parse_noise(text))[0])
        for text in ("gaussian:5-75", "gaussian:5-75", "gaussian:40")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, middle)


def error(network: Autoencoder) -> float:
    clean = torch.linspace(-1, 1, 16).expand(1, 1, 16, 16) * 0.5
    with torch.no_grad():
        return float((network.eval()(clean) - clean).square().mean())


def weights(network: Autoencoder) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_lowers_the_error(precision: str) -> None:
    text = "3x3conv2d:16"
    with seeded(0, "cpu"):
        before = error(build(parse_genotype(text), SPEC))
    recipe = msgspec.structs.replace(RECIPE, epochs=20, precision=precision)
    assert error(trained(recipe, text=text)[0]) < 0.2 * before


def test_the_budget_is_kept_to_the_image_and_the_last_batch_holds_the_rest() -> None:
    assert trained(msgspec.structs.replace(RECIPE, epochs=1))[1] == [16, 16, 8]


def test_progress_rises_to_1() -> None:
    shares = trained(RECIPE)[2]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_seed_alone_decides_and_global_generators_are_untouched() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        state = torch.random.get_rng_state()
        first = weights(trained(RECIPE, text="3x3conv2d:4,dropout2d")[0])
        assert torch.equal(torch.random.get_rng_state(), state)
        torch.manual_seed(4)
        again = weights(trained(RECIPE, text="3x3conv2d:4,dropout2d")[0])
    other = weights(trained(RECIPE, text="3x3conv2d:4,dropout2d", seed=2)[0])
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_micro_batches_take_the_same_steps_as_the_whole_batch() -> None:
    recipe = msgspec.structs.replace(RECIPE, schedule="constant", lr=1e-3)
    whole, parts = weights(trained(recipe)[0]), weights(trained(recipe, n_parts=3)[0])
    assert torch.allclose(whole, parts, atol=1e-5)
    assert not torch.allclose(whole, weights(trained(recipe, seed=2)[0]), atol=1e-5)


def test_an_absurd_learning_rate_diverges_before_the_budget_is_spent() -> None:
    recipe = msgspec.structs.replace(RECIPE, epochs=1000, lr=1e30, schedule="constant")
    images = Ramps()
    network = build(parse_genotype("3x3conv2d:4,3x3conv2d:4"), SPEC)
    with pytest.raises(DivergedError, match=r"the loss was nan after \d+ of 2500 steps"):
        train(network, images, recipe, noise=NOISE, seed=1, device="cpu", n_parts=1, progress=lambda share: None)
    assert len(images.batches) <= 100


NOISE = gaussian(0.2)


class RampsThatGoBad(Ramps):
    """Ramps whose pixels are no numbers from the batch numbered `bad_from` on."""

    def __init__(self, bad_from: int, bad: float) -> None:
        super().__init__()
        self.bad_from, self.bad = bad_from, bad

    def crops(self, n: int) -> Tensor:
        crops = super().crops(n)
        return crops * self.bad if len(self.batches) > self.bad_from else crops


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(("n_steps", "bad_from", "n_most"), [(40, 20, 1), (200, 105, 4), (200, 199, 1)])
def test_training_ends_within_a_fiftieth_of_its_steps_after_the_loss_went_bad(
    bad: float, n_steps: int, bad_from: int, n_most: int
) -> None:
    recipe = msgspec.structs.replace(RECIPE, epochs=1, epoch_images=2 * n_steps, batch_size=2)
    images, shares = RampsThatGoBad(bad_from, bad), list[float]()
    with reproducible(1), pytest.raises(DivergedError, match=r"the loss was (nan|inf) after \d+ of") as diverged:
        train(
            build(parse_genotype("3x3conv2d:4"), SPEC),
            images,
            recipe,
            noise=NOISE,
            seed=1,
            device="cpu",
            n_parts=1,
            progress=shares.append,
        )
    n_done = len(images.batches)
    assert bad_from < n_done <= bad_from + n_most
    assert f"after {n_done} of {n_steps} steps" in str(diverged.value)
    assert all(share * n_steps <= bad_from for share in shares)


def test_the_loss_is_read_at_most_a_hundred_times_however_long_training_is() -> None:
    """Progress is told where the loss is read, and reading it makes a GPU wait."""
    for n_steps in (99, 100, 500):
        recipe = msgspec.structs.replace(RECIPE, epochs=1, epoch_images=n_steps, batch_size=1)
        assert len(trained(recipe, text="1x1conv2d:1")[2]) < 100


def test_the_cosine_warms_up_to_its_peak_and_ends_near_zero() -> None:
    rates = [learning_rate(RECIPE, step, 100) for step in range(100)]
    assert rates.index(max(rates)) == 9
    assert max(rates) == RECIPE.lr
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.01 * RECIPE.lr


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_even_the_shortest_training_has_a_learning_rate(n_steps: int) -> None:
    rates = [learning_rate(RECIPE, step, n_steps) for step in range(n_steps)]
    assert all(0 < rate <= RECIPE.lr and math.isfinite(rate) for rate in rates)


def test_a_constant_schedule_is_constant() -> None:
    recipe = msgspec.structs.replace(RECIPE, schedule="constant")
    assert {learning_rate(recipe, step, 10) for step in range(10)} == {RECIPE.lr}


class Twins(Ramps):
    """Pairs of ramps: the noisy one is the clean one turned upside down."""

    is_paired = True

    def crops(self, n: int) -> Tensor:
        clean = super().crops(n)
        return torch.cat((-clean, clean), dim=1)


class Listener(torch.nn.Module):
    """A network of one weight that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.given: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x.detach().clone())
        return self.weight * x


@pytest.mark.parametrize("n_parts", [1, 4])
def test_pairs_are_given_as_they_are_and_compared_with_their_clean_images(n_parts: int) -> None:
    network, twins = Listener(), Twins()
    with reproducible(1):
        train(
            network,
            twins,
            msgspec.structs.replace(RECIPE, epochs=20, lr=0.05),
            noise=None,
            seed=3,
            device="cpu",
            n_parts=n_parts,
            progress=lambda share: None,
        )
    given = torch.cat(network.given)
    assert len(given) == sum(twins.batches)
    # Ramps fall to the right where clean ones rise, and nothing was added to them.
    torch.testing.assert_close(given[..., 0], -given[..., -1], atol=0, rtol=0)
    assert bool((given[..., 0] >= given[..., -1]).all())
    assert network.weight.item() == pytest.approx(-1, abs=0.05)
