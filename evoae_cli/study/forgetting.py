"""Making a study ready to try again what failed for want of time, memory or luck: SQL inside one transaction."""

import sqlite3
from typing import Any

from evoae_cli.outcome import Outcome
from evoae_cli.study.database import meta_value, put_meta

SEARCH_STATE = "search_state"
"""Meta value: the asynchronous search's state, stored with each result."""
IN_HISTORY = "(stage<>'search' OR generation>=0)"
"""What is not set aside, as a condition on `evaluations`."""
_RETRIED = f"stage IN ('search','final') AND outcome IN ('{Outcome.CRASHED}','{Outcome.TIMEOUT}','{Outcome.OOM}')"
"""What another try may mend; what diverged does so each time."""
_FAILURES = (Outcome.DIVERGED, Outcome.OOM, Outcome.TIMEOUT, Outcome.CRASHED)


def forget_failures(db: sqlite3.Connection, *, is_generational: bool) -> int:
    """Delete failed candidates and finalists, and set aside what a replay must find anew; how many were deleted.

    A generation with a failed candidate may select others once that is tried again, and so may all that follow it.
    """
    first = db.execute(
        f"SELECT MIN(generation) FROM evaluations WHERE stage='search' AND generation>=0 AND {_RETRIED}"
    ).fetchone()[0]
    candidates = db.execute(f"SELECT number, genotype FROM evaluations WHERE stage='search' AND {_RETRIED}").fetchall()
    db.execute(
        "DELETE FROM evaluations WHERE stage='test' AND (genotype, seed_index) IN"
        f" (SELECT genotype, seed_index FROM evaluations WHERE stage='final' AND {_RETRIED})"
    )
    n_forgotten = db.execute(f"DELETE FROM evaluations WHERE {_RETRIED}").rowcount
    if is_generational and first is not None:
        db.execute("DELETE FROM generations WHERE number>=?", (first,))
        db.execute("UPDATE evaluations SET generation=-1 WHERE stage='search' AND generation>=?", (first,))
    if n_forgotten:
        put_meta(db, _meta_after(db, candidates))
    return n_forgotten


def _meta_after(db: sqlite3.Connection, candidates: list[tuple[int, str]]) -> dict[str, Any]:
    """The meta values that say what is no longer so. The winner is none: it did not fail, and lies in `best/`.

    `candidates` are number and genotype of each that was forgotten.
    """
    changed: dict[str, Any] = {"state": "interrupted"}
    search = meta_value(db, SEARCH_STATE)
    if search is not None:
        # An asynchronous search draws no genotype twice: it evaluates again what is said to be in flight. The state
        # may be from before the last results were told, which are then in flight already.
        out = {genotype: number for number, genotype in [*candidates, *search["in_flight"]]}
        in_flight = sorted([number, genotype] for genotype, number in out.items())
        changed[SEARCH_STATE] = search | {"in_flight": in_flight}
    counts = meta_value(db, "counts")
    if counts is not None:
        outcomes = dict(
            db.execute(f"SELECT outcome, COUNT(*) FROM evaluations WHERE {IN_HISTORY} GROUP BY outcome").fetchall()
        )
        failures = {str(outcome): outcomes.get(str(outcome), 0) for outcome in _FAILURES}
        searched = db.execute("SELECT COUNT(*) FROM evaluations WHERE stage='search' AND generation>=0")
        changed["counts"] = counts | failures | {"trained": searched.fetchone()[0]}
    finalists = meta_value(db, "finalists")
    if finalists is not None:
        left = {row[0] for row in db.execute("SELECT genotype FROM evaluations WHERE stage='final'")}
        changed["finalists"] = [genotype for genotype in finalists if genotype in left]
    return changed
