import contextlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evoae_cli import random_baseline, report, resume, search, train
from evoae_cli.baseline.begin import BASELINE_SETTINGS
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import EvoaeError, StudyError, UsageError
from evoae_cli.study.orders import Order, give
from evoae_cli.study.settings import SEARCH_SETTINGS
from evoae_cli.study.summary import history, summary
from evoae_cli.study.trainsettings import TRAIN_SETTINGS

CALL = f"""
from evoae_cli import load, search
print("once")
result = search("denoise", study=FOLDER, workers=1, **{SMALL!r})
network = load(result.folder)
print(result.state, type(network).__name__)
"""


OF_ENGINES = {"engine", "ray_address", "cpus_per_task", "gpus_per_task"}


def test_search_takes_every_setting_by_name() -> None:
    taken = set(inspect.signature(search).parameters)
    assert taken == {"objective", "study", "progress", "time_limit", "force", *OF_ENGINES} | set(SEARCH_SETTINGS)


def test_train_takes_every_setting_by_name_that_concerns_no_search() -> None:
    taken = set(inspect.signature(train).parameters)
    assert taken == {"objective", "genotype", "from_model", "study", "progress", "force", *TRAIN_SETTINGS}


def test_random_baseline_takes_every_setting_by_name_that_concerns_no_evolution() -> None:
    taken = set(inspect.signature(random_baseline).parameters)
    own = {"objective", "against", "samples", "protocols", "seeds", "references", "study", "progress"}
    assert taken == own | OF_ENGINES | set(BASELINE_SETTINGS)
    assert not {"generations", "population", "epochs"} & taken


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: search("denoise", time_limit=5, progress=False), "5 is no time; write it as 90s, 30m or 1.5h"),
        (lambda: report([]), "study [] names none; give a name, a folder, or a list of these"),
        (lambda: report(5), "study 5 names none"),
        (lambda: random_baseline("denoise", protocols=5, progress=False), "--protocols 5 are no names; use some of"),
        (lambda: random_baseline("denoise", references=5, progress=False), "--references 5 are no names; use some of"),
        (
            lambda: search("denoise", study="a\nb", progress=False),
            r"the study's name 'a\nb' holds what no line can show",
        ),
    ],
)
def test_values_of_another_type_are_one_line_and_leave_nothing(
    act: Callable[[], Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(said)):
        act()
    assert list(tmp_path.iterdir()) == []


def test_a_random_baseline_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(EvoaeError):
        random_baseline("denoise", data=str(tmp_path / "none"), study=tmp_path / "b", progress=False)
    assert not (tmp_path / "b").exists()


def test_a_random_baseline_of_which_a_study_is_stopped_goes_no_further_and_then_on_with_more_workers(
    finished_study: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "b"
    protocols = ["paper", "one-layer"]

    def stop() -> None:
        give_up_at = time.monotonic() + 60
        is_told = False
        while not is_told and time.monotonic() < give_up_at:
            with contextlib.suppress(StudyError):
                give(folder / "paper-0", Order(kind="stop"))
                is_told = True
            time.sleep(0.01)

    stopper = threading.Thread(target=stop)
    stopper.start()
    found = random_baseline(
        against=finished_study, protocols=protocols, samples=10, workers=1, study=folder, progress=False
    )
    stopper.join()
    assert found.state == "interrupted"
    assert [side.state for side in found.studies] == ["done", "interrupted"]
    assert not found.rivals
    with pytest.raises(UsageError, match="is a comparison with --samples 10, not 11; name another study"):
        random_baseline(study=folder, samples=11, progress=False)
    with pytest.raises(UsageError, match="--workers 0 must be at least 1"):
        random_baseline(study=folder, workers=0, progress=False)
    found = random_baseline(study=folder, workers=2, progress=False)
    assert found.state == "done"
    assert found.rivals
    for part in ("paper-0", "one-layer-0"):
        assert summary(folder / part)["settings"]["workers"] == 2


@pytest.mark.parametrize("run", [search, random_baseline])
def test_an_unknown_engine_is_refused_and_leaves_nothing(run: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--engine 'dask' is unknown; use local, ray"):
        run("denoise", study=tmp_path / "s", engine="dask", progress=False)
    with pytest.raises(UsageError, match=r"--cpus-per-task 2 is for a Ray cluster"):
        run("denoise", study=tmp_path / "s", cpus_per_task=2, progress=False)
    assert not (tmp_path / "s").exists()


ENGINES = """
from evoae_cli.engine.wishes import Choice
from evoae_cli.errors import UsageError

def make(terms):
    raise UsageError("no room for it; make some")

def choose(wishes):
    return Choice(make_engine=lambda terms: terms.no_such_term)

def choose_full(wishes):
    return Choice(make_engine=make)
"""


def test_an_engine_that_cannot_be_made_leaves_nothing_of_a_new_study_and_an_old_one_as_it_was(
    finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "engines_without_room.py").write_text(ENGINES)
    monkeypatch.syspath_prepend(tmp_path)
    new, old = tmp_path / "new", tmp_path / "old"
    with pytest.raises(UsageError, match=r"^--engine engines_without_room:choose fails: AttributeError: .*'no_such_te"):
        search("denoise", study=new, engine="engines_without_room:choose", progress=False, **SMALL)
    with pytest.raises(UsageError, match=r"^no room for it; make some$"):
        search("denoise", study=new, engine="engines_without_room:choose_full", progress=False, **SMALL)
    assert not new.exists()
    shutil.copytree(finished_study, old)
    with pytest.raises(UsageError, match=r"^no room for it; make some$"):
        resume(old, engine="engines_without_room:choose_full", progress=False)
    assert history(old) == history(finished_study)
    # The lock is free, also while the exception lives.
    assert resume(old, progress=False).state == "done"


def test_an_unknown_setting_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'generations'"):
        search("denoise", study=tmp_path / "s", generation=3)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("is_piped", [False, True])
def test_a_script_without_a_main_guard_runs_once_and_shows_tqdm(
    finished_study: Path, tmp_path: Path, is_piped: bool
) -> None:
    script = CALL.replace("FOLDER", repr(str(tmp_path / "s")))
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-" if is_piped else str(tmp_path / "script.py")],
        input=script if is_piped else None,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "once\ndone Autoencoder\n"
    assert "evaluation" in done.stderr
    assert "Traceback" not in done.stderr
    assert history(tmp_path / "s") == history(finished_study)


def test_the_bar_ends_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search("denoise", study=tmp_path / "s", **{**SMALL, "generations": 2, "workers": 1})
    last = capsys.readouterr().err.rstrip().rpartition("\r")[2]
    assert "100%" in last
