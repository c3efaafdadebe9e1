"""How a search scales: the arithmetic on made-up spans, and real searches whose evaluations wait."""

import statistics
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from requested import small_request

from evoae_cli.bench import scaled
from evoae_cli.bench.scale import Mode, Reading, measure, reading
from evoae_cli.bench.scaled import ORDERS, Orders, Span, kill_share, wait_s
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Evaluation, EvaluationRequest, ImagesRef
from evoae_cli.outcome import Outcome
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.resolve import resolve
from evoae_cli.worker.runner import Progress, Run

GENERATIONS = {"start": 0, "a": 1, "b": 1, "c": 1, "d": 2, "e": 2}


def refuse(text: str) -> None:
    raise AssertionError(f"no warning was expected: {text}")


def span(genotype: str, begun: float, ended: float, is_killed: bool = False) -> Span:
    return Span(genotype=genotype, begun=begun, ended=ended, is_killed=is_killed)


def test_rates_are_those_of_the_generations_after_the_first() -> None:
    """Generation 1: 3 candidates in 4 s; generation 2: 2 in 2 s."""
    first = [span("start", 0, 1), span("a", 1, 3), span("c", 3.5, 5), span("d", 5, 7)]
    second = [span("b", 1, 4), span("e", 5.5, 6)]
    found = reading("generational", 2, [first, second], GENERATIONS)
    assert [(stretch.n, stretch.took_s) for stretch in found.stretches] == [(3, 4.0), (2, 2.0)]
    assert found.rate == pytest.approx((0.75 * 1.0) ** 0.5)
    # 2 + 1.5 + 2 and 3 + 0.5 of 2 x 6 s.
    assert found.busy == pytest.approx(9 / 12)
    # From a to c alone: between generations no candidate was waiting.
    assert found.gap_median_s == pytest.approx(0.5)
    assert (found.n_killed, found.recovery_median_s) == (0, None)


def test_what_was_cut_short_counts_as_work_and_not_as_a_candidate() -> None:
    first = [span("start", 0, 1), span("a", 1, 2, is_killed=True)]
    second = [span("b", 1, 3)]
    third = [span("a", 2.25, 4), span("c", 4, 5), span("d", 5, 6), span("e", 6, 7)]
    found = reading("generational", 2, [first, second, third], GENERATIONS)
    assert [stretch.n for stretch in found.stretches] == [3, 2]
    assert found.n_killed == 1
    assert found.recovery_median_s == pytest.approx(0.25)
    assert found.busy == pytest.approx((1 + 2 + 1.75 + 1 + 1 + 1) / 12)


def test_an_asynchronous_search_is_read_until_its_last_candidate_is_begun() -> None:
    """From 1 to 5: three candidates have ended, and the first worker waited for 0.5 s."""
    first = [span("start", 0, 1), span("a", 1, 3), span("c", 3.5, 5), span("e", 5, 9)]
    second = [span("b", 1, 4), span("d", 4, 6)]
    found = reading("async", 2, [first, second], GENERATIONS)
    assert [(stretch.n, stretch.took_s) for stretch in found.stretches] == [(3, 4.0)]
    assert found.busy == pytest.approx(7.5 / 8)


def test_without_generations_the_rate_is_that_of_all_candidates_however_long_its_stretches() -> None:
    """From 1 to 6: four candidates, of which d alone makes an incomplete last stretch of 0.5 s."""
    first = [span("start", 0, 1), span("a", 1, 3), span("c", 3, 5.5), span("e", 6, 9)]
    second = [span("b", 1, 5), span("d", 5, 6)]
    found = reading("async", 2, [first, second], GENERATIONS)
    assert [(stretch.n, stretch.took_s) for stretch in found.stretches] == [(3, 4.5), (1, 0.5)]
    assert found.rate == pytest.approx(4 / 5)


@pytest.mark.parametrize("mode", get_args(Mode))
def test_a_worker_that_takes_over_a_killed_one_s_candidate_has_not_been_waiting_for_it(mode: Mode) -> None:
    """The first is idle from 2 on, and a is free only at 5; from c to d it pauses for 0.25 s."""
    generations = {"start": 0, "a": 1, "b": 1, "c": 2, "d": 2}
    first = [span("start", 0, 1), span("b", 1, 2), span("a", 5.5, 6), span("c", 6, 7), span("d", 7.25, 8)]
    found = reading(mode, 2, [first, [span("a", 1, 5, is_killed=True)]], generations)
    gaps = {"generational": [0.25], "async": [0.0, 0.0, 0.25]}[mode]
    assert found.gap_median_s == pytest.approx(statistics.median(gaps))
    assert found.gap_p95_s is not None
    assert found.gap_p95_s <= 0.25
    assert found.recovery_median_s == pytest.approx(0.5)


