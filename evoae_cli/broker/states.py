"""The states of a task, as a table of data: what can happen to it, and where it stands then."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a task stands."""

    QUEUED = "queued"
    LEASED = "leased"
    LENT = "lent"
    """Owned here, and with a peer, whether or not it runs there yet."""
    DONE = "done"
    WITHDRAWN = "withdrawn"


class Event(StrEnum):
    """What can happen to a task."""

    LEASE = "lease"
    LEND = "lend"
    RENEW = "renew"
    REPORT = "report"
    RETURN = "return"
    """Its worker was lost before it began: no attempt."""
    RECLAIM = "reclaim"
    """The peer is lost, or has it not, or cannot run it: no attempt."""
    LOSE = "lose"
    """Its worker was lost, and it may be tried again."""
    GIVE_UP = "give up"
    """Its worker was lost in the last attempt."""
    TIME_OUT = "time out"
    """It ran longer than it may: no worker would be faster, so this attempt was its last."""
    WITHDRAW = "withdraw"


TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.QUEUED, Event.LEASE): State.LEASED,
        (State.QUEUED, Event.LEND): State.LENT,
        (State.QUEUED, Event.WITHDRAW): State.WITHDRAWN,
        (State.LEASED, Event.RENEW): State.LEASED,
        (State.LEASED, Event.REPORT): State.DONE,
        (State.LEASED, Event.RETURN): State.QUEUED,
        (State.LEASED, Event.LOSE): State.QUEUED,
        (State.LEASED, Event.GIVE_UP): State.DONE,
        (State.LEASED, Event.TIME_OUT): State.DONE,
        (State.LENT, Event.REPORT): State.DONE,
        (State.LENT, Event.RECLAIM): State.QUEUED,
        (State.LENT, Event.LOSE): State.QUEUED,
        (State.LENT, Event.GIVE_UP): State.DONE,
        (State.LENT, Event.WITHDRAW): State.WITHDRAWN,
    }
)


class IllegalEventError(RuntimeError):
    """An event that the table does not know for a state: a bug of the caller. Nothing has changed."""


def next_state(state: State, event: Event) -> State:
    """The state that follows. Raises IllegalEventError for a pair that `TRANSITIONS` does not have."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalEventError(f"a task that is {state} cannot {event}") from None
