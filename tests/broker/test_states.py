import itertools

import pytest

from evoae_cli.broker.states import TRANSITIONS, Event, IllegalEventError, State, next_state


@pytest.mark.parametrize("pair", sorted(itertools.product(State, Event)))
def test_an_event_is_either_in_the_table_or_raises(pair: tuple[State, Event]) -> None:
    if pair in TRANSITIONS:
        assert next_state(*pair) == TRANSITIONS[pair]
    else:
        with pytest.raises(IllegalEventError, match=f"{pair[0]} cannot {pair[1]}"):
            next_state(*pair)


@pytest.mark.parametrize("state", [State.DONE, State.WITHDRAWN])
def test_nothing_happens_to_a_task_that_has_ended(state: State) -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] == state]


def test_every_state_can_be_reached_from_queued() -> None:
    reached = {State.QUEUED}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)
