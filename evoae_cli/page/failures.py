"""What became of all evaluations, and why some failed. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from evoae_cli.outcome import Outcome
from evoae_cli.study.store import Record

_MOST = 12
"""Reasons that are shown."""

MEANINGS = {
    Outcome.OK: "trained and scored",
    Outcome.DIVERGED: "the loss became NaN or infinite",
    Outcome.OOM: "memory ran out, also in smaller batches",
    Outcome.TIMEOUT: "it took longer than allowed",
    Outcome.CRASHED: "the code raised, or three workers were lost while they ran it",
}


class OutcomeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome."""

    outcome: str
    meaning: str
    n: int
    share: float


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Failures that say the same but for numbers."""

    outcome: str
    text: str
    """Of the newest."""
    n: int
    example: str
    """Genotype of the newest."""


def outcomes_of(runs: Sequence[Record]) -> tuple[OutcomeRow, ...]:
    """How many evaluations ended in which way, most of them first."""
    counts = Counter(record.evaluation.outcome for record in runs)
    return tuple(
        OutcomeRow(outcome=str(outcome), meaning=MEANINGS[outcome], n=n, share=n / len(runs))
        for outcome, n in counts.most_common()
    )


def reasons_of(runs: Sequence[Record]) -> tuple[tuple[Reason, ...], int]:
    """Why evaluations failed, the most frequent first, and how many further reasons there are."""
    alike: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in runs:
        found = record.evaluation
        if found.outcome is not Outcome.OK:
            alike[str(found.outcome), re.sub(r"\d[\d,.]*", "#", found.reason)].append(record)
    reasons = [
        Reason(
            outcome=outcome,
            text=records[-1].evaluation.reason or MEANINGS[Outcome(outcome)],
            n=len(records),
            example=records[-1].evaluation.genotype,
        )
        for (outcome, _), records in sorted(alike.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return tuple(reasons[:_MOST]), max(0, len(reasons) - _MOST)