def test_finalists_are_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each search would end with one that is thrown away, as long as all its candidates together."""

    def start(device: str, threads: int) -> tuple[str, Run]:
        def run(payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
            trained.append(msgspec.msgpack.decode(payload, type=EvaluationRequest).stage)
            return Outcome.OK, b"", ""

        return device, run

    trained = list[str]()
    monkeypatch.setattr("evoae_cli.worker.evaluation.start", start)
    monkeypatch.setenv(ORDERS, msgspec.json.encode(Orders(folder=str(tmp_path))).decode())
    _, run = scaled.start("cpu", 1)
    images = ImagesRef(path="none", fingerprint="none", patch=16, n_val=1, n_test=1)
    for stage in ("search", "final"):
        outcome, found, _ = run(msgspec.msgpack.encode(small_request(images, stage=stage)), lambda done: None)
        assert outcome is Outcome.OK
    assert trained == ["search"]
    assert msgspec.msgpack.decode(found, type=Evaluation).stage == "final"


def test_a_single_generation_is_no_reading() -> None:
    with pytest.raises(EvoaeError, match="--generations"):
        reading("generational", 1, [[span("start", 0, 1)]], GENERATIONS)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0])
def test_times_to_wait_have_the_mean_and_the_variation_that_were_asked_for(cv: float) -> None:
    orders = Orders(folder="", wait_s=2.0, cv=cv)
    times = [wait_s(f"genotype {i}", orders) for i in range(4000)]
    assert statistics.fmean(times) == pytest.approx(2.0, rel=0.06)
    assert statistics.stdev(times) == pytest.approx(2.0 * cv, rel=0.15)
    assert statistics.median(times) == pytest.approx(2.0 / (1 + cv**2) ** 0.5, rel=0.06)


def test_the_time_to_wait_belongs_to_the_genotype_and_grows_with_the_mean() -> None:
    first, second = (Orders(folder="", wait_s=mean_s, cv=1.0) for mean_s in (0.5, 1.0))
    assert wait_s("genotype 7", first) == wait_s("genotype 7", first) != wait_s("genotype 8", first)
    assert wait_s("genotype 7", second) == pytest.approx(2 * wait_s("genotype 7", first))


def test_kills_are_as_frequent_as_asked_and_never_end_a_candidate() -> None:
    orders = Orders(folder="", wait_s=1.0, fail_rate=0.2)
    shares = [kill_share(f"genotype {i}", 0, orders) for i in range(4000)]
    killed = [share for share in shares if share is not None]
    assert len(killed) == pytest.approx(800, abs=80)
    assert 0 < min(killed) < 0.02
    assert 0.98 < max(killed) < 1
    always = Orders(folder="", wait_s=1.0, fail_rate=1.0)
    assert [kill_share("g", attempt, always) is None for attempt in range(4)] == [False, False, True, True]


def config(n_workers: int, **changes: Any) -> StudyConfig:
    space = {"filters": tuple(range(1, 20)), "kernels": (1, 3), "max_layers": 4}
    own = {"workers": n_workers, "device": "cpu", "population": 8, "generations": 2, "finalists": 1}
    return resolve("denoise", SMALL, space, own, changes)


def searched(tmp_path: Path, n_workers: int, **changes: Any) -> Reading:
    given = {name: changes.pop(name) for name in ("wait_s", "cv", "fail_rate") if name in changes}
    return measure(config(n_workers, **changes), lambda folder: Orders(folder=folder, **given), tmp_path, refuse)


def test_all_numbers_of_workers_do_the_same_work_and_more_do_it_faster(tmp_path: Path) -> None:
    one, four = (searched(tmp_path, n, wait_s=0.1, cv=0.5) for n in (1, 4))
    assert [stretch.n for stretch in one.stretches] == [stretch.n for stretch in four.stretches]
    assert len(one.stretches) == 2
    assert four.rate > 1.5 * one.rate
    assert 0.3 < one.busy <= 1
    assert one.gap_median_s is not None
    assert list(tmp_path.iterdir()) == []


def test_a_search_without_a_barrier_has_as_many_stretches(tmp_path: Path) -> None:
    found = searched(tmp_path, 3, wait_s=0.05, mode="async")
    assert (found.mode, found.workers, len(found.stretches)) == ("async", 3, 2)


def test_killed_workers_are_replaced_and_no_candidate_is_lost(tmp_path: Path) -> None:
    whole, cut = (searched(tmp_path, 2, wait_s=0.05, fail_rate=rate) for rate in (0.0, 0.4))
    assert [stretch.n for stretch in whole.stretches] == [stretch.n for stretch in cut.stretches]
    assert whole.n_killed == 0
    assert cut.n_killed > 3
    assert cut.recovery_median_s is not None
    assert cut.rate < whole.rate


def test_real_trainings_are_measured_and_killed_too(tmp_path: Path) -> None:
    found = searched(tmp_path, 2, population=4, generations=1, fail_rate=0.5)
    assert found.n_killed > 0
    assert len(found.stretches) == 1


def test_a_search_too_short_for_its_workers_says_so(tmp_path: Path) -> None:
    with pytest.raises(EvoaeError, match="ask for a larger --population"):
        searched(tmp_path, 30, wait_s=0.01, population=2, generations=1)
