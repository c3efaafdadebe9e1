"""Makes the rows of a comparison of denoisers: each cleans the test images, after tuning, training or a search."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from evoae_cli.applying.apply import denoise_array
from evoae_cli.applying.views import Clean, in_views
from evoae_cli.bench.denoisers_plan import EVOLVED, RIVALS, Plan, Task, Way
from evoae_cli.bench.evolved import evolved
from evoae_cli.bench.noisyfolder import noisy_folder
from evoae_cli.bench.report import tell
from evoae_cli.bench.results import Results, Row
from evoae_cli.bench.scored import Scored, ready, scored
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.evaluation.classical import METHODS, Level, Method, apply, bm3d, tuned
from evoae_cli.evaluation.contract import Augmentation, derive_seed
from evoae_cli.evaluation.handmade import DnCNN, Lessons, UNet, train_for
from evoae_cli.evaluation.objective import corrupt, fixed_noisy
from evoae_cli.evaluation.reproducible import reproducible, seeded
from evoae_cli.evaluation.resident import Resident
from evoae_cli.evaluation.training import DivergedError
from evoae_cli.genome.genotype import parse_genotype
from evoae_cli.phenotype.autoencoder import build
from evoae_cli.study.model import LoadedModel, load_model
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import Setup, prepare

_N_TUNING = 16
"""Training crops that the classical methods are tuned on, as in a study."""
_NOISE_SEED = 0
"""Of the noise on the test images, which is the same whatever else is drawn."""


class Comparison:
    """Makes the rows of a plan."""

    def __init__(self, plan: Plan, results: Results, clean: Tensor) -> None:
        self._plan = plan
        self._results = results
        self._clean = clean
        self._noisy = functools.cache(self._with_noise)
        self._setup = functools.cache(self._study_setup)

    def check(self, tasks: Iterable[Task]) -> None:
        """Raise UsageError if a rival is to have the time of a finalist that is neither there nor to come."""
        if "evolved skip" not in self._plan.only:
            for task in tasks:
                if task.name in RIVALS:
                    self._time_for(task)

    def run(self, task: Task) -> Row:
        """The row of a task, from the results if it is there.

        Raises EvoaeError if a search cannot go on or a training diverges.
        """
        settings = self._own_settings(task)
        found = self._results.find(task.name, task.noise, task.seed, task.budget_s, settings)
        if found is None:
            found = self._made(task, settings)
            self._results.add(found)
        return found

    def _own_settings(self, task: Task) -> dict[str, Any]:
        if task.seed is None:
            return {}
        settings = dict(self._plan.settings)
        if task.name in RIVALS and self._plan.train_for_s is not None:
            settings["train_for"] = self._plan.train_for_s
        if task.name == "paper's form":
            settings["architecture"] = self._plan.architecture
        return settings

    def _made(self, task: Task, settings: dict[str, Any]) -> Row:
        about: dict[str, Any] = {"name": task.name, "case": task.noise, "seed": task.seed, "budget_s": task.budget_s}
        if task.seed is None:
            return _row(self._classical(task), about | ({"ms": None} if task.name == "noisy" else {}))
        about["settings"] = settings
        if task.name in EVOLVED:
            return self._evolved(task, EVOLVED[task.name], about)
        network = self._rival(task)
        about |= {"train_s": self._trained(network, task), "parameters": _n_parameters(network)}
        return _row(self._scored(ready(network), task.noise), about | {"genotype": settings.get("architecture", "")})

    def _evolved(self, task: Task, way: Way, about: dict[str, Any]) -> Row:
        assert task.seed is not None
        of_what = ("denoise", way.space, *(["noisy-only"] if way.is_noisy_only else []))
        folder = self._plan.study_folder(*of_what, task.noise, task.seed)
        if way.is_noisy_only:
            wanted = self._plan.noisy_config(self._noisy_data(task.noise), task.seed, way.space)
        else:
            wanted = self._plan.config(task.noise, task.seed, way.space)
        found = evolved("denoise", wanted, folder, self._plan.budget_s)
        about |= {"search_s": found.search_s, "train_s": found.train_s, "genotype": found.genotype}
        clean: Clean = ready(found.network)
        if way.is_noisy_only:
            clean = functools.partial(_as_evoae_denoise, load_model(folder))
        return _row(self._scored(in_views(clean, way.views), task.noise), about | {"parameters": found.parameters})

    def _noisy_data(self, noise: str) -> Path:
        """The folder of `--data`'s images with noise on them, which is made where it is not there."""
        setup, _ = self._setup(noise, 0)
        # Named by what it is made of, so that other photographs do not find it.
        folder = (
            self._plan.studies / f"noisy-{noise.replace('/', '-').replace(':', '-')}-{setup.images.fingerprint[:12]}"
        )
        return noisy_folder(Path(self._plan.data), folder, setup.images, self._plan.noise(noise))

    def _with_noise(self, noise: str) -> Tensor:
        return fixed_noisy(self._clean, self._plan.noise(noise), _NOISE_SEED, "test")

    def _study_setup(self, noise: str, seed: int) -> tuple[Setup, Resident]:
        """Images, devices and precision as the search of this seed has them."""
        setup = prepare(resolve("denoise", self._plan.config(noise, seed)), tell)
        device = setup.devices[0]
        return setup, Resident(setup.images, device, self._plan.patch, n_val=1, n_test=1, study_seed=seed)

    def _scored(self, clean: Clean, noise: str) -> Scored:
        return scored(clean, self._noisy(noise), self._clean)

    # ---- classical ----

    def _classical(self, task: Task) -> Scored:
        noisy = self._noisy(task.noise)
        if task.name == "noisy":
            return scored(lambda image: image, noisy, self._clean)
        std = self._plan.noise(task.noise).std
        assert std is not None
        method, strengths = METHODS.get(task.name, (bm3d, (1.0,)))
        strength = strengths[0]
        if len(strengths) > 1:
            with reproducible(threads=1):
                strength = tuned(method, strengths, self._level(task.noise, std))
        return scored(functools.partial(_applied, method, std, strength), noisy, self._clean)

    def _level(self, noise: str, std: float) -> Level:
        """Training crops that the methods are tuned on: always the same, those of the first seed's split."""
        _, resident = self._setup(noise, 0)
        generator = torch.Generator(resident.device).manual_seed(derive_seed(0, "tuning of the classical methods"))
        clean = resident.sampler(self._plan.patch, Augmentation(), generator).crops(_N_TUNING)
        return Level(clean.cpu(), corrupt(clean, self._plan.noise(noise), generator).cpu(), std)

    # ---- hand-made networks ----

    def _rival(self, task: Task) -> nn.Module:
        assert task.seed is not None
        setup, _ = self._setup(task.noise, task.seed)
        channels = setup.images.channels
        with seeded(derive_seed(task.seed, task.name, "weights"), "cpu"):
            if task.name == "DnCNN":
                return DnCNN(channels)
            if task.name == "U-Net":
                return UNet(channels)
            # One reduction, as the paper denoises.
            paper = resolve("denoise", {"preset": "paper"})
            genotype = parse_genotype(self._plan.architecture)
            spec = msgspec.structs.replace(setup.requests(Path()).network, reductions=paper.reductions)
            return build(genotype, spec)

    def _trained(self, network: nn.Module, task: Task) -> float:
        """Train it by the searches' recipe; the seconds that took."""
        assert task.seed is not None
        setup, resident = self._setup(task.noise, task.seed)
        recipe = setup.requests(Path()).recipe(1)
        seed = derive_seed(task.seed, task.name, "training")
        lessons = Lessons(resident, recipe, self._plan.noise(task.noise), seed)
        try:
            return train_for(network, lessons, self._time_for(task))
        except DivergedError as error:
            raise EvoaeError(f"{task.name} with seed {task.seed}: {error}; try --config lr=0.001") from error

    def _time_for(self, task: Task) -> float:
        if self._plan.train_for_s is not None:
            return self._plan.train_for_s
        overrides = dict(self._plan.settings)
        finalist = self._results.find("evolved skip", task.noise, task.seed, task.budget_s, overrides)
        if finalist is None or finalist.train_s is None:
            raise UsageError(
                f"{task.name} is trained for as long as the finalist of 'evolved skip', which --out has not for "
                f"{task.noise}, seed {task.seed}; add it to --only, or give --train-for SECONDS"
            )
        return finalist.train_s


def _applied(method: Method, std: float, strength: float, noisy: Tensor) -> Tensor:
    return apply(method, noisy, std, strength)


def _as_evoae_denoise(model: LoadedModel, noisy: Tensor) -> Tensor:
    """[1, C, H, W] -> the same, as the command has it, which estimates the strength of the noise itself."""
    pixels = noisy[0].permute(1, 2, 0).contiguous().numpy()
    return torch.from_numpy(denoise_array(model, pixels)).permute(2, 0, 1)[None]


def _row(found: Scored, about: dict[str, Any]) -> Row:
    assert found.scores.psnr_db is not None
    assert found.scores.ssim is not None
    return Row(**{"psnr_db": found.scores.psnr_db, "ssim": found.scores.ssim, "ms": found.ms, **about})


def _n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
