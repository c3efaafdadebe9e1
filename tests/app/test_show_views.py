"""The closing screen and the tables of `show` and `list`, from hand-made summaries."""

import io
import re
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evoae_cli.app.beforehand import Workers
from evoae_cli.app.closing import against, closing, next_lines
from evoae_cli.app.opening import estimate_s, opening
from evoae_cli.app.tables import columns, history_lines, studies_lines, study_lines, workers_lines
from evoae_cli.engine.protocol import WorkerView
from evoae_cli.study.locate import new_study_folder
from evoae_cli.study.resolve import resolve

FOLDER = Path("runs/denoise-20260101-120000")
SETTINGS = {"preset": "quick", "pairs": None, "noise": None, "noisy_only": False}
SCORES = {"fitness": 64.2, "mse": 0.0156, "psnr_db": 25.06, "psnr_pooled_db": 24.5, "ssim": 0.712}


def make_summary(**changes: Any) -> dict[str, Any]:
    methods = {"non-local means": {"psnr_db": 25.61}, "wavelet": {"psnr_db": 23.9}}
    references = {"baseline_name": "noisy", "baseline": {"psnr_db": 12.3}, "methods": methods}
    counts = dict.fromkeys(
        ("proposed", "trained", "cache_hits", "in_flight_hits", "diverged", "oom", "timeout", "crashed"), 0
    ) | {"lost_leases": 0, "late_results": 0, "proposed": 40, "trained": 36, "cache_hits": 4}
    best = {"genotype": "3x3conv2d:16,3x3conv2d:8", **SCORES, "parameters": 6043, "code_values": 73728}
    finalist = {
        "genotype": best["genotype"],
        "seed_index": 0,
        "outcome": "ok",
        "reason": "",
        "parameters": 6043,
        **SCORES,
    }
    summary = {
        "objective": "denoise",
        "state": "done",
        "seed": 7,
        "settings": SETTINGS,
        "noise": "gaussian, standard deviation 73.6 on 0..255 (variance 0.333 on [-1, 1])",
        "active_s": 200.0,
        "best": {**best, "test": SCORES | {"psnr_db": 24.9}},
        "front": [],
        "counts": counts,
        "finalists": [finalist],
        "references": {"val": references, "test": references},
        "failures": [],
        "lost_workers": [],
    }
    return summary | changes


def closing_lines(summary: dict[str, Any], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(closing(summary, FOLDER, width), soft_wrap=True)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_closing_screen_tells_the_result_on_test_and_what_it_was_up_against() -> None:
    lines = closing_lines(make_summary(), 80)
    assert lines[0] == "denoise: 24.9 dB on test"
    assert lines[1] == "noisy 12.3, wavelet 23.9, non-local means 25.6"
    assert lines[2] == "noise: gaussian, standard deviation 73.6 on 0..255 (variance 0.333 on [-1, 1])"
    assert f"model: {FOLDER}/best" in lines


def test_a_model_for_a_range_of_noise_shows_its_psnr_at_each_strength_in_one_line() -> None:
    summary = make_summary()
    summary["best"]["test"]["psnr_by_strength"] = {"5": 34.07, "40": 26.14, "75": 23.2}
    line = "PSNR by strength of the noise: 5 34.1, 40 26.1, 75 23.2"
    assert closing_lines(summary, 80)[3] == line
    assert line in study_lines(summary, FOLDER)
    assert closing_lines(make_summary(state="time-up"), 80)[6] == closing_lines(summary | {"state": "time-up"}, 80)[7]


def test_one_strength_of_noise_has_no_line_of_its_own() -> None:
    summary = make_summary()
    summary["best"]["test"]["psnr_by_strength"] = {"25": 30.0}
    assert closing_lines(summary, 80) == closing_lines(make_summary(), 80)


def test_without_clean_images_fitness_is_shown_and_no_psnr() -> None:
    blind = {"fitness": 60.96, "mse": 1 / 60.96, "psnr_db": None, "psnr_pooled_db": None, "ssim": None}
    methods = {"non-local means": {**blind, "mse": 1 / 68.1}, "wavelet": {**blind, "mse": 1 / 66.7}}
    references = {"baseline_name": "local median", "baseline": {**blind, "mse": 1 / 41.0}, "methods": methods}
    summary = make_summary(noise="the images' own", references={"val": references, "test": references})
    summary["best"] |= {**blind, "test": blind}
    summary["finalists"][0] |= blind
    lines = closing_lines(summary, 80)
    assert lines[:3] == [
        "denoise: fitness 61.0 on test",
        "fitness of local median 41.0, wavelet 66.7, non-local means 68.1",
        "noise: the images' own",
    ]
    shown = [*lines, *study_lines(summary, FOLDER), *studies_lines([("photos", summary)])]
    assert not any("None" in line or " dB" in line for line in shown)


def test_lines_to_copy_are_whole_even_in_a_narrow_window() -> None:
    lines = closing_lines(make_summary(), 40)
    assert lines[-4:] == ["  " + line for line in next_lines("denoise", FOLDER)]
    assert all(len(line) <= 40 for line in lines[:5])


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "evoae search denoise --data FOLDER"),
        ({"noise": "poisson:30"}, "evoae search denoise --data FOLDER --noise poisson:30"),
        ({"noisy_only": True}, "evoae search denoise --data FOLDER --noisy-only"),
        ({"pairs": ("a", "b")}, "evoae search denoise --pairs NOISY_DIR CLEAN_DIR"),
    ],
)
def test_the_line_that_searches_on_takes_images_for_what_they_were(settings: dict[str, Any], line: str) -> None:
    """Noisy images that were taken for clean ones would teach the wrong thing."""
    assert closing_lines(make_summary(settings=SETTINGS | settings), 80)[-1] == f"  {line}"


