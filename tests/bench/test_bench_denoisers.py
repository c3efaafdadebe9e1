import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evoae_cli.bench.denoisers import main, measure
from evoae_cli.bench.denoisers_plan import NAMES, Plan, tasks_of
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.classical import bm3d
from evoae_cli.evaluation.metrics import psnr_by_image

Refusal = Callable[..., str]
Settings = tuple[tuple[str, Any], ...]
RIVALS = ("paper's form", "DnCNN", "U-Net")


def plan_for(photographs: Path, tmp_path: Path, tiny: Settings, **changes: Any) -> Plan:
    plan = Plan(
        data=str(photographs / "train"),
        test=photographs / "val",
        studies=tmp_path / "studies",
        seeds=(0,),
        budget_s=60.0,
        patch=32,
        settings=tiny,
        noises=("gaussian:25",),
        architecture="3x3conv2d:8",
    )
    return replace(plan, **changes)


def test_all_rows_come_into_one_table_and_stay_when_the_run_is_repeated(
    photographs: Path, tmp_path: Path, tiny: Settings
) -> None:
    only = tuple(name for name in NAMES if name not in ("BM3D", "evolved paper"))
    plan, out = plan_for(photographs, tmp_path, tiny, only=only), tmp_path / "rows.json"
    report = measure(plan, out)
    assert [row[0] for row in report.rows] == ["gaussian:25"] * 4 + ["gaussian:25, 1 min"] * 6
    by_name = {row.name: row for row in report.figures["rows"]}
    assert set(by_name) == set(only)
    # Noise of 25 has 20.2 dB, and what it drives out of the scale is clipped for the score; methods take some away.
    assert by_name["noisy"].psnr_db == pytest.approx(20.4, abs=0.3)
    assert all(by_name[name].psnr_db > by_name["noisy"].psnr_db for name in ("wavelet", "non-local means"))
    found = by_name["evolved skip"]
    assert found.genotype
    assert found.search_s > 0
    # The same network, of the same search.
    twice = by_name["evolved skip, 2 views"]
    assert (twice.genotype, twice.train_s) == (found.genotype, found.train_s)
    assert twice.psnr_db != found.psnr_db
    # Another search, of images that lie there with their noise on them, on the scale of the clean ones.
    blind = by_name["evolved skip, noisy only"]
    assert blind.psnr_db > by_name["noisy"].psnr_db
    [folder] = (tmp_path / "studies").glob("noisy-gaussian-25-*")
    written = sorted(folder.iterdir())
    assert [path.stem for path in written] == [path.stem for path in sorted((photographs / "train").iterdir())]
    with Image.open(photographs / "train" / f"{written[0].stem}.png") as picture:
        clean = np.asarray(picture, dtype=np.float32) / 127.5 - 1
    assert (np.load(written[0]) - clean).std() * 127.5 == pytest.approx(25, rel=0.05)
    assert all(by_name[name].train_s > 0 and by_name[name].search_s is None for name in RIVALS)
    assert by_name["paper's form"].genotype == "3x3conv2d:8"

    # Made again from the file alone: no study is looked at, and nothing is timed anew.
    again = measure(replace(plan, studies=tmp_path / "elsewhere"), out)
    assert again.rows == report.rows
    assert not (tmp_path / "elsewhere").exists()

    # A rival finds the finalist's time in the file, and another noise joins the table.
    one_more = measure(replace(plan, noises=("1/3",), only=("noisy",)), out)
    assert len(one_more.rows) == len(report.rows) + 1
    with pytest.raises(UsageError, match="which --out has not for 1/3, seed 0"):
        measure(replace(plan, noises=("1/3",), only=("DnCNN",)), out)


def test_rivals_can_be_trained_for_a_time_of_their_own(photographs: Path, tmp_path: Path, tiny: Settings) -> None:
    report = measure(plan_for(photographs, tmp_path, tiny, only=("U-Net",), train_for_s=0.1))
    [row] = report.figures["rows"]
    assert row.settings["train_for"] == 0.1
    assert row.train_s > 0


def test_searches_come_before_the_rivals_that_have_their_time(
    photographs: Path, tmp_path: Path, tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evoae_cli.bench.denoisers_plan.find_spec", lambda name: None)
    plan, told = plan_for(photographs, tmp_path, tiny, seeds=(0, 1)), []
    tasks = tasks_of(plan, told.append)
    evolved = ["evolved skip", "evolved skip, 2 views", "evolved skip, noisy only", "evolved paper"]
    assert [task.name for task in tasks if task.seed == 1] == [*evolved, *RIVALS]
    assert "BM3D" not in [task.name for task in tasks]
    assert told == ["BM3D is left out; for it: pip install bm3d"]
    with pytest.raises(UsageError, match="pip install bm3d"):
        tasks_of(replace(plan, only=("BM3D",)), told.append)


@pytest.mark.parametrize("channels", [1, 3])
def test_bm3d_takes_noise_away_from_grey_and_colour(channels: int) -> None:
    pytest.importorskip("bm3d")
    rng = np.random.default_rng(0)
    clean = np.repeat(np.linspace(0.2, 0.8, 32, dtype=np.float32)[None, :, None], 32, axis=0).repeat(channels, axis=2)
    noisy = clean + rng.normal(0, 0.1, clean.shape).astype(np.float32)

    def psnr(image: Any) -> float:
        signals = (torch.from_numpy(2 * np.float32(x).reshape(clean.shape) - 1)[None] for x in (image, clean))
        return float(psnr_by_image(*signals)[0])

    assert psnr(bm3d(noisy, 0.1, 1.0)) > psnr(noisy) + 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--noise", "poisson:30"], "--noise poisson:30 has no one standard deviation"),
        (["--noise", "gaussian:5-75"], "has no one standard deviation"),
        (["--noise", "gausian:25"], "gausian"),
        (["--noise", "x"], "'x' is no number"),
        (["--patch", "36"], "--patch 36 cannot be halved"),
        (["--patch", "0"], "0"),
        (["--budget", "0"], "--budget 0 is no time"),
        (["--train-for", "-1"], "--train-for -1 is no time"),
        (["--architecture", "5x4conv2d:16"], "5x4conv2d:16"),
        (["--config", "epoch=4"], "did you mean 'epochs'?"),
        (["--config", "patch=32"], "patch is the benchmark's own"),
        (["--seed", "-1"], "-1"),
        (["--data", "no-such-folder"], "no-such-folder"),
        (["--test", "no-such-folder"], "no-such-folder"),
        (["--only", "unet"], "give --train-for SECONDS"),
    ],
)
def test_wrong_use_is_one_line_that_names_the_value_and_nothing_is_written(
    refusal: Refusal, options: list[str], words: str
) -> None:
    assert words in refusal(main, ["--only", "noisy", *options])


def test_the_command_prints_json_of_all_rows(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ["--data", str(photographs / "train"), "--test", str(photographs / "val")]
    main([*where, "--patch", "32", "--noise", "1/3", "--only", "noisy", "WAVELET", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["benchmark"] == "denoisers"
    assert [row["name"] for row in found["figures"]["rows"]] == ["noisy", "wavelet"]
    assert found["machine"]["python"] == sys.version.split()[0]
