"""What a view may know of a study at one moment: plain values that also go to disk for `show --watch`."""

from typing import Literal

import msgspec

from evoae_cli.engine.protocol import HelperView, WorkerView

State = Literal["running", "stopping", "interrupted", "done", "exhausted", "time-up", "failed"]
"""`exhausted`: done, as nothing in the search space was left untrained. `time-up`: ended with a winner because its time
was over; resume goes on. `stopping`: waits for what runs."""
OVER: tuple[State, ...] = ("interrupted", "done", "exhausted", "time-up", "failed")
"""States of a study that no process leads any more."""
Phase = Literal["preparing", "search", "finalists", "training", "test", "finished"]
"""`training` stands in the place of `search` and `finalists` where one architecture is trained."""


class ArchitectureRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of the best architectures so far."""

    genotype: str
    fitness: float
    psnr_db: float | None
    """None with noisy images only."""
    parameters: int
    operations: int = 0
    """Multiply-accumulates for one image of `patch` x `patch` pixels."""
    code_values: int = 0
    """Numbers in the code of such an image."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all proposals and tasks."""

    proposed: int = 0
    trained: int = 0
    """Evaluations of the search that ended, whatever their outcome; of a study that has no search, its trainings."""
    cache_hits: int = 0
    """Proposals whose genotype had been evaluated before."""
    in_flight_hits: int = 0
    """Proposals whose genotype was already on its way in the same generation."""
    rejected: int = 0
    """Proposals beyond a limit, which are never trained."""
    diverged: int = 0
    oom: int = 0
    timeout: int = 0
    crashed: int = 0
    lost_leases: int = 0
    late_results: int = 0

    @property
    def failed(self) -> int:
        """Evaluations without a fitness."""
        return self.diverged + self.oom + self.timeout + self.crashed

    def nothing_yet(self, *, is_training: bool) -> str:
        """Why there is no best model: nothing of the search, or of the training, has ended, or nothing well."""
        what = "it has not" if is_training else "no candidate has"
        return f"{what} been {'trained with success' if self.failed else 'evaluated'} yet"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A study at one moment."""

    study: str
    """Its folder."""
    objective: str
    state: State
    phase: Phase
    seed: int
    generation: int
    """The one being evaluated; 0 is the start."""
    n_generations: int
    n_done: int
    """Evaluations finished, of `n_expected` in all, finalists and test included (an estimate: cache hits save some)."""
    n_expected: int
    share: float
    """Of the study's training that is done, 0 to 1; a finalist weighs as much as its images do."""
    elapsed_s: float
    remaining_s: float | None
    """None until enough evaluations have been timed."""
    baseline: str
    """What the unprocessed images are called: `noisy`, or `constant image` for manifold."""
    baseline_db: float | None
    best_db: float | None
    """Validation PSNR of the best so far."""
    references: dict[str, float]
    """Classical methods on the same validation images: name -> PSNR in dB; filled when they are ready."""
    workers: tuple[WorkerView, ...]
    helpers: tuple[HelperView, ...] = ()
    """Other hosts that train candidates of this study."""
    best: tuple[ArchitectureRow, ...]
    """Best first."""
    objectives: tuple[str, ...] = ("fitness",)
    front: tuple[ArchitectureRow, ...] = ()
    """With several objectives, the candidates that none dominates, the fittest first."""
    fitness_by_generation: tuple[float, ...]
    """Best fitness after each finished generation."""
    is_training: bool = False
    """Whether one architecture is trained, and none searched for."""
    counts: Counts
