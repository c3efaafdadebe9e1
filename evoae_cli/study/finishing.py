"""What every study ends with: trainings to the final budget, ranked on val, and one reading of test."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from evoae_cli.broker.task import TaskResult
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Evaluation, References, Split
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.population import Individual
from evoae_cli.study import lines
from evoae_cli.study.best import Best
from evoae_cli.study.finals import Final, rank_finals
from evoae_cli.study.proceedings import Proceedings
from evoae_cli.study.requests import weights_file


class Finishing:
    """The stages at the end of a study, and the measurements that its figures are compared with; for one thread."""

    def __init__(self, means: Proceedings) -> None:
        self._means = means

    def measure(self, split: Split) -> None:
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

    def train(
        self, chosen: Mapping[str, Individual], shares: Mapping[str, float] = MappingProxyType({})
    ) -> list[Final]:
        """Train each of `chosen`, by genotype, to the final budget, as often as there are final seeds; the best first.

        `shares` has those of which there is time for a share alone. Raises EvoaeError where every training fails.
        """
        means = self._means
        means.board.n_finals(len(chosen) * means.config.final_seeds)
        found: list[Evaluation] = []

        for number, genotype in enumerate(chosen):
            for seed_index in range(means.config.final_seeds):
                share = shares.get(genotype, 1.0)
                stored = means.stored_final(genotype, seed_index, share)
                if stored is not None:
                    means.board.finished_final(stored)
                    found.append(stored)
                else:
                    request = means.requests.final(genotype, seed_index, share)
                    means.evaluate(
                        request, f"final {genotype}", -1, number, lambda record: self._trained(record.evaluation, found)
                    )
        means.receive_all()
        finals = rank_finals(found, chosen)
        if not finals or finals[0].fitness == 0.0:
            raise EvoaeError(self._failure(found))
        return finals

    def _trained(self, evaluation: Evaluation, found: list[Evaluation]) -> None:
        """Take a training's result; without a search before it, it may be the first or best model that there is."""
        means = self._means
        is_best = evaluation.fitness > max((other.fitness for other in found), default=0.0)
        found.append(evaluation)
        if means.config.is_training and is_best and means.store.meta("winner") is None:
            weights = weights_file(means.folder, "final", evaluation.genotype, evaluation.seed_index)
            means.best_writer.put(Best(evaluation, weights))

    def _failure(self, found: list[Evaluation]) -> str:
        reason = found[0].reason if found else "there was none"
        if self._means.config.is_training:
            return f"the training failed: {reason}; to try again: evoae resume {self._means.folder} --retry-failed"
        return f"every finalist failed; the first one: {reason}"

    def test(self, finals: list[Final]) -> Best:
        """Read the test images once, for the winner, after everything has been decided on val.

        Raises EvoaeError where the winner cannot be scored.
        """
        means = self._means
        means.board.phase = "test"
        winner = finals[0].best
        stored = means.store.find("test", winner.genotype, winner.seed_index)
        self.measure("test")
        tested: list[Evaluation] = [] if stored is None else [stored.evaluation]

        if stored is None:
            request = means.requests.test(winner.genotype, winner.seed_index)
            name = f"test {winner.genotype}"
            means.evaluate(request, name, -1, 0, lambda record: tested.append(record.evaluation))
        means.receive_all()
        if tested[0].outcome is not Outcome.OK:
            raise EvoaeError(f"the winner could not be scored on test: {tested[0].reason}")
        means.board.won(finals[0])
        if winner.residual is not None:
            warning = lines.residual_warning(winner.residual, is_training=means.config.is_training)
            if warning:
                means.warn(warning)
        weights = weights_file(means.folder, "final", winner.genotype, winner.seed_index)
        return Best(winner, weights, test=tested[0])
