"""The course of a training: the classical methods, one architecture to its final budget, and one reading of test."""

from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Evaluation
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.population import Individual
from evoae_cli.study import lines
from evoae_cli.study.best import Best
from evoae_cli.study.course import Course
from evoae_cli.study.finals import Final
from evoae_cli.study.finishing import Finishing
from evoae_cli.study.proceedings import Proceedings
from evoae_cli.study.setup import search_space
from evoae_cli.study.snapshot import State


def course_for(means: Proceedings) -> "Course | Training":
    """The course that the study's settings ask for."""
    return Training(means) if means.config.is_training else Course(means)


class Training:
    """Leads the training of one architecture through its stages; used by one thread."""

    def __init__(self, means: Proceedings) -> None:
        self._means = means

    def run(self) -> tuple[State, list[Final], Best]:
        """Go through all stages, as `Course.run` does; where weights were given, also score these, on val.

        Raises Stopped when asked to stop, EvoaeError when it cannot go on, or every training of the architecture fails.
        """
        means, config = self._means, self._means.config
        assert config.genotype is not None
        means.board.phase = "training"
        means.board.is_search_over = True
        finishing = Finishing(means)
        finishing.measure("val")
        before: list[Evaluation] = []
        if config.from_model is not None:
            self._score_start(config.genotype, before)
        genotype = parse_genotype(config.genotype, further=search_space(config, means.requests.images.channels).further)
        finals = finishing.train({config.genotype: Individual(genotype, 0.0, 0, Outcome.OK)})
        if before:
            self._compare(before[0], finals[0].best)
        return "done", finals, finishing.test(finals)

    def _score_start(self, genotype: str, before: list[Evaluation]) -> None:
        """Have the weights that training starts from scored on val, unless the store knows how good they are."""
        means = self._means
        stored = means.store.find("start", genotype)
        if stored is not None:
            before.append(stored.evaluation)
            return
        request = means.requests.before(genotype)
        means.evaluate(request, f"start {genotype}", -1, 0, lambda record: before.append(record.evaluation))

    def _compare(self, before: Evaluation, after: Evaluation) -> None:
        """Say what further training has come to."""
        if before.outcome is not Outcome.OK:
            raise EvoaeError(f"the weights to start from could not be scored: {before.reason}")
        self._means.say("message", lines.change_line(before, after))
        if not lines.is_better(before, after):
            self._means.warn(
                "further training made the model no better on validation; the study that it starts from keeps its own: "
                "try a lower --lr, or more --epochs"
            )
