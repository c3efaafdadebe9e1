from evoae_cli.evaluation.contract import Evaluation, Scores
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.population import Individual
from evoae_cli.study.finals import rank_finals


def final(genotype: str, fitness: float, seed_index: int = 0) -> Evaluation:
    scores = Scores(mse=1 / fitness, psnr_db=20.0, psnr_pooled_db=20.0, ssim=0.5) if fitness else None
    outcome = Outcome.OK if fitness else Outcome.OOM
    return Evaluation(genotype=genotype, stage="final", seed_index=seed_index, outcome=outcome, scores=scores)


def searched(**parameters: int) -> dict[str, Individual]:
    texts = {"small": "1x1conv2d:8", "large": "3x3conv2d:8"}
    return {texts[name]: Individual(parse_genotype(texts[name]), 1.0, n, Outcome.OK) for name, n in parameters.items()}


SEARCHED = searched(small=10, large=100)


def test_the_mean_over_seeds_ranks_and_the_best_seed_is_delivered() -> None:
    found = [final("1x1conv2d:8", 2.0, 0), final("1x1conv2d:8", 4.0, 1), final("3x3conv2d:8", 2.9)]
    ranked = rank_finals(found, SEARCHED)
    assert [(each.genotype, each.fitness) for each in ranked] == [("1x1conv2d:8", 3.0), ("3x3conv2d:8", 2.9)]
    assert ranked[0].best.seed_index == 1


def test_a_failed_training_counts_as_nothing() -> None:
    found = [final("1x1conv2d:8", 4.0, 0), final("1x1conv2d:8", 0.0, 1), final("3x3conv2d:8", 2.5)]
    assert [each.genotype for each in rank_finals(found, SEARCHED)] == ["3x3conv2d:8", "1x1conv2d:8"]


def test_of_equals_the_one_with_fewer_parameters_wins_whatever_order_they_ended_in() -> None:
    found = [final("3x3conv2d:8", 2.0), final("1x1conv2d:8", 2.0)]
    assert rank_finals(found, SEARCHED) == rank_finals(found[::-1], SEARCHED)
    assert rank_finals(found, SEARCHED)[0].genotype == "1x1conv2d:8"
