"""A wake from any thread is seen, and seen once."""

import os
import select
import threading

from evoae_cli.worker.wakepipe import WakePipe


def is_readable(pipe: WakePipe) -> bool:
    return bool(select.select([pipe.fd], [], [], 0)[0])


def test_a_wake_makes_it_readable_until_it_is_answered_however_many_there_are() -> None:
    pipe = WakePipe()
    assert not is_readable(pipe)
    # More than a pipe holds.
    for _ in range(100_000):
        pipe.wake()
    assert is_readable(pipe)
    pipe.answer()
    assert not is_readable(pipe)
    pipe.wake()
    assert is_readable(pipe)
    pipe.close()


def test_a_wake_after_the_end_does_nothing_to_whoever_has_the_descriptor_now() -> None:
    pipe = WakePipe()
    pipe.close()
    reading, writing = os.pipe()
    pipe.wake()
    assert not select.select([reading], [], [], 0)[0]
    os.close(reading)
    os.close(writing)


def test_no_wake_of_several_threads_is_missed() -> None:
    pipe = WakePipe()
    n_done = [0, 0]

    def ring(place: int) -> None:
        for _ in range(2000):
            n_done[place] += 1
            pipe.wake()

    threads = [threading.Thread(target=ring, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    seen = 0
    while seen < 4000:
        assert select.select([pipe.fd], [], [], 30)[0], f"asleep after {seen} of {sum(n_done)}"
        pipe.answer()
        seen = sum(n_done)
    for thread in threads:
        thread.join()
    pipe.close()
