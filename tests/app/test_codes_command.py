"""`evoae encode`, `evoae decode` and `evoae export`, as people run them, on a model from a real search."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from evoae_cli import decode, encode, load_model
from evoae_cli.app.main import run
from evoae_cli.evaluation.readers import read_image
from evoae_cli.study.model import save_model


def arrays(path: str) -> dict[str, Any]:
    """All arrays of an NPZ file, which is closed again."""
    with np.load(path, allow_pickle=False) as npz:
        return dict(npz)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evoae(capfd: pytest.CaptureFixture[str], *argv: object) -> tuple[Any, str, str]:
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        run([str(word) for word in argv])
    said = capfd.readouterr()
    return stop.value.code, said.out, said.err


def make_pictures(folder: Path, *sizes: tuple[int, int]) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, size in enumerate(sizes):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def test_codes_of_equal_images_go_into_scikit_learn_as_they_are(
    finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_pictures(here / "images", *[(32, 32)] * 6)
    code, out, err = evoae(capfd, "encode", finished_study, "images", "-o", "codes.npz")
    assert (code, out) == (0, "codes.npz\n")
    file = arrays("codes.npz")
    assert file["codes"].dtype == np.float32
    assert file["codes"].shape == (6, np.prod(file["shape"]))
    assert len(KMeans(2, n_init=1).fit(file["codes"]).labels_) == 6
    assert PCA(2).fit_transform(file["codes"]).shape == (6, 2)
    n_bytes = (here / "codes.npz").stat().st_size
    assert f"6 images: 3,072 values each become {file['codes'].shape[1]:,}" in err
    assert f"18,432 bytes of pixels become {n_bytes:,}" in err


def test_images_of_all_sizes_depths_and_folders_come_back_under_their_names(
    finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_pictures(here / "images" / "sub", (32, 32), (7, 50))
    values = np.random.default_rng(0).uniform(0, 1, (21, 13))
    tifffile.imwrite(here / "images" / "unit.tif", values.astype(np.float32))
    tifffile.imwrite(here / "images" / "deep.tif", (values * 65535).astype(np.uint16))
    np.save(here / "more.npy", (values * 255).astype(np.uint8))
    code, _, err = evoae(capfd, "encode", finished_study, "images", "more.npy", "-o", "codes.npz")
    assert code == 0
    assert "--size N or --crop N" in err
    assert evoae(capfd, "decode", finished_study, "codes.npz", "-o", "out", "-q") == (0, "out\n", "")
    model = load_model(finished_study)
    found = {path.relative_to("out").as_posix(): path for path in Path("out").rglob("*.*")}
    assert set(found) == {"sub/0.png", "sub/1.png", "unit.tif", "deep.tif", "more.npy"}
    for name, path in found.items():
        before, after = read_image(here / "images" / name if name != "more.npy" else here / name), read_image(path)
        assert after.dtype == before.dtype
        assert np.array_equal(after, decode(model, encode(model, before), before.shape, before.dtype))


def test_one_image_can_be_decoded_into_one_file_and_8_bits_change_it_little(
    finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_pictures(here / "images", (32, 32))
    for name, *option in (("full.npz",), ("small.npz", "--bits", 8)):
        assert evoae(capfd, "encode", finished_study, "images/0.png", "-o", name, "-q", *option)[0] == 0
        assert evoae(capfd, "decode", finished_study, name, "-o", name.replace("npz", "tif"))[0] == 0
    assert (here / "small.npz").stat().st_size < (here / "full.npz").stat().st_size / 2
    full, small = read_image(here / "full.tif").astype(int), read_image(here / "small.tif")
    assert 0 < np.abs(full - small).max() <= 8


@pytest.mark.parametrize("option", ["--size", "--crop"])
def test_images_of_several_sizes_can_be_brought_to_one(
    option: str, finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_pictures(here / "images", (20, 33), (64, 17), (16, 16))
    assert evoae(capfd, "encode", finished_study, "images", "-o", "codes.npz", option, 16)[0] == 0
    file = arrays("codes.npz")
    assert file["sizes"].tolist() == [[16, 16]] * 3
    middle = read_image(here / "images" / "0.png")[2:18, 8:24]
    is_equal = np.array_equal(file["codes"][0], encode(load_model(finished_study), middle).ravel())
    assert is_equal == (option == "--crop")


def test_what_cannot_be_encoded_is_left_out_and_named_and_the_exit_code_is_1(
    finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_pictures(here / "images", (32, 32), (32, 32), (8, 8))
    (here / "images" / "1.png").write_text("text")
    code, out, err = evoae(capfd, "encode", finished_study, "images", "-o", "codes.npz", "-q", "--crop", 32)
    assert (code, out) == (1, "codes.npz\n")
    assert [line.split(":")[0] for line in err.splitlines()] == ["warning", "warning", "evoae"]
    assert "1.png cannot be read" in err
    assert "2.png: 8x8 pixels are too few for 32x32" in err
    assert arrays("codes.npz")["names"].tolist() == ["0.png"]


@contextmanager
def little_memory(room: int) -> Iterator[None]:
    """Within the block, this process may take so many bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("name", ["strip.png", "images"])
