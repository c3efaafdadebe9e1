"""A trained model on disk: one safetensors file that describes itself, and `model.json`, the same for people."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from evoae_cli.errors import StudyError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.study.locate import BEST, is_study, study_path
from evoae_cli.wholefile import write_whole

if TYPE_CHECKING:
    from evoae_cli.phenotype.autoencoder import Autoencoder

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
FORMAT = 1


@dataclass(frozen=True)
class LoadedModel:
    """A network with its weights, in evaluation mode on the CPU, and all that is known of it (`model.json`)."""

    network: "Autoencoder"
    metadata: dict[str, Any]
    folder: Path


def find_model(name: str) -> Path:
    """The folder of a model: a study's `best/`, or the folder named. Raises StudyError if none is there."""
    for folder in (study_path(name), Path(name).expanduser()):
        if is_study(folder):
            if not (folder / BEST / WEIGHTS).is_file():
                raise StudyError(f"study {folder} has no model yet; let it evaluate a first candidate")
            return folder / BEST
        if (folder / WEIGHTS).is_file():
            return folder
    raise StudyError(f"no model in {name!r}; name a study, its best/, or a folder with {WEIGHTS}")


def load_model(name: str | Path) -> LoadedModel:
    """Load a model from a study, its `best/`, or a folder with a model. Raises StudyError for anything else."""
    from safetensors import SafetensorError, safe_open

    from evoae_cli.genome.genotype import parse_genotype
    from evoae_cli.phenotype.autoencoder import build

    folder = find_model(str(name))
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["evoae"])
            if metadata["format"] != FORMAT:
                raise StudyError(f"{folder / WEIGHTS} has format {metadata['format']}, this version reads {FORMAT}")
            network = build(
                parse_genotype(metadata["genotype"]), msgspec.convert(metadata["network"], NetworkSpec, strict=False)
            )
            network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118  (no dict)
    except (SafetensorError, KeyError, RuntimeError, msgspec.ValidationError, json.JSONDecodeError) as error:
        raise StudyError(f"{folder / WEIGHTS} is no model of evoae: {str(error).splitlines()[0]}") from error
    network.eval()
    return LoadedModel(network=network, metadata=metadata, folder=folder)


def save_model(folder: Path, weights: Path, metadata: dict[str, Any]) -> None:
    """Write `weights` (safetensors) into `folder` with their description.

    The description also travels inside the weights' file, so the two can never disagree after a crash between them.
    """
    from safetensors.torch import load_file, save

    folder.mkdir(exist_ok=True)
    text = json.dumps({"format": FORMAT} | metadata, indent=2)
    write_whole(folder / WEIGHTS, save(load_file(weights), metadata={"evoae": text}))
    write_whole(folder / DESCRIPTION, (text + "\n").encode())
