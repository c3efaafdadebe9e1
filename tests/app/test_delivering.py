"""`evoae search denoise --noisy-only -o OUT` as people run it: all noisy images are there at the end, cleaned."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, chelsea, coffee

from evoae_cli import resume
from evoae_cli.app.main import run
from evoae_cli.errors import UsageError
from evoae_cli.study.summary import summary

SMALL = """
    --generations 0 --population 2 --finalists 1 --epochs 1 --final-epochs 1 --train-images 16 --workers 1
    --val-images 2 --test-images 2 --patch 32 --crop 32 --space paper --kernels 3 --filters 8 --max-layers 1
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three noisy photographs of unequal sizes in `noisy`, one of them in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, photograph in (("a.png", astronaut()), ("deep/b.png", chelsea()), ("c.png", coffee())):
        path = tmp_path / "noisy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = photograph[:64, :160]
        noisy = part + rng.normal(0, 25, part.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)
    return tmp_path


def evoae(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stop:
        run(list(words))
    said = capfd.readouterr()
    return stop.value.code, said.out, said.err


def search(capfd: pytest.CaptureFixture[str], study: str, *words: str) -> tuple[object, str, str]:
    return evoae(
        capfd, "search", "denoise", "--noisy-only", "--data", "noisy", "--study", f"./{study}", *SMALL.split(), *words
    )


def times(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.mark.filterwarnings("ignore:.*the model takes away")  # So short a training blurs.
def test_all_noisy_images_are_cleaned_at_the_end_and_nothing_is_overwritten(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = search(capfd, "first", "-o", "clean")
    assert code == 0, err
    assert out == "first/best\n"
    assert "cleaned 3 images: " in err
    written = times(here / "clean")
    assert list(written) == ["a.png", "c.png", "deep/b.png"]
    for name in written:
        noisy, clean = (np.asarray(Image.open(here / folder / name), dtype=float) for folder in ("noisy", "clean"))
        assert noisy.shape == clean.shape
        assert not np.array_equal(noisy, clean)

    # Another search would overwrite them, and is refused before anything is made.
    code, out, err = search(capfd, "second", "-o", "clean")
    assert (code, out) == (2, "")
    assert "clean/a.png exists (and 2 more); add --force to overwrite them" in err
    assert not (here / "second").exists()

    # A study that is resumed makes what is missing, and leaves the rest alone.
    (here / "clean" / "c.png").unlink()
    code, out, err = evoae(capfd, "resume", "./first", "--json")
    assert code == 0, err
    denoised = json.loads(out)["denoised"]
    assert (denoised["done"], denoised["failed"]) == (1, 0)
    again = times(here / "clean")
    assert list(again) == list(written)
    assert [name for name in again if again[name] != written[name]] == ["c.png"]
    code, out, err = evoae(capfd, "resume", "./first")
    assert code == 0
    assert "all images are in" in err
    assert times(here / "clean") == again

    # Where they cannot go is said before anything else is done.
    with pytest.raises(UsageError, match="lies in --data"):
        resume(here / "first", progress=False, output=here / "noisy" / "clean", generations=9)
    code, _, err = evoae(capfd, "resume", str(here / "first"), "-o", "noisy/clean", "--generations", "9")
    assert (code, "lies in --data" in err) == (2, True)
    settings = summary(here / "first")["settings"]
    assert (settings["output"], settings["generations"]) == (str(here / "clean"), 0)

    # Elsewhere, from Python, and anew where it is asked for.
    resume(here / "first", progress=False, output=str(here / "elsewhere"))
    assert list(times(here / "elsewhere")) == list(written)
    resume(here / "first", progress=False, force=True)
    assert all(after > again[name] for name, after in times(here / "elsewhere").items())


def test_results_do_not_go_among_the_images_themselves(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for out in ("noisy", "noisy/clean"):
        code, _, err = search(capfd, "first", "-o", out)
        assert code == 2
        assert f"-o {out} lies in --data noisy, among the images; name another folder" in err
    assert [path.name for path in here.iterdir()] == ["noisy"]
