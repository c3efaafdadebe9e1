"""When a silence is told, and when it is given up."""

import pytest

from evoae_cli.hosts.contact import Contact, Silence


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def contact(clock: Clock) -> Contact:
    return Contact("poll", patience_s=2.0, gone_after_s=60.0, clock=clock)


def test_only_the_first_silence_is_news_and_only_the_last_answer() -> None:
    clock = Clock()
    found = contact(clock)
    assert found.trouble == ""
    assert found.lost("poll", "no answer", is_leaving=False).is_news
    assert not found.lost("poll", "no answer", is_leaving=False).is_news
    assert not found.lost("return", "nor here", is_leaving=False).is_news
    assert found.trouble == "no answer"
    assert not found.found("fetch")
    assert not found.found("poll")
    assert found.trouble == "nor here"
    assert found.found("return")
    assert found.trouble == ""
    assert not found.found("return")


def test_a_silence_is_borne_from_its_beginning() -> None:
    clock = Clock()
    found = contact(clock)
    assert found.lost("poll", "no answer", is_leaving=False) == Silence(True, 60.0, False)
    clock.now_s += 60.0
    assert not found.lost("poll", "no answer", is_leaving=False).is_over
    clock.now_s += 0.1
    assert found.lost("poll", "no answer", is_leaving=False) == Silence(False, 60.0, True)
    # An answer in between begins it anew.
    found.found("poll")
    assert found.lost("poll", "no answer", is_leaving=False) == Silence(True, 60.0, False)


@pytest.mark.parametrize(
    ("name", "is_leaving", "silence"),
    [
        ("poll", False, Silence(False, 60.0, False)),
        # Who leaves has only to return what is held.
        ("poll", True, Silence(False, 6.0, True)),
        # Where polls are answered, what cannot be returned would be held for ever.
        ("return", False, Silence(False, 6.0, True)),
    ],
)
def test_what_is_only_to_be_returned_is_tried_a_few_times_as_long_as_patience_lasts(
    name: str, is_leaving: bool, silence: Silence
) -> None:
    clock = Clock()
    found = contact(clock)
    found.lost(name, "no answer", is_leaving=False)
    clock.now_s += 6.1
    assert found.lost(name, "no answer", is_leaving=is_leaving) == silence


def test_what_could_not_be_returned_while_nobody_was_there_counts_from_when_polls_are_answered() -> None:
    clock = Clock()
    found = contact(clock)
    found.lost("poll", "no answer", is_leaving=False)
    found.lost("return", "no answer", is_leaving=False)
    clock.now_s += 50.0
    assert found.lost("return", "no answer", is_leaving=False) == Silence(False, 60.0, False)
    assert not found.found("poll")
    assert found.lost("return", "no answer", is_leaving=False) == Silence(False, 6.0, False)
    clock.now_s += 6.1
    assert found.lost("return", "no answer", is_leaving=False).is_over
