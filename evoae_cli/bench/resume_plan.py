"""Where a study will be killed, what it holds at one moment, and whether it has come to what it should in the end."""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Literal

import msgspec

from evoae_cli.bench.resume_victim import WITHIN_FINALIST
from evoae_cli.evaluation.contract import Stage
from evoae_cli.study.locate import BEST, DATABASE
from evoae_cli.study.model import WEIGHTS
from evoae_cli.study.requests import weights_file
from evoae_cli.study.store import Store
from evoae_cli.wholefile import PART

Kind = Literal["generational", "async", "hashed", "async hashed"]
"""The search's mode; hashed where no candidate is trained and there are no weights, and the search is all there is."""
RANDOM = "at a random instant"

_STAGES: tuple[Stage, ...] = ("search", "final", "test")
_FREEZE_EVERY = 4
"""Of the random instants, at how many a worker has been frozen."""


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """Where a coordinator dies: at the `nth` time it reaches a point, or after a share of the undisturbed run."""

    kind: Kind
    point: str
    nth: int = 1
    share: float = 0.0
    """Of the time from the undisturbed run's first evaluation to its end."""
    is_freezing: bool = False


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What tells one committed evaluation from another of the same request."""

    stage: Stage
    generation: int
    fitness: str
    """All its bits, as hexadecimal."""
    worker: str
    run_s: float
    finished_at: float


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A study at one moment."""

    rows: dict[str, Row]
    """Committed evaluations, by `stage genotype seed_index`."""
    history: list[list[object]]
    generations: list[dict[str, object]]
    """The search's state at the end of each; none of an asynchronous one."""
    n_generations: int
    """As many as it is to have after the start."""
    proposed: int
    """Proposals of the search, as it last said."""
    best: str | None
    """Of the search, by its genotype."""
    winner: list[object] | None
    weights: str | None
    """Hash of the tensors in `best/`, if there is a model."""
    left_over: list[str]
    """Files that are of no use to an ended study: half-written ones, and weights of beaten candidates."""

    def of_stage(self, stage: Stage) -> dict[str, str]:
        """Fitness of the evaluations of a stage."""
        return {name: row.fitness for name, row in self.rows.items() if row.stage == stage}

    @property
    def phase(self) -> str:
        """How far the study had come, as far as commits tell."""
        if self.winner is not None:
            return "the end"
        if self.of_stage("test"):
            return "test read"
        if finals := self.of_stage("final"):
            return f"finalists, {len(finals)} stored"
        latest = max(len(self.generations), *(row.generation for row in self.rows.values()), 0)
        # A search with generations has closed that of the start as well.
        return "finalists" if latest > self.n_generations else f"generation {latest} of {self.n_generations}"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one kill has cost. `None` where a question does not arise."""

    point: str
    kind: Kind
    phase: str
    n_stored: int
    """Evaluations committed at the kill."""
    is_frozen: bool
    """Whether a worker had been frozen before."""
    is_history_equal: bool | None
    is_best_equal: bool | None
    is_fitness_equal: bool | None
    is_weights_equal: bool | None
    is_complete: bool
    """Whether the search made as many proposals as the undisturbed one, and a winner was found where that found one."""
    n_lost: int
    """Of the committed evaluations: those that were gone or other ones in the end."""
    n_again: int
    """Evaluations that the resumed run began although they were committed, or began twice."""
    n_survivors: int
    """Workers that lived on."""
    left_over: list[str]

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, nothing was done twice, and all has ended as it would have without the kill."""
        equal = (self.is_history_equal, self.is_best_equal, self.is_fitness_equal, self.is_weights_equal)
        is_clean = self.n_lost == self.n_again == self.n_survivors == 0 and not self.left_over
        return False not in equal and self.is_complete and is_clean


def planned(
    undisturbed: Mapping[Kind, Facts], points: Mapping[Kind, Sequence[str]], n_random: Mapping[Kind, int], seed: int
) -> list[Kill]:
    """The kills of each kind of study: one at each of its points, and `n_random` at instants that are evenly strewn."""
    rng = Random(seed)
    kills = [
        Kill(kind=kind, point=point, nth=rng.randint(1, _n_times(point, undisturbed[kind])))
        for kind, names in points.items()
        for point in names
    ]
    for kind, n in n_random.items():
        for i in range(n):
            share = (i + rng.random()) / n
            kills.append(Kill(kind=kind, point=RANDOM, share=share, is_freezing=i % _FREEZE_EVERY == 1))
    return kills