def test_there_are_four_lines_to_copy_and_a_shell_reads_each_as_meant() -> None:
    odd = Path("runs/it's $HOME")
    for objective in ("denoise", "manifold"):
        lines = next_lines(objective, odd)
        assert len(lines) == 4
        assert [shlex.split(line)[0] for line in lines] == ["evoae", "evoae", "python", "evoae"]
        assert str(odd) in shlex.split(lines[0])
        assert "load(" in shlex.split(lines[2])[2]
        assert compile(shlex.split(lines[2])[2], "line", "exec")


@pytest.mark.parametrize("objective", ["denoise", "manifold"])
def test_lines_to_copy_fit_80_columns_for_a_study_of_the_default_name(
    objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVOAE_RUNS", raising=False)
    lines = next_lines(objective, new_study_folder(None, objective, datetime(2026, 11, 22, 10, 20, 30)))
    assert all(len(f"  {line}") <= 80 for line in lines)
    assert "load('" + objective in lines[2]


def test_in_a_narrow_terminal_genotypes_give_way_and_text_is_broken_between_words() -> None:
    long = make_summary(finalists=make_summary()["finalists"] * 2)
    rows = [[0, "3x3conv2d:8,5x5conv2d:16", "ok", 10.0]]
    for width in (40, 60, 80):
        lines = study_lines(long, FOLDER, width) + history_lines(rows, width)
        assert all(len(line) <= width or " " not in line.strip() for line in lines)
    whole = study_lines(long, FOLDER)
    assert " ".join(whole).split() == " ".join(study_lines(long, FOLDER, 79)).split()
    assert f"model: {FOLDER}/best" in whole


LONG = (
    "5x5conv2d:32,3x3dilated:16,5x5sepconv:32/reductions:4/repeats:3/skips:concat,none,add,concat/residual",
    "3x3conv2d:16/reductions:2/skips:concat,add/residual",
    ",".join(["3x3conv2d:16", "5x5conv2d:8"] * 5),
)


def of_long_genotypes() -> dict[str, Any]:
    """A summary with a long genotype wherever there is one."""
    summary = make_summary()
    finalists = [summary["finalists"][0] | {"genotype": text} for text in LONG]
    front = [
        {"genotype": text, "fitness": 50.0, "psnr_db": 23.6, "parameters": 57_395, "operations": 162_938_880}
        | {"code_values": 147_456}
        for text in LONG
    ]
    failures = [{"genotype": text, "outcome": "oom", "reason": "no memory", "log": ""} for text in LONG]
    return summary | {
        "best": summary["best"] | {"genotype": LONG[0]},
        "finalists": finalists,
        "front": front,
        "failures": failures,
    }


@pytest.mark.parametrize("width", [60, 70, 80, 120])
def test_show_breaks_long_genotypes_between_their_parts_and_loses_nothing(width: int) -> None:
    rows = [[0, text, "ok", 10.0] for text in LONG]
    lines = study_lines(of_long_genotypes(), FOLDER, width) + history_lines(rows, width)
    assert max(map(len, lines)) <= width
    # Once each in the tables of finalists, front and history and among the failures; the best once more.
    joined = "".join(line.strip() if line.startswith(" ") or line[:1].isdigit() else line for line in lines)
    for text in LONG:
        assert joined.count(text) == 4 + (text == LONG[0])
    parts = {part for text in LONG for part in re.split("[,/]", text)} | {"skips:concat", "add", "none", "concat"}
    shown = {part for line in lines for word in line.split() if "conv" in word for part in re.split("[,/:]+", word)}
    assert shown <= {piece for part in parts for piece in part.split(":")} | {""}


@pytest.mark.parametrize("width", [60, 80])
def test_show_keeps_the_figures_of_a_long_genotype_in_their_row(width: int) -> None:
    lines = study_lines(of_long_genotypes(), FOLDER, width)
    table = lines[lines.index("finalists, ranked on val") + 1 :]
    assert table[0].split() == ["fitness", "PSNR", "parameters", "genotype"]
    rows = [line.split() for line in table if line[:1].isdigit()][:3]
    assert [row[:5] for row in rows] == [[f"{n}", "64.20", "25.1", "dB", "6,043"] for n in (1, 2, 3)]
    assert [row[5].partition(",")[0].partition("/")[0] for row in rows] == [
        "5x5conv2d:32",
        "3x3conv2d:16",
        "3x3conv2d:16",
    ]


def test_where_the_figures_leave_no_room_genotypes_stand_below_them() -> None:
    lines = study_lines(of_long_genotypes(), FOLDER, 60)
    start = next(
        number for number, line in enumerate(lines) if line.startswith("fitness     PSNR  parameters   operations")
    )
    assert lines[start + 1] == "    genotype"
    assert lines[start + 2].split() == ["50.00", "23.6", "dB", "57,395", "162,938,880", "147,456"]
    assert lines[start + 3 : start + 6] == [
        "    5x5conv2d:32,3x3dilated:16,5x5sepconv:32/reductions:4/",
        "    repeats:3/skips:concat,none,add,concat/residual",
        lines[start + 2],
    ]


@pytest.mark.parametrize("width", [60, 80])
def test_the_closing_screen_has_the_whole_genotype(width: int) -> None:
    lines = closing_lines(of_long_genotypes(), width)
    number = next(number for number, line in enumerate(lines) if line.startswith("5x5conv2d:32"))
    assert LONG[0].startswith(lines[number] + lines[number + 1])
    assert all(len(line) <= width for line in lines[: number + 3])
    assert lines.index(f"model: {FOLDER}/best") > number


@pytest.mark.parametrize("width", [60, 80])
def test_in_a_narrow_terminal_the_closing_screen_breaks_between_words_and_leaves_nothing_out(width: int) -> None:
    summary = make_summary(state="time-up")
    lines = closing_lines(summary, width)
    assert " ".join(lines).split() == " ".join(closing_lines(summary, 1000)).split()
    assert all(len(line) <= width for line in lines[:-4])


@pytest.mark.parametrize("width", [60, 80])
def test_in_a_list_a_study_has_one_line_and_its_genotype_is_in_short(width: int) -> None:
    summary = make_summary()
    summary["best"]["genotype"] = LONG[1]
    lines = studies_lines([("runs/photos", summary)], width)
    assert len(lines) == 2
    assert all(len(line) <= width for line in lines)
    # As much as there is room for, part by part.
    assert lines[1].endswith({80: "  3x3conv2d:16/r2/skips:ca/res", 60: "  3x3conv2d…"}[width])
    assert studies_lines([("runs/photos", summary)])[1].endswith(f"  {LONG[1]}")


def test_the_front_of_several_objectives_is_a_table_and_a_line() -> None:
    rows = [
        {"genotype": f"3x3conv2d:{n}", "fitness": n / 2, "psnr_db": 10.0 + n, "parameters": 1000 * n}
        | {"operations": 10**6 * n, "code_values": 48}
        for n in (16, 8)
    ]
    several = make_summary(front=rows, settings=SETTINGS | {"objectives": ["fitness", "operations"]})
    line = "front: 2 from 8,000,000 operations/18.0 dB to 16,000,000/26.0 dB"
    assert line in closing_lines(several, 80)
    lines = study_lines(several, FOLDER)
    table = lines[lines.index(line) + 1 :][:3]
    assert [row.split() for row in table] == [
        ["fitness", "PSNR", "parameters", "operations", "code", "genotype"],
        ["8.00", "26.0", "dB", "16,000", "16,000,000", "48", "3x3conv2d:16"],
        ["4.00", "18.0", "dB", "8,000", "8,000,000", "48", "3x3conv2d:8"],
    ]
    assert not any(
        "front" in line for line in [*study_lines(make_summary(), FOLDER), *closing_lines(make_summary(), 80)]
    )


def test_a_search_that_ended_within_its_limits_does_not_claim_the_whole_space() -> None:
    limited = make_summary(state="exhausted", settings=SETTINGS | {"max_code": 100})
    assert "every architecture within the limits that came up was trained" in closing_lines(limited, 80)


def test_an_exhausted_search_space_is_said() -> None:
    assert "every architecture of the search space was trained" in closing_lines(make_summary(state="exhausted"), 80)


def test_a_search_whose_time_was_up_says_how_to_go_on() -> None:
    assert "its time was up; evoae resume goes on with the search" in closing_lines(make_summary(state="time-up"), 80)


def test_failed_evaluations_are_shown_with_their_reason_and_the_last_words_of_their_worker() -> None:
    failure = {"genotype": "3x3conv2d:8", "stage": "search", "outcome": "crashed", "attempt": 3}
    failures = [{**failure, "reason": "killed by SIGSEGV", "log": "one\ntwo"}, {**failure, "reason": "no", "log": ""}]
    lines = study_lines(make_summary(failures=failures), FOLDER)
    start = lines.index("failed evaluations")
    assert lines[start + 1 : start + 5] == [
        "  3x3conv2d:8: crashed (killed by SIGSEGV)",
        "    | one",
        "    | two",
        "  3x3conv2d:8: crashed (no)",
    ]
    many = study_lines(make_summary(failures=failures * 10), FOLDER)
    assert "the last 5 failed evaluations" in many
    assert sum("crashed (" in line for line in many) == 5


def test_lost_workers_are_counted_and_the_last_one_is_told() -> None:
    counts = make_summary()["counts"] | {"lost_leases": 2}
    lines = study_lines(
        make_summary(counts=counts, lost_workers=["worker-1 was lost", "worker-2 was lost\nOops"]), FOLDER
    )
    start = lines.index("2 workers lost in mid-task; the last one:")
    assert lines[start + 1 : start + 3] == ["  worker-2 was lost", "    | Oops"]


def test_workers_are_listed_with_what_they_do() -> None:
    busy = WorkerView(
        name="worker-1", device="cuda:0", pid=7, state="training", task="3x3conv2d:16", running_s=61, progress=0.5
    )
    idle = WorkerView(name="worker-2", device="cuda:1", pid=8, state="idle")
    [head, first, second] = workers_lines([busy, idle])
    assert head.split() == ["worker", "device", "process", "state", "done", "time", "task"]
    assert first.split() == ["worker-1", "cuda:0", "7", "training", "50", "%", "1:01", "3x3conv2d:16"]
    assert second.split() == ["worker-2", "cuda:1", "8", "idle"]


def test_without_measured_references_none_are_invented() -> None:
    assert against(make_summary(references={"val": None, "test": None}), "test") == "no references measured"


def test_a_study_is_shown_with_scores_on_val_and_test_references_finalists_and_counts() -> None:
    text = "\n".join(study_lines(make_summary(), FOLDER))
    assert f"{FOLDER}: denoise, done, seed 7, preset quick" in text
    for part in (
        "val     64.20  25.1 dB",
        "test    64.20  24.9 dB",
        "references on val",
        "finalists",
        "40 proposed, 36 trained",
    ):
        assert part in text


def test_a_study_without_results_can_be_shown_and_listed() -> None:
    empty = make_summary(best=None, finalists=[], references={"val": None, "test": None})
    assert "no candidate has been evaluated yet" in study_lines(empty, FOLDER)
    assert len(studies_lines([("runs/x", empty)])) == 2


def test_a_best_candidate_before_the_finals_has_no_test_row() -> None:
    best = make_summary()["best"] | {"test": None}
    assert not any(line.startswith("test") for line in study_lines(make_summary(best=best), FOLDER))


def test_a_finalist_that_failed_is_shown_with_its_reason() -> None:
    failed = {"genotype": "3x3conv2d:8", "seed_index": 0, "outcome": "oom", "reason": "out of memory", "parameters": 5}
    text = "\n".join(study_lines(make_summary(finalists=[failed]), FOLDER))
    assert "oom" in text
    assert "out of memory" in text


def test_the_list_shows_the_score_on_test_where_there_is_one() -> None:
    [_, line] = studies_lines([("runs/x", make_summary())])
    assert line.split()[:6] == ["runs/x", "denoise", "done", "36", "24.9", "dB"]


def test_the_history_keeps_its_order() -> None:
    lines = history_lines(
        [[0, "3x3conv2d:8", "ok", 10.0], [0, "dropout2d", "diverged", 0.0], [1, "1x1conv2d:8", "ok", 12.5]]
    )
    assert [line.split()[-1] for line in lines] == ["genotype", "3x3conv2d:8", "dropout2d", "1x1conv2d:8"]


def test_columns_are_aligned() -> None:
    assert columns([["a", "10", "x"], ["bcd", "5", "yy"]], right=(1,)) == ["a    10  x", "bcd   5  yy"]


def test_the_opening_says_workers_images_and_time() -> None:
    config = resolve("denoise")
    line = opening(config, FOLDER, Workers(2, is_on_gpu=False))
    assert line.startswith(f"denoise in {FOLDER}: 2 workers, 13 photographs, about ")
    assert line.endswith(" min")


def test_on_gpus_and_other_images_the_opening_promises_no_time() -> None:
    config = resolve("manifold", {"data": "photos"})
    line = opening(config, FOLDER, Workers(1, is_on_gpu=True))
    assert line == f"manifold in {FOLDER}: 1 worker on GPU, images from photos"
    assert opening(config, FOLDER, None) == f"manifold in {FOLDER}: images from photos"


def test_the_opening_counts_pairs(tmp_path: Path) -> None:
    for folder in ("noisy", "clean"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            (tmp_path / folder / f"{number}.png").touch()
    config = resolve("denoise", {"pairs": (str(tmp_path / "noisy"), str(tmp_path / "clean"))})
    assert opening(config, FOLDER, None) == f"denoise in {FOLDER}: 3 pairs"


def test_a_time_limit_is_told_where_it_is_shorter_than_the_search() -> None:
    config, workers = resolve("denoise"), Workers(2, is_on_gpu=False)
    assert opening(config, FOLDER, workers, 60.0).endswith(", at most 1:00")
    assert opening(config, FOLDER, workers, 86_400.0) == opening(config, FOLDER, workers)
    assert opening(config, FOLDER, None, 86_400.0).endswith(", at most 24:00:00")


def test_more_workers_and_fewer_generations_take_less_time() -> None:
    config = resolve("denoise")
    assert estimate_s(config, 2) < estimate_s(config, 1)
    assert estimate_s(resolve("denoise", {"generations": 1}), 2) < estimate_s(config, 2)
