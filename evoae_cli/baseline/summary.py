"""What a comparison has come to, as one object: what `--json` prints, and what tables are made of. Free of torch."""

from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.baseline.comparison import Side, Spread, Verdict, sides_of, spread_of, verdicts
from evoae_cli.baseline.plan import Part, Plan, check_search, read_plan
from evoae_cli.baseline.rivalfile import RivalRow, read_rivals
from evoae_cli.baseline.running import running_in
from evoae_cli.baseline.spent import ENDED
from evoae_cli.errors import StudyError
from evoae_cli.study.locate import is_study
from evoae_cli.study.store import Store
from evoae_cli.study.summary import state_of


class BaselineSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison at one moment."""

    baseline: str
    """Its folder."""
    objective: str
    state: str
    """`running` while a process is at it, `done` once all has ended and was measured, else `interrupted`."""
    against: str | None
    n_pairs: int
    random: Spread | None
    """The architectures of the paper's protocol."""
    studies: tuple[Side, ...]
    verdicts: tuple[Verdict, ...]
    rivals: tuple[RivalRow, ...]
    """What was measured on the same test images: models, classical methods, hand-made networks."""
    trouble: str = ""
    """Why nothing is said of the search, in one line; empty where there is none, or nothing is wrong with it."""

    def as_json(self) -> dict[str, Any]:
        """Plain values as JSON has them, with the verdicts' lines."""
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        for verdict, about in zip(self.verdicts, plain["verdicts"], strict=True):
            about["line"] = verdict.line
        return plain


def baseline_summary(folder: Path) -> BaselineSummary:
    """What the comparison in `folder` has come to. Raises StudyError where there is none."""
    plan = read_plan(folder)
    sides = sides_of(folder, plan)
    return BaselineSummary(
        baseline=str(folder),
        objective=plan.objective,
        state=baseline_state(folder, plan),
        against=plan.against,
        n_pairs=plan.n_pairs,
        random=_random(folder, plan),
        studies=tuple(sides),
        verdicts=tuple(verdicts(sides)),
        rivals=tuple(read_rivals(folder)),
        trouble=_trouble(plan),
    )


def baseline_state(folder: Path, plan: Plan) -> str:
    """As `BaselineSummary.state`, which is known sooner than all else."""
    if running_in(folder) is not None:
        return "running"
    is_done = plan.is_measured and all(is_ended(folder, part) for part in plan.parts)
    return "done" if is_done else "interrupted"


def is_ended(folder: Path, part: Part) -> bool:
    """Whether the study of `part` has ended with a model."""
    place = folder / part.name
    if not is_study(place):
        return False
    store = Store.read(place)
    try:
        return state_of(place, store) in ENDED
    finally:
        store.close()


def _trouble(plan: Plan) -> str:
    try:
        check_search(plan)
    except StudyError as error:
        return str(error)
    return ""


def _random(folder: Path, plan: Plan) -> Spread | None:
    papers = [folder / part.name for part in plan.parts if part.protocol == "paper"]
    return spread_of(papers[0]) if papers and is_study(papers[0]) else None
