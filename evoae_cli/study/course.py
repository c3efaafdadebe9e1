"""The course of a study: the classical methods, evolution, the finalists, and one reading of test."""

import msgspec

from evoae_cli.broker.task import TaskResult
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Evaluation, References, Split
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.population import Individual, spread
from evoae_cli.study import lines
from evoae_cli.study.best import Best
from evoae_cli.study.expected import makespan
from evoae_cli.study.finals import Final, rank_finals
from evoae_cli.study.proceedings import Proceedings
from evoae_cli.study.requests import weights_file
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
        self._measure("val")
        self._is_time_up = Searching(self._means).run()
        finals = self._finals()
        winner = self._test(finals)
        if self._means.evolution.is_exhausted:
            return "exhausted", finals, winner
        if self._means.limit.is_set and not self._is_time_up:
            self._means.say("message", "all generations ran within the time; resume --generations adds more")
        return "time-up" if self._is_time_up else "done", finals, winner

    def _measure(self, split: Split) -> None:
        """Have the classical methods measured, unless the store knows them."""
        means = self._means
        stored = means.store.meta(f"references_{split}")
        if stored is not None:
            means.board.measured(split, msgspec.convert(stored, References))
            return

        def then(found: References | str, result: TaskResult) -> None:
            if isinstance(found, str):
                means.warn(f"the classical methods could not be measured: {found}")
                return
            means.store.put_meta(**{f"references_{split}": msgspec.to_builtins(found)})
            means.board.measured(split, found, result.run_s)
            means.say("message", lines.references_line(found, split))

        means.desk.measure(means.requests.references(split), f"classical methods on {split}", then)

    def _finals(self) -> list[Final]:
        means, config = self._means, self._means.config
        means.board.phase = "finalists"
        searched = {individual.genotype.text: individual for individual in self._chosen()}
        chosen = list(searched)
        means.board.n_finals(len(chosen) * config.final_seeds)
        found: list[Evaluation] = []

        for number, genotype in enumerate(chosen):
            for seed_index in range(config.final_seeds):
                stored = means.stored_final(genotype, seed_index)
                if stored is not None:
                    means.board.finished_final()
                    found.append(stored)
                else:
                    request = means.requests.final(genotype, seed_index)
                    means.evaluate(
                        request, f"final {genotype}", -1, number, lambda record: found.append(record.evaluation)
                    )
        means.receive_all()
        finals = rank_finals(found, searched)
        if not finals or finals[0].fitness == 0.0:
            raise EvoaeError(f"every finalist failed; the first one: {found[0].reason if found else 'there was none'}")
        return finals

    def _chosen(self) -> list[Individual]:
        """The best candidates, as many as are to be trained to the end and as the time that is left allows.

        With several objectives they are spread over the front of all candidates.
        """
        means, config = self._means, self._means.config
        ranked = spread(means.evolution.evaluated.values(), config.finalists, config.objective_names)
        trainings = means.final_trainings_s(individual.genotype for individual in ranked)
        left_s, n_workers = means.limit.left_s - means.board.closing_s, means.board.n_workers
        if trainings and makespan(trainings[0], n_workers) > left_s:
            means.warn("one finalist takes longer than the time that is left; it is trained, as there must be a model")
        n = affordable(trainings, n_workers, left_s)
        if n < len(ranked):
            self._is_time_up = True
            means.warn(f"time is left to train {n} of {len(ranked)} finalists; resume trains the others")
        return ranked[:n]

    def _test(self, finals: list[Final]) -> Best:
        """Read the test images once, for the winner, after everything has been decided on val."""
        means = self._means
        means.board.phase = "test"
        winner = finals[0].best
        stored = means.store.find("test", winner.genotype, winner.seed_index)
        self._measure("test")
        tested: list[Evaluation] = [] if stored is None else [stored.evaluation]

        if stored is None:
            request = means.requests.test(winner.genotype, winner.seed_index)
            name = f"test {winner.genotype}"
            means.evaluate(request, name, -1, 0, lambda record: tested.append(record.evaluation))
        means.receive_all()
        if tested[0].outcome is not Outcome.OK:
            raise EvoaeError(f"the winner could not be scored on test: {tested[0].reason}")
        means.board.won(finals[0])
        if winner.residual is not None and (warning := lines.residual_warning(winner.residual)):
            means.warn(warning)
        weights = weights_file(means.folder, "final", winner.genotype, winner.seed_index)
        return Best(winner, weights, test=tested[0])
