from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evoae_cli.bench.codes import Plan, main, measure

Refusal = Callable[..., str]
Settings = tuple[tuple[str, Any], ...]


def test_codes_of_one_size_are_compared_and_the_margin_is_stated(
    photographs: Path, tmp_path: Path, tiny: Settings
) -> None:
    plan = Plan(
        data=str(photographs / "train"),
        test=photographs / "val",
        studies=tmp_path / "studies",
        seeds=(0,),
        budget_s=60.0,
        patch=32,
        settings=tiny,
        ratios=("1/4",),
    )
    out = tmp_path / "rows.json"
    report = measure(plan, out)
    rows = {row.name: row for row in report.figures["rows"]}
    assert list(rows) == ["block PCA", "block PCA, 8 bits", "evolved", "evolved, 8 bits", "JPEG"]
    values = {row.n_values for name, row in rows.items() if name != "JPEG"}
    assert values == {32 * 32 * 3 // 4}
    # JPEG may have what the evolved model's codes take in a file, and no more.
    assert rows["JPEG"].n_bytes <= rows["evolved, 8 bits"].n_bytes < rows["evolved"].n_bytes
    assert rows["block PCA"].psnr_db > 25
    assert rows["block PCA, 8 bits"].psnr_db == pytest.approx(rows["block PCA"].psnr_db, abs=1)
    [margin] = [row[report.columns.index("over block PCA, dB")] for row in report.rows if row[1] == "evolved"]
    assert float(margin) == pytest.approx(rows["evolved"].psnr_db - rows["block PCA"].psnr_db, abs=0.006)

    # Made again from the file alone.
    again = measure(replace(plan, studies=tmp_path / "elsewhere"), out)
    assert again.rows == report.rows
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ratios", "paper"], "--ratios paper"),
        (["--ratios", "1/5"], "1/5"),
        (["--ratios", "x"], "x"),
        (["--patch", "20"], "--patch 20"),
        (["--config", "code_ratio=1/2"], "code_ratio is the benchmark's own"),
        (["--data", "no-such-folder"], "no-such-folder"),
    ],
)
def test_wrong_use_is_one_line_that_names_the_value_and_nothing_is_written(
    refusal: Refusal, options: list[str], words: str
) -> None:
    assert words in refusal(main, options)
