from pathlib import Path

import msgspec
import pytest

from evoae_cli.bench.report import Machine
from evoae_cli.bench.results import Results, Row, Setup, case_text, grouped, mean_text, times_of
from evoae_cli.errors import UsageError

MACHINE = Machine(cpu="Some CPU", cores=2, system="Linux x86_64", python="3.12.1", torch="2.8.0", load=0.25)
SETUP = Setup(benchmark="denoisers", data="/photos", test="abc", machine=MACHINE)
SEARCHED = Row(name="evolved", case="1/3", seed=0, budget_s=60.0, psnr_db=24.0, ssim=0.6, train_s=30.0, search_s=30.0)
CLASSICAL = Row(name="wavelet", case="1/3", psnr_db=21.0, ssim=0.5, ms=4.0)


def of_seed(seed: int, psnr_db: float, budget_s: float = 60.0) -> Row:
    return msgspec.structs.replace(SEARCHED, seed=seed, psnr_db=psnr_db, budget_s=budget_s)


def test_a_later_run_finds_the_rows_of_an_earlier_one(tmp_path: Path) -> None:
    out = tmp_path / "new" / "rows.json"
    Results(out, SETUP).add(SEARCHED)
    later = Results(out, SETUP)
    assert later.find("evolved", "1/3", 0, 60.0, {}) == SEARCHED
    assert later.find("evolved", "1/3", 1, 60.0, {}) is None
    assert later.find("evolved", "1/3", 0, 600.0, {}) is None
    later.add(CLASSICAL)
    assert Results(out, SETUP).rows == [SEARCHED, CLASSICAL]
    assert [path.name for path in out.parent.iterdir()] == ["rows.json"]


def test_the_load_of_a_machine_may_change_between_runs_and_the_first_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    Results(out, SETUP).add(SEARCHED)
    busy = msgspec.structs.replace(SETUP, machine=msgspec.structs.replace(MACHINE, load=7.0))
    assert Results(out, busy).setup == SETUP


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"benchmark": "codes"}, "another benchmark (denoisers, not codes)"),
        ({"data": "/others"}, "another --data (/photos, not /others)"),
        ({"test": "def"}, "another set of images (abc, not def)"),
        ({"machine": msgspec.structs.replace(MACHINE, cores=8)}, "another machine (Some CPU, 2 cores"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(tmp_path: Path, changed: dict[str, object], words: str) -> None:
    out = tmp_path / "rows.json"
    Results(out, SETUP).add(SEARCHED)
    with pytest.raises(UsageError) as refused:
        Results(out, msgspec.structs.replace(SETUP, **changed))
    assert words in str(refused.value)
    assert "name another file" in str(refused.value)


@pytest.mark.parametrize("content", ["", "[]", '{"setup": 1, "rows": []}', "\xff"])
def test_a_file_of_anything_else_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    out = tmp_path / "rows.json"
    out.write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match="holds no results"):
        Results(out, SETUP)
    assert out.read_text(encoding="latin-1") == content


def test_a_file_that_cannot_be_read_or_written_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Results(tmp_path, SETUP)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        Results(tmp_path / "file" / "rows.json", SETUP).add(SEARCHED)


def test_a_row_of_other_settings_is_not_taken_for_the_one_that_is_wanted() -> None:
    results = Results(None, SETUP)
    results.add(SEARCHED)
    with pytest.raises(UsageError, match="has evolved with no settings of its own, not epochs=4"):
        results.find("evolved", "1/3", 0, 60.0, {"epochs": 4})


def test_seeds_come_together_and_longer_searches_below_shorter_ones() -> None:
    rows = [of_seed(0, 24.0, 600.0), of_seed(0, 23.0), CLASSICAL, of_seed(1, 23.5)]
    groups = grouped(rows, ("wavelet", "evolved"))
    assert [[row.psnr_db for row in group] for group in groups] == [[21.0], [23.0, 23.5], [24.0]]
    assert [case_text(group[0]) for group in groups] == ["1/3", "1/3, 1 min", "1/3, 10 min"]
    assert case_text(of_seed(0, 23.0, 90.0)) == "1/3, 90 s"
    assert [times_of(group) for group in groups] == [("-", "-", "-"), ("30", "30", "2"), ("30", "30", "1")]


def test_a_spread_is_given_where_there_is_one() -> None:
    assert mean_text([27.0, 27.5, 27.4], 2) == "27.30 (27.00 to 27.50)"
    assert mean_text([1234.0, 1234.0], 0) == "1,234"
    assert mean_text([None, None], 1) == "-"