def _n_times(point: str, facts: Facts) -> int:
    """How often a study reaches a point, at least; some it reaches more often, as its workers' timing will have it."""
    n_searched = len(facts.of_stage("search"))
    if point == "after tell":
        return n_searched
    if "committed" in point:
        # Evaluations that end together are committed together, but never those of two generations.
        return len(facts.generations)
    if point == WITHIN_FINALIST:
        return len(facts.of_stage("final"))
    if point == "between two files of best/":
        # Behind the last of five files there is nothing more to write.
        return 4
    if point == "before a file of best/ is renamed":
        # All five of the first best, and of the winner.
        return 10
    # Those of the first candidate, and of each finalist.
    return 1 + len(facts.of_stage("final"))


def read_facts(folder: Path) -> Facts:
    """Look at a study without changing anything: SQLite writes even where it only reads, so a copy is read.

    Raises StudyError if the study's database cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="evoae-bench-") as copy:
        for path in folder.glob(f"{DATABASE}*"):
            shutil.copy(path, copy)
        store = Store.read(Path(copy))
        try:
            return _facts(folder, store)
        finally:
            store.close()


def _facts(folder: Path, store: Store) -> Facts:
    rows, useful = {}, set()
    best = store.best("search")
    for stage in _STAGES:
        for record in store.records(stage):
            found = record.evaluation
            rows[f"{stage} {found.genotype} {found.seed_index}"] = Row(
                stage=stage,
                generation=record.generation,
                fitness=found.fitness.hex(),
                worker=record.worker,
                run_s=record.run_s,
                finished_at=record.finished_at,
            )
            if stage == "final" or (best is not None and found == best.evaluation):
                useful.add(weights_file(folder, stage, found.genotype, found.seed_index))
    left_over = [path for path in (folder / "weights").glob("*") if path not in useful]
    left_over += [path for path in folder.rglob(f"*{PART}") if path.parent.name != "weights"]
    return Facts(
        rows=rows,
        history=store.history(),
        generations=store.generations(),
        n_generations=store.meta("settings")["generations"],
        proposed=store.meta("counts", {}).get("proposed", 0),
        best=None if best is None else best.evaluation.genotype,
        winner=store.meta("winner"),
        weights=_hash_of_tensors(folder / BEST / WEIGHTS),
        left_over=sorted(str(path.relative_to(folder)) for path in left_over),
    )


def judge(
    point: str,
    kind: Kind,
    undisturbed: Facts,
    at_kill: Facts,
    ended: Facts,
    *,
    begun: Sequence[str],
    survivors: Collection[int],
    is_frozen: bool,
) -> Verdict:
    """Compare a study that was killed and resumed with one that was not.

    `begun` is what the resumed run began to evaluate. What an asynchronous search finds depends on the timing, so it is
    asked only whether it lost anything or did anything twice. A hashed one is stopped amid its finalists, which have no
    weights and so would be trained again.
    """
    is_replayed, is_trained = not kind.startswith("async"), not kind.endswith("hashed")
    stages = _STAGES if is_trained else _STAGES[:1]
    times = Counter(name for name in begun if name.startswith(stages))
    committed = {name: row for name, row in at_kill.rows.items() if row.stage in stages}
    return Verdict(
        point=point,
        kind=kind,
        phase=at_kill.phase,
        n_stored=len(at_kill.rows),
        is_frozen=is_frozen,
        is_history_equal=(
            (ended.history, ended.generations) == (undisturbed.history, undisturbed.generations)
            if is_replayed
            else None
        ),
        is_best_equal=((ended.best, ended.winner) == (undisturbed.best, undisturbed.winner) if is_replayed else None),
        is_fitness_equal=(
            all(ended.of_stage(stage) == undisturbed.of_stage(stage) for stage in stages) if is_replayed else None
        ),
        is_weights_equal=(
            ended.weights is not None and ended.weights == undisturbed.weights if is_replayed and is_trained else None
        ),
        is_complete=(ended.proposed, ended.winner is None) == (undisturbed.proposed, undisturbed.winner is None),
        n_lost=sum(ended.rows.get(name) != row for name, row in committed.items()),
        n_again=len(committed.keys() & times.keys()) + sum(n - 1 for n in times.values()),
        n_survivors=len(survivors),
        left_over=ended.left_over,
    )


def _hash_of_tensors(path: Path) -> str | None:
    """Of names, shapes and bytes, without the description that travels in the file; None if there is no file.

    https://huggingface.co/docs/safetensors: the length of the head in 8 bytes, the head as JSON, the bytes.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    start = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:start])
    head.pop("__metadata__", None)
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode() + content[start:]).hexdigest()
