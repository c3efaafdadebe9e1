"""The search itself, generational or asynchronous: evolution is asked, candidates are evaluated, evolution is told.

The store hears of a result before evolution does. The generational search is deterministic, so resuming it is
replaying: what is in the store is told again, what is not is evaluated. The asynchronous one takes what the store holds
as told.
"""

from collections.abc import Iterable

from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Evaluation
from evoae_cli.genome.spaces import genotype_of
from evoae_cli.strategy.population import Individual, rank_key
from evoae_cli.strategy.search import N_BARREN, Proposal
from evoae_cli.strategy.steady_state import SteadyState
from evoae_cli.study import lines
from evoae_cli.study.best import Best
from evoae_cli.study.expected import makespan
from evoae_cli.study.forgetting import SEARCH_STATE
from evoae_cli.study.proceedings import Proceedings
from evoae_cli.study.requests import weights_file
from evoae_cli.study.setup import search_space
from evoae_cli.study.store import HISTORY_END, Record
from evoae_cli.study.timelimit import affordable


class Searching:
    """Leads the search of one study; used by one thread."""

    def __init__(self, means: Proceedings) -> None:
        self._means = means
        self._evolution = means.evolution
        # Proposals sent out, by number, until they are told.
        self._out: dict[int, Proposal] = {}
        self._n_closed = 0

    def run(self) -> bool:
        """Search until evolution has finished or the time is up; whether it was the time.

        Raises Stopped when asked to stop, EvoaeError when every candidate fails or the host can run none.
        """
        means = self._means
        means.board.phase = "search"
        is_time_up = self._run_steadily() if isinstance(self._evolution, SteadyState) else self._run_generations()
        means.board.is_search_over = True
        if self._evolution.is_exhausted:
            means.say("message", self._exhaustion())
        elif is_time_up:
            means.say("message", "the time for the search is up; what is left is for the finalists")
        return is_time_up

    def _exhaustion(self) -> str:
        space = search_space(self._means.config, self._means.requests.images.channels)
        if len(self._evolution.evaluated) == space.size:
            return "every architecture of the search space has been trained; the search ends here"
        return f"the last {N_BARREN:,} proposals brought nothing new within the limits; the search ends here"

    # ---- with generations ----

    def _run_generations(self) -> bool:
        evolution = self._evolution
        while not evolution.is_finished:
            unknown = self._open(evolution.ask())
            self._close_generation()
            if self._out and self._is_time_up():
                self._leave_the_rest()
                return True
            for proposal in unknown:
                self._send(proposal)
            if not evolution.is_finished and self._means.desk.n_open:
                self._means.receive()
        return False

    def _open(self, proposals: Iterable[Proposal]) -> list[Proposal]:
        """Tell what the store knows of a new generation; returns the rest, which is out from here on, longest first."""
        means, unknown = self._means, []
        for proposal in proposals:
            if proposal.source == "new":
                stored = means.store.find("search", proposal.genotype.text)
                if stored is None:
                    unknown.append(proposal)
                else:
                    if stored.generation < 0:
                        means.store.place(proposal.genotype.text, proposal.generation, proposal.number)
                        means.board.ended(stored.evaluation)
                    self._tell(proposal, stored)
        ordered = means.expected.longest_first(unknown)
        if self._has_no_time_for(ordered):
            # It will be cut short: what is evaluated by then should be the beginning of the history.
            ordered = unknown
        self._out |= {proposal.number: proposal for proposal in ordered}
        return ordered

    def _has_no_time_for(self, proposals: list[Proposal]) -> bool:
        durations = [self._means.expected.candidate_s(proposal.genotype) or 0.0 for proposal in proposals]
        return self._means.limit.is_set and makespan(durations, self._means.board.n_hands) > self._search_left_s()

    def _close_generation(self) -> None:
        """Store the search's state when a generation has ended; a replay must meet the same state again."""
        means, n_closed = self._means, self._evolution.n_closed
        if n_closed <= self._n_closed:
            return
        self._n_closed = n_closed
        closed, state = n_closed - 1, self._evolution.state()
        is_new = means.store.put_generation(closed, state, means.board.meta(self._evolution))
        self._refuse_if_all_failed()
        if is_new:
            means.say("generation", lines.generation_line(closed, means.snapshot()))

    def _leave_the_rest(self) -> None:
        """Take back what nobody runs, and remember where the history then ends."""
        self._means.drain()
        if self._out:
            first = self._out[min(self._out)]
            self._means.store.put_meta(**{HISTORY_END: [first.generation, first.number]})

    # ---- without ----

    def _run_steadily(self) -> bool:
        evolution, means = self._evolution, self._means
        self._restore()
        while not evolution.is_finished:
            if self._is_time_up():
                means.drain()
                return True
            while means.desk.n_open < means.board.n_hands and (proposals := evolution.ask()):
                for proposal in proposals:
                    if proposal.source == "new":
                        self._out[proposal.number] = proposal
                        self._send(proposal)
            self._tell_generation()
            if not evolution.is_finished and means.desk.n_open:
                means.receive()
        return False

    def _restore(self) -> None:
        """Take up the search where the store has it."""
        means, evolution = self._means, self._evolution
        assert isinstance(evolution, SteadyState)
        told = []
        for record in means.store.told():
            found = record.evaluation
            genotype = genotype_of(found.genotype, means.requests.network)
            told.append(
                Individual(
                    genotype, found.fitness, found.parameters, found.outcome, found.operations, found.code_values
                )
            )
            means.board.evaluated(record, is_new=False)
            means.expected.learn(told[-1].genotype, record)
        evolution.restore(means.store.meta(SEARCH_STATE), told)
        self._n_closed = evolution.n_closed
        stored = means.store.find("search", evolution.best.genotype.text) if evolution.best is not None else None
        if stored is not None:
            self._keep_or_drop(stored.evaluation, is_best=True)

    def _tell_generation(self) -> None:
        """Say how far it is, as often as a generational search would."""
        n_closed = self._evolution.n_closed
        if n_closed > self._n_closed:
            self._n_closed = n_closed
            self._refuse_if_all_failed()
            self._means.say("generation", lines.generation_line(n_closed - 1, self._means.snapshot()))

    # ---- both ----

    def _send(self, proposal: Proposal) -> None:
        means, text = self._means, proposal.genotype.text
        request = means.requests.search(text, means.board.best_fitness)
        means.evaluate(request, text, proposal.generation, proposal.number, lambda record: self._tell(proposal, record))

    def _tell(self, proposal: Proposal, record: Record) -> None:
        means, found = self._means, record.evaluation
        if self._out.pop(proposal.number, None) is None:
            means.board.evaluated(record, is_new=False)
        means.expected.learn(proposal.genotype, record)
        self._evolution.tell(
            proposal.genotype,
            found.fitness,
            found.parameters,
            found.outcome,
            operations=found.operations,
            code=found.code_values,
        )
        best = self._evolution.best
        self._keep_or_drop(found, is_best=best is not None and best.genotype == proposal.genotype)
        if not isinstance(self._evolution, SteadyState):
            self._close_generation()

    def _keep_or_drop(self, found: Evaluation, *, is_best: bool) -> None:
        """Hand a new best to `best/`; drop the weights of a candidate that is none."""
        if found.weights is None:
            return
        means = self._means
        # Not the path that was stored: a study may have been moved since.
        weights = weights_file(means.folder, "search", found.genotype, 0)
        if not is_best:
            weights.unlink(missing_ok=True)
        elif weights.exists() and means.store.meta("winner") is None and not self._is_outdone(found):
            # Once there is a winner, trained to the end, only the next winner takes its place.
            means.best_writer.put(Best(found, weights))

    def _is_outdone(self, found: Evaluation) -> bool:
        """Whether a better candidate has its weights, of which evolution has not heard: one that is set aside.

        It lies in `best/`, which must not become worse while failures before it are tried again.
        """
        best = self._means.store.best("search", is_set_aside_too=True)
        if best is None or best.evaluation.genotype == found.genotype:
            return False
        return weights_file(self._means.folder, "search", best.evaluation.genotype, 0).exists()

    def _refuse_if_all_failed(self) -> None:
        if all(individual.fitness == 0.0 for individual in self._evolution.population):
            again = f"to try them again: evoae resume {self._means.folder} --retry-failed"
            raise EvoaeError(f"every candidate failed; the last one: {self._means.board.last_reason}; {again}")

    # ---- time ----

    def _is_time_up(self) -> bool:
        """Whether nothing more should begin, as it would not end before the finalists must begin."""
        best, expected = self._evolution.best, self._means.expected
        if not self._means.limit.is_set or best is None or best.fitness == 0.0:
            # Without a candidate there is nothing to train to the end, and no model.
            return False
        running = {worker.task: worker.running_s for worker in self._means.snapshot().workers if worker.task}
        rests_s, waiting = [], []
        for genotype in (proposal.genotype for proposal in self._out.values()):
            if genotype.text in running:
                rests_s.append(max(0.0, (expected.candidate_s(genotype) or 0.0) - running[genotype.text]))
            else:
                waiting.append(genotype)
        # Where the next one is not drawn yet, it will resemble the best.
        next_s = expected.candidate_s(waiting[0] if waiting else best.genotype) or 0.0
        free_in_s = min(rests_s) if len(rests_s) >= self._means.board.n_hands else 0.0
        return self._search_left_s() <= max([free_in_s + next_s, *rests_s])

    def _search_left_s(self) -> float:
        """Seconds until the finalists must begin."""
        means = self._means
        # With several objectives the finalists are spread over the front, most of it cheaper than these.
        evolution, n_workers, most_s = self._evolution, means.board.n_hands, means.limit.finals_s
        leading = evolution.population or sorted(evolution.evaluated.values(), key=rank_key)
        trainings = (means.trainings_of(individual.genotype) for individual in leading)
        chosen = affordable(trainings, n_workers, most_s, means.config.finalists)
        # One that takes longer must not end the search: those to come may take less.
        finals_s = min(makespan([second for one in chosen for second in one.seconds], n_workers), most_s)
        return means.limit.left_s - finals_s - means.board.closing_s
