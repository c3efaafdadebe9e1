"""`evoae denoise` as people run it: what it prints, where it writes, and how it ends."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evoae_cli.app import denoise
from evoae_cli.app.main import run
from evoae_cli.applying.apply import TILE, denoise_array
from evoae_cli.evaluation.readers import read_image
from evoae_cli.study.model import load_model


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("in/a.png", "in/deep/b.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 36, 3), dtype=np.uint8)).save(name)
    return tmp_path


def evoae(capfd: pytest.CaptureFixture[str], *words: Any) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stop:
        run(["denoise", *map(str, words)])
    said = capfd.readouterr()
    return stop.value.code, said.out, said.err


def test_one_file_becomes_one_file_whose_name_is_the_result(
    here: Path, finished_study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = evoae(capfd, finished_study, "in/a.png", "-o", "out.png")
    assert (code, out) == (0, "out.png\n")
    expected = denoise_array(load_model(finished_study), read_image(Path("in/a.png")))
    assert np.array_equal(read_image(Path("out.png")), expected)


def test_a_path_that_ends_in_a_slash_is_a_folder(
    here: Path, finished_study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = evoae(capfd, finished_study, "in/a.png", "-o", "new/", "-q")
    assert (code, out) == (0, "new/a.png\n")
    assert os.listdir("new") == ["a.png"]


def test_a_folder_with_one_bad_file_is_done_but_for_that_and_ends_with_1(
    here: Path, finished_study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("in/bad.png").write_text("no image")
    code, out, err = evoae(capfd, finished_study, "in", "-o", "out")
    assert (code, out) == (1, "out\n")
    assert [line for line in err.splitlines() if line.startswith("evoae: ")] == [
        "evoae: in/bad.png cannot be read: not an image of the kind its name says, or damaged"
    ]
    assert "3/3 deep/b.png" in err
    assert sorted(path.name for path in Path("out").rglob("*.*")) == ["a.png", "b.png"]


def test_quiet_leaves_only_warnings_and_errors(
    here: Path, finished_study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = evoae(capfd, finished_study, "in", "-o", "out", "--quiet")
    assert (code, out) == (0, "out\n")
    assert [line for line in err.splitlines() if not line.startswith("warning: ")] == []


def test_json_is_one_line_with_a_result_for_each_file(
    here: Path, finished_study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("in/bad.png").write_text("no image")
    code, out, _ = evoae(capfd, finished_study, "in", "-o", "out", "--json", "-q", "--add-noise", "gaussian:25")
    assert code == 1
    assert out.count("\n") == 1
    told = json.loads(out)
    assert (told["done"], told["failed"]) == (2, 1)
    first, bad, _ = told["files"]
    assert (first["input"], first["output"], first["planes"], first["error"]) == ("in/a.png", "out/a.png", 1, None)
    assert first["figures"].keys() == {"noisy_psnr_db", "noisy_ssim", "psnr_db", "ssim"}
    assert first["noise_std_8bit"] > 25
    assert (first["noise_kind"], first["noise_strength"]) == ("gaussian", first["noise_std_8bit"])
    assert (bad["output"], bad["figures"], bad["noise_kind"], bad["noise_strength"]) == (None, None, None, None)
    assert "cannot be read" in bad["error"]
    assert told["mean"]["noisy_psnr_db"] == pytest.approx(20.7, abs=0.4)


def test_json_tells_of_a_single_file_that_cannot_be_used_too(
    here: Path, finished_study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("bad.png").write_text("no image")
    code, out, err = evoae(capfd, finished_study, "bad.png", "-o", "out.png", "--json", "-q")
    assert code == 2
    assert "evoae: bad.png cannot be read" in err
    told = json.loads(out)
    assert (told["done"], told["failed"]) == (0, 1)
    assert [(file["input"], file["output"]) for file in told["files"]] == [("bad.png", None)]
    assert told["files"][0]["error"].startswith("bad.png cannot be read")


def test_what_it_wrote_in_floats_it_takes_again(
    here: Path, finished_study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.save("0.npy", np.pad(np.ones((20, 20, 3), np.float32), ((6, 6), (6, 6), (0, 0))))
    for n in range(3):
        code, _, err = evoae(capfd, finished_study, f"{n}.npy", "-o", f"{n + 1}.npy", "-q")
        assert code == 0, err


def test_the_function_on_its_page_denoises_as_the_command_does(here: Path, finished_study: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "denoising.md").read_text(encoding="utf-8")
    _, block = page.split("```python\n")
    names: dict[str, Any] = {}
    exec(compile(block.partition("```")[0], "denoising.md", "exec"), names)
    image = read_image(Path("in/a.png"))
    assert np.array_equal(
        names["cleaned"](str(finished_study), image), denoise_array(load_model(finished_study), image)
    )


@pytest.mark.parametrize("source", ["in/a.png", "in"])
def test_a_bug_in_one_file_names_it_and_its_traceback_is_printed_only_when_asked(
    source: str,
    here: Path,
    finished_study: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(path: Path, *rest: Any) -> None:
        raise OverflowError("int too big")

    monkeypatch.setattr("evoae_cli.applying.batch.write_pixels", broken)
    words = (finished_study, source, "-o", "out/", "-q")
    code, _, err = evoae(capfd, *words)
    assert code == 1
    assert "evoae: in/a.png: this is a bug in evoae (OverflowError: int too big)" in err
    assert "Traceback" not in err
    assert "in broken" in evoae(capfd, *words, "--debug")[2]


def test_added_noise_prints_figures_and_needs_no_output(
    here: Path, finished_study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = (finished_study, "in", "-q", "--add-noise", "gaussian:25", "--device", "cpu")
    code, out, _ = evoae(capfd, *words)
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()] == ["in/a.png", "in/deep/b.png", "mean of 2"]
    assert all("noisy 20." in line and "output" in line and "SSIM" in line for line in out.splitlines())
    assert evoae(capfd, *words)[1] == out
    assert evoae(capfd, *words, "--seed", "1")[1] != out
    assert sorted(os.listdir(here)) == ["in"]


def test_without_output_and_without_added_noise_there_is_nothing_to_do(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, err = evoae(capfd, "mine", "in")
    assert code == 2
    assert "--output" in err


def test_the_command_and_the_function_cut_images_alike() -> None:
    assert denoise._TILE == TILE
