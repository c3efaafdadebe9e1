"""Models as ONNX files, tried out with onnxruntime."""

import json
import os
import sys
from pathlib import Path

import denoisers
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from test_codes import RESIDUAL, make_model

from evoae_cli.applying.export import _compare, check_installed, export_onnx
from evoae_cli.errors import EvoaeError, StudyError, UsageError
from evoae_cli.evaluation.blindspot import foretold

UNET = "3x3conv2d:8/reductions:2/skips:concat,add/residual"
SIZES = ((1, 4, 4), (5, 36, 8))


def run(path: Path, array: "np.typing.NDArray[np.float32]") -> "np.typing.NDArray[np.float32]":
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    [entry], [result] = session.get_inputs(), session.get_outputs()
    [found] = session.run([result.name], {entry.name: array})
    return np.asarray(found)


@pytest.mark.parametrize("genotype", ["3x3conv2d:8", RESIDUAL, "2x2conv2d:8,dropout2d,5x5conv2d:8"])
def test_an_exported_model_computes_the_same_for_any_number_and_size_of_images(genotype: str, tmp_path: Path) -> None:
    model = make_model(genotype=genotype)
    export_onnx(model, tmp_path / "m.onnx")
    for n, height, width in SIZES:
        image = torch.rand(n, 3, height, width) * 2 - 1
        with torch.inference_mode():
            expected = model.network(image).numpy()
        assert np.abs(run(tmp_path / "m.onnx", image.numpy()) - expected).max() < 1e-4
    assert os.listdir(tmp_path) == ["m.onnx"]


@pytest.mark.parametrize("genotype", ["3x3conv2d:8", RESIDUAL])
def test_encoder_and_decoder_are_exported_apart_and_fit_together(genotype: str, tmp_path: Path) -> None:
    model = make_model(genotype=genotype)
    export_onnx(model, tmp_path / "e.onnx", "encoder")
    export_onnx(model, tmp_path / "d.onnx", "decoder")
    for n, height, width in SIZES:
        image = torch.rand(n, 3, height, width) * 2 - 1
        code = run(tmp_path / "e.onnx", image.numpy())
        with torch.inference_mode():
            assert np.abs(code - model.network.encode(image).numpy()).max() < 1e-4
            assert np.abs(run(tmp_path / "d.onnx", code) - model.network(image).numpy()).max() < 1e-4


def test_a_model_of_noisy_images_only_is_exported_with_the_hiding_of_pixels(tmp_path: Path) -> None:
    model = denoisers.make_model(genotype=UNET, settings={"noisy_only": True})
    export_onnx(model, tmp_path / "m.onnx")
    for n, height, width in SIZES[1:]:
        image = torch.rand(n, 3, height, width) * 2 - 1
        with torch.inference_mode():
            expected = foretold(model.network, image).numpy()
        assert np.abs(run(tmp_path / "m.onnx", image.numpy()) - expected).max() < 1e-4


def test_the_file_names_its_ends_and_says_what_the_model_needs(tmp_path: Path) -> None:
    export_onnx(make_model(), tmp_path / "m.onnx")
    file = onnx.load(str(tmp_path / "m.onnx"))
    for end, name in ((file.graph.input, "image"), (file.graph.output, "reconstruction")):
        [value] = end
        assert value.name == name
        shape = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert shape == ["n", 3, "height", "width"]
    about = {entry.key: entry.value for entry in file.metadata_props}
    assert (about["step"], about["part"], about["objective"], about["noise"]) == ("4", "whole", "manifold", "")
    assert json.loads(about["low"]) == [0.0] * 3
    assert json.loads(about["evoae"])["pixels"]["high"] == [255.0] * 3


def test_the_noise_of_a_denoiser_stands_in_the_file(tmp_path: Path) -> None:
    model = make_model()
    model.metadata["noise_std_8bit"] = 25.0
    export_onnx(model, tmp_path / "m.onnx")
    file = onnx.load(str(tmp_path / "m.onnx"))
    assert {entry.key: entry.value for entry in file.metadata_props}["noise"] == "gaussian:25"


def test_a_file_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    export_onnx(make_model(), tmp_path / "m.onnx")
    with pytest.raises(EvoaeError, match="something else than PyTorch"):
        _compare((tmp_path / "m.onnx").read_bytes(), make_model(seed=1), "whole")


def test_nothing_is_written_where_nothing_may_be(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("mine")
    for path, part in (("m.onnx", "--force"), ("m.pt", r"ending must be \.onnx"), ("no/m.onnx", "does not exist")):
        with pytest.raises(UsageError, match=part):
            export_onnx(make_model(), tmp_path / path)
    assert (tmp_path / "m.onnx").read_text() == "mine"
    export_onnx(make_model(), tmp_path / "m.onnx", overwrite=True)
    assert (tmp_path / "m.onnx").stat().st_size > 1000


def test_a_part_that_is_none_and_a_decoder_that_cannot_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    with pytest.raises(UsageError, match=r"'half'.*whole, encoder, decoder"):
        export_onnx(model, tmp_path / "m.onnx", "half")  # type: ignore[arg-type]
    monkeypatch.setattr(type(model.network), "has_skips", True)
    with pytest.raises(StudyError, match="no decoder"):
        export_onnx(model, tmp_path / "m.onnx", "decoder")
    export_onnx(model, tmp_path / "m.onnx", "encoder")


def test_without_the_packages_one_line_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"needs onnxruntime; install them: pip install 'evoae\[onnx\]'"):
        check_installed()
