"""From a study's settings to the requests its workers evaluate."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from evoae_cli.evaluation.contract import (
    Augmentation,
    EvaluationRequest,
    ImagesRef,
    NetworkSpec,
    Precision,
    Recipe,
    ReferencesRequest,
    Split,
    Stage,
    derive_seed,
)
from evoae_cli.evaluation.imagefile import ImageFile
from evoae_cli.evaluation.picturefile import CLASSICAL_PICTURES
from evoae_cli.genome.spaces import SPACES
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.locate import BEST, START


def weights_file(folder: Path, stage: Stage, genotype: str, seed_index: int) -> Path:
    """Where the weights of one evaluation lie until they are in `best/` or beaten."""
    name = hashlib.sha256(genotype.encode()).hexdigest()[:16]
    return folder / "weights" / f"{stage}-{name}-{seed_index}.safetensors"


@dataclass(frozen=True)
class Requests:
    """Makes the requests of one study; all share its network, images, noise and seed."""

    config: StudyConfig
    images: ImageFile
    precision: Precision
    code_channels: int | None
    folder: Path
    start: str | None = None
    """Fingerprint of the weights that final trainings start from; None: from scratch."""

    @property
    def network(self) -> NetworkSpec:
        """What the genotypes leave open."""
        return NetworkSpec(
            channels=self.images.channels,
            reductions=self.config.reductions,
            code_channels=self.code_channels,
            decoder=self.config.decoder,
            is_manifold=self.config.objective == "manifold",
            space=None if self.config.space in SPACES else self.config.space,
        )

    @property
    def images_ref(self) -> ImagesRef:
        """The images, by file and fingerprint."""
        return ImagesRef(
            path=str(self.images.path),
            fingerprint=self.images.fingerprint,
            patch=self.config.patch,
            n_val=self.config.val_images,
            n_test=self.config.test_images,
        )

    def recipe(self, epochs: int) -> Recipe:
        """How a network is trained, for the search's or the finalists' epochs."""
        config = self.config
        return Recipe(
            epochs=epochs,
            epoch_images=config.train_images,
            batch_size=config.batch_size,
            crop=config.crop,
            augmentation=Augmentation(flips=config.flips, colours=config.colours == "on"),
            lr=config.lr,
            schedule=config.schedule,
            precision=self.precision,
            channels_last=config.channels_last,
            clip_gradients=config.clip_gradients,
        )

    def search(self, genotype: str, keep_above: float) -> EvaluationRequest:
        """Train a candidate for a short time and score it on val; keep its weights if it beats `keep_above`."""
        return self._request(genotype, "search", 0, self.config.epochs, keep_above=keep_above)

    def final_epochs(self, share: float) -> int:
        """Epochs of a share of the final budget; at least one."""
        return max(1, round(self.config.final_epochs * share))

    def final(self, genotype: str, seed_index: int, share: float = 1.0) -> EvaluationRequest:
        """Train at the final budget, or a share of it, from scratch or from the study's start, and score on val."""
        weights = None if self.start is None else str(self.folder / START)
        return self._request(genotype, "final", seed_index, self.final_epochs(share), weights_in=weights)

    def before(self, genotype: str) -> EvaluationRequest:
        """Score the weights that training starts from on val."""
        return self._request(genotype, "start", 0, self.config.final_epochs, weights_in=str(self.folder / START))

    def test(self, genotype: str, seed_index: int) -> EvaluationRequest:
        """Score the trained winner on test."""
        weights = str(weights_file(self.folder, "final", genotype, seed_index))
        return self._request(genotype, "test", seed_index, self.config.final_epochs, weights_in=weights)

    def references(self, split: Split) -> ReferencesRequest:
        """Score the unprocessed images and the classical methods on `split`; on test, keep a few of their pictures."""
        return ReferencesRequest(
            objective=self.config.objective,
            split=split,
            study_seed=self.config.seed,
            images=self.images_ref,
            noise=self.config.corruption,
            noisy_only=self.config.noisy_only,
            threads=self.config.threads,
            pictures_out=str(self.folder / BEST / CLASSICAL_PICTURES) if split == "test" else None,
        )

    def _request(
        self,
        genotype: str,
        stage: Stage,
        seed_index: int,
        epochs: int,
        *,
        keep_above: float = 0.0,
        weights_in: str | None = None,
    ) -> EvaluationRequest:
        config = self.config
        is_trained = stage in ("search", "final")
        # Further training with the crops and the noise of the first would be no new lesson.
        start = () if self.start is None or stage != "final" else (self.start,)
        return EvaluationRequest(
            genotype=genotype,
            objective=config.objective,
            stage=stage,
            seed_index=seed_index,
            study_seed=config.seed,
            seed=derive_seed(config.seed, genotype, stage, seed_index, *start),
            network=self.network,
            recipe=self.recipe(epochs),
            images=self.images_ref,
            noise=config.corruption,
            noisy_only=config.noisy_only,
            threads=config.threads,
            weights_in=weights_in,
            weights_out=str(weights_file(self.folder, stage, genotype, seed_index)) if is_trained else None,
            keep_above=keep_above,
        )
