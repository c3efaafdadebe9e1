"""A trained model on disk: one safetensors file that describes itself, and `model.json`, the same for people."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from evoae_cli.errors import GenotypeError, StudyError, first_line
from evoae_cli.evaluation.contract import NetworkSpec, Objective
from evoae_cli.evaluation.imagefile import Depth
from evoae_cli.study.locate import BEST, is_study, plain_path, study_path
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

    @property
    def is_blind(self) -> bool:
        """Whether it learnt from hidden pixels of noisy images, so that its answer for a pixel is to be had only so."""
        return bool(self.metadata.get("settings", {}).get("noisy_only"))


def find_model(name: str) -> Path:
    """The folder of a model: a study's `best/`, or the folder named. Raises StudyError if none is there."""
    for folder in (study_path(name), plain_path(name)):
        if is_study(folder):
            if not os.path.isfile(folder / BEST / WEIGHTS):
                raise StudyError(f"study {folder} has no model yet; let it evaluate a first candidate")
            return folder / BEST
        if os.path.isfile(folder / WEIGHTS):
            return folder
    raise StudyError(f"no model in {name!r}; name a study, its best/, or a folder with {WEIGHTS}")


def load_model(name: str | Path) -> LoadedModel:
    """Load a model from a study, its `best/`, or a folder with a model. Raises StudyError for anything else."""
    import torch
    from safetensors import SafetensorError, safe_open

    from evoae_cli.genome.spaces import genotype_of
    from evoae_cli.phenotype.autoencoder import build

    folder = find_model(str(name))
    path = folder / WEIGHTS
    try:
        # safe_open says of any file that it may not read that there is none.
        path.open("rb").close()
        with safe_open(path, framework="pt") as file:
            metadata = _metadata((file.metadata() or {}).get("evoae"), path)
            about = msgspec.convert(metadata, _Description, strict=False)
            # Without weights of its own: drawing them would move the generator of whoever trains in this process.
            with torch.device("meta"):
                network = build(genotype_of(about.genotype, about.network), about.network)
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (no dict)
            # Copied, since they lie in the file.
            own = {key: tensor.to(torch.float32, copy=True) for key, tensor in weights.items()}
            network.load_state_dict(own, assign=True)
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror or error}); check its permissions") from error
    except (SafetensorError, RuntimeError, GenotypeError, msgspec.ValidationError) as error:
        raise StudyError(f"{path} is no model of evoae: {first_line(error)}; {_REMEDY}") from error
    network.eval()
    return LoadedModel(network=network, metadata=metadata, folder=folder)


_REMEDY = f"bring back a copy, or name another folder with {WEIGHTS}"


class _Pixels(msgspec.Struct):
    dtype: Depth
    low: tuple[float, ...]
    high: tuple[float, ...]


class _Description(msgspec.Struct):
    """What using a model depends on, of all that its description says."""

    genotype: str
    objective: Objective
    network: NetworkSpec
    pixels: _Pixels

    def __post_init__(self) -> None:
        pairs = list(zip(self.pixels.low, self.pixels.high, strict=False))
        n_values = {len(self.pixels.low), len(self.pixels.high)}
        if n_values != {self.network.channels} or not all(low < high for low, high in pairs):
            raise ValueError("its pixels do not have one lower and one higher limit per channel")


def _metadata(text: str | None, path: Path) -> dict[str, Any]:
    """The description that a file of weights carries. Raises StudyError for none, or one of another format."""
    try:
        metadata = json.loads(text or "null")
    except json.JSONDecodeError:
        metadata = None
    if not isinstance(metadata, dict) or "format" not in metadata:
        raise StudyError(f"{path} is no model of evoae: its description is missing; {_REMEDY}")
    if metadata["format"] != FORMAT:
        raise StudyError(
            f"{path} has format {metadata['format']}, this version reads {FORMAT}; use the version that wrote it"
        )
    return metadata


def save_model(folder: Path, weights: Path, metadata: dict[str, Any]) -> None:
    """Write `weights` (safetensors) into `folder` with their description.

    The description also travels inside the weights' file, so the two can never disagree after a crash between them.
    """
    from safetensors.torch import load_file, save

    folder.mkdir(exist_ok=True)
    text = json.dumps({"format": FORMAT} | metadata, indent=2)
    write_whole(folder / WEIGHTS, save(load_file(weights), metadata={"evoae": text}))
    write_whole(folder / DESCRIPTION, (text + "\n").encode())
