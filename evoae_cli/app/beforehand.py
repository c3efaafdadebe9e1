"""What can be found wrong, and told of the machine, before PyTorch is loaded: a mistake is answered at once."""

import importlib.metadata
import os
from pathlib import Path
from typing import NamedTuple

from evoae_cli.errors import StudyError
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.locate import plain_path

_NVIDIA = Path("/proc/driver/nvidia/gpus")
"""One entry for each GPU that the driver serves: known at once, while torch takes seconds to say."""
_OTHER_GPUS = (Path("/dev/dxg"), Path("/dev/kfd"))
"""GPUs under Windows' Linux and of AMD, whose number only torch can tell."""


class Workers(NamedTuple):
    """How many workers a study will have, and whether they compute on GPUs."""

    number: int
    is_on_gpu: bool


def check_source(config: StudyConfig) -> None:
    """Raise ImageError if `data` or `pairs` name nothing that holds images. Looks at names of files only."""
    if config.data == "photographs":
        return
    if config.pairs is not None:
        from evoae_cli.evaluation.pairs import matched_pairs, pair_folders

        matched_pairs(*pair_folders(config.pairs), warn=lambda text: None)
        return
    assert config.data is not None
    from evoae_cli.evaluation import torchvision_sets
    from evoae_cli.evaluation.folder import folder_images
    from evoae_cli.study.setup import study_images

    if config.data in torchvision_sets.NAMES:
        root = torchvision_sets.root_folder(config.data_root)
        if not config.download and not torchvision_sets.data_folder(config.data, root).is_dir():
            # Raises, as it finds no files either.
            next(
                torchvision_sets.torchvision_images(
                    config.data, root, download=False, seed=config.seed, warn=lambda text: None
                )
            )
        return
    folder = plain_path(config.data)
    if not os.path.isdir(folder):
        # Raises, and knows what to say.
        study_images(config, lambda text: None)
    elif not _names_an_image(folder):
        next(folder_images(folder, lambda text: None), None)


def check_start(config: StudyConfig) -> None:
    """Raise UsageError or StudyError for what no study of these settings can start from, or train."""
    if config.genotype is not None:
        from evoae_cli.genome.genotype import parse_genotype
        from evoae_cli.study.architecture import check_architecture
        from evoae_cli.study.setup import search_space

        space = search_space(config, channels=None)
        genotype = parse_genotype(config.genotype, further=space.further)
        check_architecture(genotype, space, config)
    if config.start_from:
        from evoae_cli.study.setup import search_space
        from evoae_cli.study.startfrom import known_genotypes

        known_genotypes(config, search_space(config, channels=None))


def check_readable(folder: Path) -> None:
    """Raise StudyError if the study in `folder` cannot be read, or is of another format."""
    from evoae_cli.study.store import Store

    Store.read(folder).close()


def check_writable(folder: Path, option: str = "--study") -> None:
    """Raise StudyError if nothing can be made in `folder`, which `option` names and which need not exist yet."""
    nearest = folder.absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not os.path.isdir(nearest):
        what = "a file" if os.path.exists(nearest) else "a link to nothing"
        raise StudyError(f"cannot write to {folder}: {nearest} is {what}; choose another {option}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StudyError(f"cannot write to {folder}: no permission to write in {nearest}; choose another {option}")


def workers_at_hand(config: StudyConfig) -> Workers | None:
    """The workers that `device` and `workers` lead to here; None where only PyTorch can tell."""
    from evoae_cli.study.setup import default_cpu_workers, most_workers

    chosen: set[str] = set()
    for part in (part.strip() for part in config.device.split(",")):
        n_gpus = 0 if part == "cpu" else gpus_at_hand()
        gpus = [f"cuda:{number}" for number in range(n_gpus or 0)]
        if n_gpus is None or (part.startswith("cuda") and part not in ("cuda", *gpus)) or (part == "cuda" and not gpus):
            return None
        chosen.update([part] if part.startswith("cuda:") else gpus or ["cpu"])
    if chosen != {"cpu"}:
        return Workers(config.workers or min(len(chosen), most_workers(config)), is_on_gpu=True)
    n_workers = config.workers or min(default_cpu_workers(config.threads), most_workers(config))
    return Workers(n_workers, is_on_gpu=False)


def gpus_at_hand() -> int | None:
    """How many GPUs PyTorch will find; None where that cannot be told without asking it."""
    if importlib.metadata.version("torch").endswith("+cpu"):
        return 0
    if any(path.exists() for path in _OTHER_GPUS):
        return None
    n_served = len(list(_NVIDIA.glob("*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not n_served:
        return n_served
    # The list ends at the first entry that names no GPU.
    return 0 if visible.strip() in ("", "-1") else min(n_served, len(visible.split(",")))


def _names_an_image(folder: Path) -> bool:
    from evoae_cli.evaluation.readers import SUFFIXES

    return any(
        Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        for _, _, names in os.walk(folder)
        for name in names
    )