def test_an_image_that_memory_is_short_for_is_named_and_the_others_are_encoded(
    name: str, finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_pictures(here / "images", (16, 16))
    # Scaled until its shorter side is 256 pixels, it would take 3 GB.
    strip = here / ("strip.png" if name == "strip.png" else "images/strip.png")
    Image.fromarray(np.zeros((1, 4000, 3), np.uint8)).save(strip)
    options = (finished_study, name, "-o", "codes.npz", "-q", "--size", 256)
    with little_memory(2 * 2**30):
        code, _, err = evoae(capfd, "encode", *options)
    assert code == 1
    assert "strip.png: memory is short for scaling it to 256x1024000 pixels; use a smaller --size" in err
    if name == "images":
        assert arrays("codes.npz")["names"].tolist() == ["0.png"]
    else:
        assert not Path("codes.npz").exists()


def test_memory_that_is_short_at_the_end_is_one_line_and_leaves_no_file(
    finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pictures(here / "images", (32, 32))

    def short(stream: Any, *rest: Any) -> None:
        stream.write(b"begun")
        raise MemoryError

    monkeypatch.setattr("evoae_cli.applying.codefile.write_npz", short)
    code, out, err = evoae(capfd, "encode", finished_study, "images", "-o", "codes.npz", "-q")
    assert (code, out) == (1, "")
    assert err == "evoae: memory is short for writing codes.npz; encode fewer images at once\n"
    assert [path.name for path in here.iterdir()] == ["images"]


def test_a_picture_that_the_format_cannot_hold_is_told_before_any_is_decoded(
    finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.save(here / "wide.npy", np.zeros((1, 16_384, 3), np.uint8))
    assert evoae(capfd, "encode", finished_study, "wide.npy", "-o", "codes.npz", "-q")[0] == 0
    code, _, err = evoae(capfd, "decode", finished_study, "codes.npz", "-o", "out.webp")
    assert (code, err.splitlines()) == (
        2,
        ["evoae: out.webp: .webp cannot hold 1x16384 pixels, a side has at most 16,383; write .png or .tif"],
    )


def test_images_are_overwritten_only_by_force_and_all_are_looked_at_first(
    finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_pictures(here / "images", *[(8, 8)] * 3)
    evoae(capfd, "encode", finished_study, "images", "-o", "codes.npz")
    (here / "out").mkdir()
    for number in (1, 2):
        (here / "out" / f"{number}.png").write_text("mine")
    code, _, err = evoae(capfd, "decode", finished_study, "codes.npz", "-o", "out")
    assert (code, err) == (2, "evoae: out/1.png exists (and 1 more); add --force to overwrite\n")
    assert sorted(path.name for path in (here / "out").iterdir()) == ["1.png", "2.png"]
    assert evoae(capfd, "decode", finished_study, "codes.npz", "-o", "out", "--force")[0] == 0
    assert read_image(here / "out" / "2.png").shape == (8, 8, 3)


def test_codes_of_another_model_are_refused(
    finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    make_pictures(here / "images", (8, 8))
    evoae(capfd, "encode", finished_study, "images", "-o", "codes.npz")
    shutil.copytree(finished_study / "best", here / "copy")
    assert evoae(capfd, "decode", "copy", "codes.npz", "-o", "out")[0] == 0
    weights = load_file(here / "copy" / "model.safetensors")
    save_file({name: weight + 0.25 for name, weight in weights.items()}, here / "other.safetensors")
    save_model(here / "other", here / "other.safetensors", load_model(finished_study).metadata)
    code, _, err = evoae(capfd, "decode", "other", "codes.npz", "-o", "out2", "-q")
    assert code == 2
    assert "codes.npz comes from another model (weights " in err
    assert len(err.splitlines()) == 1
    assert not (here / "out2").exists()


def test_a_model_is_exported_and_only_the_file_is_printed(
    finished_study: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert evoae(capfd, "export", finished_study, "--onnx", "m.onnx", "-q") == (0, "m.onnx\n", "")
    assert [path.name for path in here.iterdir()] == ["m.onnx"]


def test_help_loads_nothing_of_onnx() -> None:
    program = (
        "import contextlib, sys\nfrom evoae_cli.app.main import run\n"
        "with contextlib.suppress(SystemExit):\n    run(['--help'])\n"
        "print('onnx' in sys.modules or 'onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "export" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"
