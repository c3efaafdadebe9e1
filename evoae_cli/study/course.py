"""The course of a search: the classical methods, evolution, the finalists, and one reading of test."""

from evoae_cli.strategy.population import Individual, spread
from evoae_cli.study.best import Best
from evoae_cli.study.expected import makespan
from evoae_cli.study.finals import Final
from evoae_cli.study.finishing import Finishing
from evoae_cli.study.proceedings import Proceedings
from evoae_cli.study.searching import Searching
from evoae_cli.study.snapshot import State
from evoae_cli.study.timelimit import affordable


class Course:
    """Leads one study through its stages; used by one thread."""

    def __init__(self, means: Proceedings) -> None:
        self._means = means
        self._is_time_up = False

    def run(self) -> tuple[State, list[Final], Best]:
        """Go through all stages; returns how it ended, the ranked finalists, and the winner with its test figures.

        Raises Stopped when asked to stop, EvoaeError when it cannot go on.
        """
        finishing = Finishing(self._means)
        finishing.measure("val")
        self._is_time_up = Searching(self._means).run()
        self._means.board.phase = "finalists"
        chosen = self._chosen()
        finals = finishing.train(
            {individual.genotype.text: individual for individual, _ in chosen},
            {individual.genotype.text: share for individual, share in chosen},
        )
        winner = finishing.test(finals)
        if self._means.evolution.is_exhausted:
            return "exhausted", finals, winner
        if self._means.limit.is_set and not self._is_time_up:
            self._means.say("message", "all generations ran within the time; resume --generations adds more")
        return "time-up" if self._is_time_up else "done", finals, winner

    def _chosen(self) -> list[tuple[Individual, float]]:
        """The best candidates, as many as are to be trained, and the share of their trainings that there is time for.

        With several objectives they are spread over the front of all candidates.
        """
        means, config = self._means, self._means.config
        ranked = spread(means.evolution.evaluated.values(), len(means.evolution.evaluated), config.objective_names)
        left_s, n_workers = means.limit.left_s - means.board.closing_s, means.board.n_hands
        if not means.limit.is_set:
            return [(individual, 1.0) for individual in ranked[: config.finalists]]
        trainings = (means.trainings_of(individual.genotype) for individual in ranked)
        afforded = affordable(trainings, n_workers, left_s, config.finalists)
        chosen = [(ranked[one.rank], one.share) for one in afforded]
        best = ranked[: config.finalists]
        if makespan([second for one in afforded for second in one.seconds], n_workers) > left_s:
            means.warn("one finalist takes longer than the time that is left; it is trained, as there must be a model")
        n_kept, least = (
            sum(individual in best for individual, _ in chosen),
            min((share for _, share in chosen), default=1.0),
        )
        if n_kept < len(best) or least < 1.0:
            self._is_time_up = True
            said = f"time is left to train {n_kept or 'none'} of {len(best)} finalists"
            if n_kept < len(chosen):
                said += ", so others that take less are trained"
            if least < 1.0:
                said += f", for {means.requests.final_epochs(least)} of {config.final_epochs} epochs"
            means.warn(f"{said}; resume trains the rest")
        return chosen
