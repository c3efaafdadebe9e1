"""The paper's experiments, with less of everything."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from evoae_cli.bench.reproduction import repeat
from evoae_cli.bench.reproduction_figures import write_figures
from evoae_cli.bench.reproduction_plan import SEARCHES, Plan, Search
from evoae_cli.bench.reproduction_tables import tables
from evoae_cli.bench.results import Row
from evoae_cli.errors import UsageError


def test_the_experiments_run_are_kept_and_are_told(
    photographs: Path, tiny: tuple[tuple[str, Any], ...], tmp_path: Path
) -> None:
    of_test = {"kernels": (1, 3), "filters": (4,), "start_from": ("dropout2d",)}
    without = {name: value for name, value in tiny if name not in ("epochs", "final_epochs")}
    searches = (
        Search("denoise, 2 epochs", "denoise", {"epochs": 1, "final_epochs": 2}, ("one-layer",), is_as_paper=True),
        Search(
            "manifold, 3 reductions",
            "manifold",
            {"reductions": 3, "code_ratio": "1/8", "epochs": 1, "final_epochs": 2},
            ratios=("1/16", "1/32"),
        ),
    )
    plan = Plan(
        data=str(photographs / "train"),
        studies=tmp_path / "studies",
        searches=searches,
        seeds=(0,),
        n_samples=2,
        settings=tuple((without | of_test | {"generations": 0, "finalists": 1}).items()),
    )
    out = tmp_path / "rows.json"
    rows = repeat(plan, out).rows
    kinds = [(row.more["kind"], row.case, row.name) for row in rows]
    classical = ["wavelet", "total variation", "non-local means", *(["BM3D"] if find_spec("bm3d") else [])]
    codes = [("code", f"manifold, 3 reductions, {ratio}", "code") for ratio in ("1/16", "1/32")]
    dropouts = [
        ("dropout", "denoise, 2 epochs", f"dropout {number}") for number in range(1, len(kinds) - 5 - len(classical))
    ]
    assert dropouts
    assert kinds == [
        ("search", "denoise, 2 epochs", "evolution"),
        ("search", "manifold, 3 reductions", "evolution"),
        *(("untrained", "denoise, 2 epochs", name) for name in classical),
        ("chance", "denoise, 2 epochs", "one-layer"),
        *dropouts,
        *codes,
        ("paper", "denoise, 2 epochs", "paper"),
    ]
    evolved, coder, wavelet, *_, code, smaller, papers = rows
    (chance,) = (row for row in rows if row.more["kind"] == "chance")
    assert len(evolved.more["best"]) == len(evolved.more["mean"]) == 1
    assert papers.more["spread"]["n"] == 2
    assert code.genotype == smaller.genotype == coder.genotype
    assert code.n_values == 32 * 32 * 3 // 16
    assert all("dropout2d" in row.genotype for row in rows if row.more["kind"] == "dropout")

    # With the rows there, and no studies, nothing is trained again.
    before = out.read_bytes()
    elsewhere = Plan(**vars(plan) | {"studies": tmp_path / "none"})
    assert len(repeat(elsewhere, out).rows) == len(rows)
    assert out.read_bytes() == before
    assert not (tmp_path / "none").exists()

    told = tables(rows, acceptable_db=0.0)
    assert f"| denoise, 2 epochs | evolution, seed 0 | {evolved.more['val']['fitness'] / 16:.2f} |" in told
    assert f"| denoise, 2 epochs | modules of one layer | {evolved.psnr_db - chance.psnr_db:+.2f} | - | no |" in told
    assert f"| denoise, 2 epochs | random, as the paper | {evolved.psnr_db - papers.psnr_db:+.2f} | - | no |" in told
    assert "| denoise | best of a search with 2 epochs each | 6.1 | 25.9 |" in told
    assert f"| denoise, 2 epochs | wavelet | {wavelet.more['test']['psnr_pooled_db']:.2f} |" in told
    assert f"| {code.psnr_db:.2f} | {code.ssim:.3f} | 1 |  |" in told
    assert f"| {smaller.psnr_db:.2f} | {smaller.ssim:.3f} | 1 | the smallest |" in told

    figures = tmp_path / "figures"
    write_figures(plan, rows, figures)
    assert sorted(path.name for path in figures.iterdir()) == ["denoised.jpg", "fitness.png", "reconstructed.jpg"]
    with Image.open(figures / "denoised.jpg") as picture:
        assert picture.size == (3 * 198 + 6, 2 * 198 + 28)


def row(kind: str, name: str, seed: int, psnr_db: float, **more: Any) -> Row:
    scores = {"fitness": 32.0, "psnr_pooled_db": psnr_db - 1}
    return Row(
        name=name,
        case=SEARCHES[0].name,
        seed=seed,
        psnr_db=psnr_db,
        ssim=0.5,
        parameters=1000,
        genotype="3x3conv2d:4",
        n_values=100,
        more={"kind": kind, "val": scores, "test": scores, **more},
    )


def test_a_difference_over_seeds_has_its_interval_and_is_sure_where_that_leaves_out_0() -> None:
    rows = [row("search", "evolution", seed, 25.0 + seed, trained_epochs=18) for seed in range(3)]
    rows += [row("chance", "lengths", seed, 24.0 + seed + 0.1 * seed, trained_epochs=20) for seed in range(3)]
    rows += [row("chance", "one-layer", n, 25.0 + n + (n - 1) / 2, trained_epochs=17 + n) for n in range(3)]
    told = tables(rows, 25.0)
    assert (
        "| denoise, 2 epochs | random, same lengths | +0.90 | +0.65 to +1.15 | yes | +1.00, +0.90, +0.80 | 18 | 20 |"
        in told
    )
    assert "| modules of one layer | +0.00 | -1.24 to +1.24 | no | +0.50, +0.00, -0.50 | 18 | 18 |" in told


def test_what_5_epochs_bring_is_told_for_each_seed_beside_that_of_2() -> None:
    rows = [row("search", "evolution", seed, 25.0 + 3 * seed) for seed in range(3)]
    rows += [
        msgspec.structs.replace(row("search", "evolution", seed, 25.2 + 3 * seed), case=SEARCHES[1].name)
        for seed in (2, 1)
    ]
    assert "| PSNR on test, dB | +0.20 | +0.20 to +0.20 | yes | +0.20, +0.20 |" in tables(rows, 25.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seeds": (0, -1)}, "-1"),
        ({"n_samples": 1}, "--samples 1 is out of range"),
        ({"settings": (("epochs", 4),)}, "--config epochs"),
        ({"settings": (("population", 0),)}, "population"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    given: dict[str, Any], words: str, photographs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        Plan(data=str(photographs / "train"), studies=tmp_path, **given)


def test_studies_and_rows_of_other_settings_are_not_taken_for_these(
    photographs: Path, tiny: tuple[tuple[str, Any], ...], tmp_path: Path
) -> None:
    small = tuple((dict(tiny) | {"generations": 0, "finalists": 1}).items())
    search = Search("denoise, 2 epochs", "denoise", {})
    plan = Plan(data=str(photographs / "train"), studies=tmp_path, searches=(search,), seeds=(0,), settings=small)
    out = tmp_path / "rows.json"
    repeat(plan, out)
    other = Plan(**vars(plan) | {"settings": (*small, ("lr", 0.5))})
    with pytest.raises(UsageError, match=r"--out .* has evolution with .*; name another file"):
        repeat(other, out)
    with pytest.raises(UsageError, match=r"holds a study with lr 0.001, not 0.5; delete it, or give other --studies"):
        repeat(other, None)
    moved = Plan(**vars(plan) | {"data": str(photographs / "val")})
    with pytest.raises(UsageError, match=r"holds a study with data .*train, not .*val"):
        repeat(moved, None)
