import json
import shutil
from pathlib import Path

import pytest
import torch

from evoae_cli import load
from evoae_cli.errors import StudyError
from evoae_cli.study.model import find_model, load_model


def test_a_model_loads_from_a_study_its_best_and_a_copy_elsewhere(finished_study: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_study / "best", tmp_path / "copy")
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    outputs = [load(place)(image) for place in (finished_study, finished_study / "best", tmp_path / "copy")]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_the_weights_describe_themselves_so_a_stray_description_changes_nothing(
    finished_study: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished_study / "best", tmp_path / "copy")
    (tmp_path / "copy" / "model.json").write_text(json.dumps({"genotype": "1x1conv2d:64"}))
    assert load_model(tmp_path / "copy").metadata == load_model(finished_study).metadata


def test_what_is_no_model_is_refused_in_one_line(finished_study: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError, match="no model in"):
        find_model(str(tmp_path / "empty"))
    for number, content in enumerate((b"", b"not a model at all", None)):
        folder = tmp_path / str(number)
        folder.mkdir()
        whole = (finished_study / "best" / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[:-100] if content is None else content)
        with pytest.raises(StudyError, match="is no model of evoae") as refused:
            load_model(folder)
        assert "\n" not in str(refused.value)


def test_weights_of_another_program_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(StudyError, match="is no model of evoae"):
        load_model(tmp_path)
