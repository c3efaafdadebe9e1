from evoae_cli.study.progress import Progress, Running


def made() -> Progress:
    return Progress(population=4, n_generations=3, n_finals=2, final_factor=10.0)


def test_nothing_is_foretold_before_something_was_timed() -> None:
    assert made().remaining_s(0, 4, 2, False, []) is None
    stored = made()
    stored.searched(None, is_best=True)
    assert stored.remaining_s(0, 3, 2, False, [Running(0.5, 0.0)]) is None


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
    assert progress.remaining_s(0, 3, 2, False, []) == 27 * 2.0 / 2 + 20.0
    assert progress.remaining_s(0, 3, 1, False, []) == 27 * 2.0 + 40.0


def test_a_running_finalist_tells_by_its_own_pace_how_long_it_takes() -> None:
    progress = made()
    progress.searched(2.0, is_best=True)
    assert progress.remaining_s(3, 2, 2, True, [Running(30.0, 0.5), Running(30.0, 0.75)]) == 30.0
    assert progress.remaining_s(3, 2, 1, True, [Running(30.0, 0.5)]) == 30.0 + 20.0


def test_the_share_grows_while_a_finalist_trains_and_weighs_it_by_its_images() -> None:
    progress = made()
    for _ in range(20):
        progress.searched(1.0, is_best=False)
    assert progress.share(3, 2, True, []) == 20 / 40
    assert progress.share(3, 2, True, [Running(1.0, 0.5)]) == 25 / 40
    progress.n_final = 2
    assert progress.share(3, 0, True, []) == 1.0
    assert progress.n_expected(3, 1, True) == 20 + 2 + 1


def test_an_asynchronous_search_has_as_many_proposals_left_as_its_budget_says() -> None:
    progress = Progress(population=4, n_generations=3, n_finals=2, final_factor=10.0, is_steady=True)
    # Two of the start are drawn, and out: half a generation's fourth before the start is whole.
    assert progress.n_expected(-0.25, 2, False) == 4 + 3 * 8 + 2 + 1
    for _ in range(4 + 6 - 2):
        progress.searched(1.0, is_best=False)
    # Of the eight proposals of one generation two were hits; of the sixteen that are left a quarter will be.
    assert progress.n_expected(1.0, 2, False) == 4 + 6 + 12 + 2 + 1
    assert progress.n_expected(3.0, 2, False) == 4 + 6 + 2 + 1
