"""Which study of a comparison runs, by real locks."""

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from evoae_cli.app.baselined import baseline_lines
from evoae_cli.app.show import watch_comparison
from evoae_cli.baseline.begin import abandon, begin, new_plan
from evoae_cli.baseline.plan import check_search, read_plan, write_plan
from evoae_cli.baseline.running import named_running, newest_running, running_part
from evoae_cli.baseline.sitting import Sitting
from evoae_cli.baseline.summary import baseline_summary
from evoae_cli.errors import EvoaeError, StudyError, UsageError
from evoae_cli.page.results import random_lines
from evoae_cli.study.locate import find_study
from evoae_cli.study.lock import StudyLock
from evoae_cli.study.orders import Order, give
from evoae_cli.study.store import Store


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOAE_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as locks:
        yield locks


def comparison(name: str) -> Path:
    plan = new_plan("denoise", {}, against=None, n_samples=2, protocols=None, n_pairs=None)
    return begin(plan, name)


def study(folder: Path, at: float = 0.0) -> Path:
    """One that was started at this time."""
    folder.mkdir(parents=True)
    Store.create(folder).close()
    (folder / "study.toml").touch()
    os.utime(folder / "study.toml", (at, at))
    return folder


def test_a_part_runs_while_a_process_holds_its_lock(runs: Path) -> None:
    chance = comparison("chance")
    assert running_part(chance) is None
    with pytest.raises(StudyError, match=r"no process runs \S+/chance now; .*evoae resume"):
        named_running("chance")
    part = chance / "paper-0"
    part.mkdir()
    with StudyLock(part):
        assert running_part(chance) == named_running("chance") == named_running(str(chance)) == part
        assert baseline_summary(chance).state == "running"
    assert running_part(chance) is None
    assert baseline_summary(chance).state == "interrupted"


def test_between_two_studies_the_comparison_runs_itself(runs: Path) -> None:
    chance = comparison("chance")
    part = chance / "paper-0"
    part.mkdir()
    with Sitting(chance):
        assert named_running("chance") == newest_running() == chance
        assert baseline_summary(chance).state == "running"
        with StudyLock(part):
            assert named_running("chance") == newest_running() == part
        with pytest.raises(StudyError, match=rf"{chance} is in use by process {os.getpid()}"), Sitting(chance):
            pytest.fail("it has two holders")
    assert newest_running() is None


def test_whoever_sits_is_stopped_from_elsewhere_whatever_it_does(runs: Path) -> None:
    chance = comparison("chance")
    asked: list[str] = []
    with Sitting(chance) as sitting:
        with sitting.doing(lambda: asked.append("first"), lambda: asked.append("first, at once")):
            with pytest.raises(StudyError, match="is a comparison"):
                give(chance, Order(kind="add", n=1))
            assert not sitting.is_stopping
            give(chance, Order(kind="stop"))
            give(chance, Order(kind="kill"))
        assert sitting.is_stopping
        assert asked == ["first", "first, at once"]
        give(chance, Order(kind="kill"))
        # What was being loaded meanwhile ends before it begins.
        with sitting.doing(lambda: asked.append("second"), lambda: None):
            assert asked[2:] == ["second"]


def test_a_comparison_in_which_nothing_was_begun_vanishes_with_its_lock(runs: Path) -> None:
    chance = comparison("chance")
    with Sitting(chance):
        # Another process, which was refused, takes nothing away.
        abandon(chance)
    assert chance.exists()
    abandon(chance)
    assert not chance.exists()


