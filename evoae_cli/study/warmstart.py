"""What a training that goes on starts from: the delivered model of a study that has ended, copied into the new one."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from evoae_cli.errors import StudyError, UsageError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.genome.spaces import genotype_of
from evoae_cli.phenotype.layout import layout
from evoae_cli.study.locate import BEST, START, find_study
from evoae_cli.study.lock import lock_holder
from evoae_cli.study.store import Store
from evoae_cli.study.summary import state_of

if TYPE_CHECKING:
    from evoae_cli.evaluation.imagefile import ImageFile


class Start(NamedTuple):
    """A study whose model can be trained further."""

    folder: Path
    settings: dict[str, Any]
    """The study's own."""
    genotype: str


class StartWeights(NamedTuple):
    """The weights of a start by themselves."""

    content: bytes
    """A safetensors file without metadata, so that it depends on the tensors alone."""
    fingerprint: str
    """Its SHA-256."""
    images: str
    """Fingerprint of the images that they were trained on."""


def find_start(name: str) -> Start:
    """The study of that name or folder. Free of torch.

    Raises StudyError where there is none, where it is under way or ended without a winner, or its model is lost.
    """
    from evoae_cli.study.model import WEIGHTS

    folder, _ = find_study(name)
    store = Store.read(folder)
    try:
        settings, winner, state = store.meta("settings"), store.meta("winner"), state_of(folder, store)
    finally:
        store.close()
    if settings is None:
        raise StudyError(f"--from {name}: this study was never started; name another")
    if lock_holder(folder) is not None:
        raise StudyError(f"--from {name}: this study still runs; wait for its end, or stop it: evoae stop {folder}")
    if winner is None or state in ("interrupted", "failed"):
        raise StudyError(f"--from {name}: this study has not come to its end ({state}); first: evoae resume {folder}")
    if not (folder / BEST / WEIGHTS).is_file():
        raise StudyError(
            f"--from {name}: this study has lost its model, {BEST}/{WEIGHTS}; to have it written again: "
            f"evoae resume {folder}"
        )
    return Start(folder, settings, winner[0])


def read_start_weights(folder: Path, genotype: str, network: NetworkSpec, images: "ImageFile") -> StartWeights:
    """The weights of the model in `folder`, a study, for `genotype` in a study of `network` and `images`.

    Raises StudyError where there is no such model, UsageError where it takes other images.
    """
    from safetensors.torch import save

    from evoae_cli.study.model import load_model

    loaded = load_model(folder / BEST)
    if loaded.metadata["genotype"] != genotype:
        raise StudyError(
            f"the model of {folder} is now {loaded.metadata['genotype']}, not {genotype}; "
            f"to train that one further: --from {folder}"
        )
    own = msgspec.convert(loaded.metadata["network"], NetworkSpec)
    if own.channels != network.channels:
        raise UsageError(
            f"the model of {folder} takes images of {own.channels} channels, those of {images.source} have "
            f"{network.channels}; name others with --data"
        )
    # What their descriptions say may differ where it makes no difference to this network.
    read = genotype_of(genotype, own)
    if layout(read, own) != layout(read, network):
        raise StudyError(f"the model of {folder} is another network than its study's settings say; name another study")
    content = save(loaded.network.state_dict())
    return StartWeights(content, hashlib.sha256(content).hexdigest(), loaded.metadata["images"]["fingerprint"])


def stored_start(folder: Path, fingerprint: str) -> str:
    """`fingerprint`, if it is that of the start in a study's own folder. Raises StudyError if it is not."""
    try:
        found = hashlib.sha256((folder / START).read_bytes()).hexdigest()
    except OSError as error:
        raise StudyError(
            f"{folder / START} cannot be read ({error.strerror}): bring back a copy, or train again from the start"
        ) from error
    if found != fingerprint:
        raise StudyError(f"{folder / START} has changed since the study began; bring back a copy, or train again")
    return found
