from evoae_cli.study.progress import Progress


def made() -> Progress:
    return Progress(population=4, n_generations=3, n_finals=2, final_factor=10.0)


def test_nothing_is_foretold_before_something_was_timed() -> None:
    assert made().remaining_s(0, 4, 2, False) is None
    stored = made()
    stored.searched(None, is_best=True)
    assert stored.remaining_s(0, 3, 2, False) is None


def test_at_the_start_two_offspring_per_parent_are_foreseen() -> None:
    assert made().n_expected(0, 4, False) == 4 + 3 * 8 + 2 + 1


def test_cache_hits_seen_so_far_lower_what_is_foreseen() -> None:
    progress = made()
    for _ in range(4 + 3):
        progress.searched(1.0, is_best=False)
    assert progress.n_expected(2, 0, False) == 7 + 3 + 2 + 1


def test_the_time_left_counts_candidates_over_workers_and_finalists_in_rounds() -> None:
    progress = made()
    progress.searched(2.0, is_best=True)
    # 3 + 24 candidates of 2 s on two workers, then both finalists at once, each ten times the best candidate's images.
    assert progress.remaining_s(0, 3, 2, False) == 27 * 2.0 / 2 + 20.0
    assert progress.remaining_s(0, 3, 1, False) == 27 * 2.0 + 40.0


def test_after_the_search_only_finalists_are_left_timed_by_those_that_ended() -> None:
    progress = made()
    progress.searched(2.0, is_best=True)
    progress.finished_final(7.0)
    assert progress.remaining_s(3, 1, 2, True) == 7.0
    assert progress.n_expected(3, 1, True) == 1 + 2 + 1