def test_an_end_that_cannot_be_noted_is_one_line(runs: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    chance = comparison("chance")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Sitting(chance) as sitting:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            with pytest.raises(EvoaeError, match=r"^cannot write to \S+/chance: .*; make room, and go on with it: "):
                sitting.end()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert baseline_summary(chance).state == "interrupted"


def test_a_search_that_was_moved_is_told_instead_of_a_comparison_without_it(runs: Path, tmp_path: Path) -> None:
    chance = comparison("chance")
    plan = msgspec.structs.replace(read_plan(chance), against=str(study(runs / "mine")))
    write_plan(chance, plan)
    check_search(plan)
    (runs / "mine").rename(tmp_path / "moved")
    with pytest.raises(StudyError, match=r"/mine is not there any more; move it back") as caught:
        check_search(plan)
    found = baseline_summary(chance)
    assert found.trouble == str(caught.value)
    assert baseline_lines(found, chance, None)[-1] == found.trouble
    assert random_lines(found) == [found.trouble]


def test_without_a_name_the_newest_of_all_that_run_counts(runs: Path, held: ExitStack) -> None:
    part = study(comparison("chance") / "paper-0", at=2000)
    older, newer = study(runs / "older", at=1000), study(runs / "newer", at=3000)
    assert newest_running() is None
    held.enter_context(StudyLock(older))
    assert newest_running() == older
    held.enter_context(StudyLock(part))
    assert newest_running() == part
    held.enter_context(StudyLock(newer))
    assert newest_running() == newer
    # What is named is no comparison, so others say what it is.
    assert named_running("newer") is None


def test_a_comparison_that_cannot_be_read_hides_no_other(runs: Path, held: ExitStack) -> None:
    (comparison("broken") / "baseline.json").write_text("{")
    part = study(comparison("chance") / "paper-0")
    held.enter_context(StudyLock(part))
    assert newest_running() == part


def test_a_study_of_a_comparison_is_found_by_both_names(runs: Path) -> None:
    part = study(comparison("chance") / "paper-0")
    assert find_study("chance/paper-0")[0] == part


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_samples": "3"}, "--samples '3' is no whole number; use 2 to"),
        ({"n_samples": 2.5}, "--samples 2.5 is no whole number"),
        ({"n_pairs": True}, "--seeds True is no whole number"),
        ({"protocols": "paper"}, "--protocols 'paper' are no names; use some of paper, uniform"),
        ({"protocols": []}, "are no names"),
        ({"references": "unet"}, "--references 'unet' are no names; use some of dncnn, unet"),
    ],
)
def test_what_python_may_give_wrongly_is_refused_in_one_line(given: dict[str, object], words: str, runs: Path) -> None:
    asked = {"against": None, "n_samples": None, "protocols": None, "n_pairs": None, **given}
    with pytest.raises(UsageError, match=words):
        new_plan("denoise", {}, **asked)  # type: ignore[arg-type]


def test_watching_goes_on_past_what_an_earlier_sitting_has_left(runs: Path) -> None:
    """A resumed study has its lock before it renews its snapshot."""
    chance = comparison("chance")
    part = study(chance / "paper-0")
    shown: dict[str, object] = {"study": str(part), "state": "interrupted", "n_done": 4}
    shown |= {"objective": "denoise", "phase": "search", "seed": 0, "generation": 0, "n_generations": 1, "share": 0.5}
    shown |= {"n_expected": 7, "elapsed_s": 1.0, "remaining_s": None, "baseline": "noisy", "baseline_db": None}
    shown |= {"best_db": None, "references": {}, "workers": [], "best": [], "fitness_by_generation": [], "counts": {}}
    (part / "live.json").write_bytes(msgspec.json.encode(shown))
    console = Console(file=(text := StringIO()), width=80)
    states = iter(("running", "running", "done"))
    with ExitStack() as held:
        held.enter_context(StudyLock(part))

        def sleep(_: float) -> None:
            state = next(states, None)
            if state is None:
                held.close()
                return
            (part / "live.json").write_bytes(msgspec.json.encode(shown | {"state": state, "n_done": 5}))

        watch_comparison(chance, console, sleep)
    assert f"running study: {part}" in text.getvalue()
    assert "5 of 7" in text.getvalue()
