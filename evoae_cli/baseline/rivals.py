"""Measures what there is besides random architectures, on the test images of the search or of the paper's protocol.

One at a time on one worker, so that seconds per image mean something.
"""

import hashlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self

import torch

from evoae_cli.applying.codebytes import in_bytes
from evoae_cli.baseline.comparison import sides_of
from evoae_cli.baseline.plan import Plan
from evoae_cli.baseline.protocols import HAND_MADE
from evoae_cli.baseline.rivalfile import RivalRow, add_rival, read_rivals
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.evaluation.compression import BLOCK
from evoae_cli.evaluation.contract import Rival, RivalFound, RivalRequest
from evoae_cli.evaluation.evaluate import exam_for
from evoae_cli.evaluation.hardware import device_model, devices
from evoae_cli.study.desk import Desk
from evoae_cli.study.ground import check_images
from evoae_cli.study.model import WEIGHTS, find_model, load_model
from evoae_cli.study.requests import Requests
from evoae_cli.study.resolve import EARLIER, resolve
from evoae_cli.study.setup import prepare
from evoae_cli.study.store import Store
from evoae_cli.study.study import RUNNER
from evoae_cli.study.summary import delivered

_CLASSICAL: tuple[Rival, ...] = ("wavelet", "total variation", "non-local means", "BM3D")


class StoppedMeasuringError(Exception):
    """The measurements were asked to stop; those that are done are kept."""


class _Wanted(NamedTuple):
    """One thing to measure."""

    make: Callable[[], RivalRequest]
    of: str = ""
    """As `RivalRow.of`."""


class Measurements:
    """What a comparison in `folder` has still to measure, once its studies have ended; a context manager.

    Raises what `prepare` raises, StudyError for images that have changed since, and EvoaeError where no worker starts.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        *,
        warn: Callable[[str], None],
        runner: str = RUNNER,
        changes: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._warn = warn
        self._home = _home(folder, plan)
        config = resolve(plan.objective, EARLIER, plan.settings, changes)
        setup = prepare(config, warn)
        store = Store.read(self._home)
        try:
            check_images(setup.images, store)
        finally:
            store.close()
        self._requests: Requests = setup.requests(self._home)
        self._device = devices(config.device)[0]
        self._engine = LocalEngine(
            [WorkerSpec(device=self._device, threads=config.threads)],
            runner,
            heartbeat_interval_s=config.heartbeat_interval_s,
            heartbeat_timeout_s=config.heartbeat_timeout_s,
            start_timeout_s=config.start_timeout_s,
        )
        self._desk = Desk(self._engine)
        self._is_stopping = False
        if self.due:
            self._tell_left_out()

    def __enter__(self) -> Self:
        self._engine.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.stop()

    def stop(self) -> None:
        """End at once; what is done is kept. Safe in a signal handler."""
        self._is_stopping = True
        self._engine.wake()

    @property
    def due(self) -> list[str]:
        """Names of what is still to be measured, in their order."""
        there = {(row.name, row.of) for row in read_rivals(self._folder)}
        return [name for name, what in self._all().items() if (name, what.of) not in there]

    def measure(self, name: str) -> None:
        """Measure what is due under `name`, and keep it; where that fails, warn.

        Raises StoppedMeasuringError when asked to stop, EvoaeError when the host can run nothing.
        """
        what = self._all()[name]
        found: list[RivalFound | str] = []
        self._desk.rival(what.make(), name, lambda one, result: found.append(one))
        while not found:
            if self._is_stopping:
                raise StoppedMeasuringError
            self._desk.receive()
        if isinstance(found[0], str):
            self._warn(f"{name} could not be measured: {found[0]}")
            return
        add_rival(self._folder, RivalRow(name=name, found=found[0], of=what.of))

    def _all(self) -> "dict[str, _Wanted]":
        """Everything that is to be compared with, by name; requests are made when they are needed."""
        config = self._requests.config
        found: dict[str, _Wanted] = {}
        for side in sides_of(self._folder, self._plan):
            if side.part.seed == config.seed and side.test_db is not None:
                found[side.part.title] = _Wanted(partial(self._model, side.study), _weights_of(side.study))
        if config.objective == "denoise":
            for rival in _CLASSICAL:
                if rival != "BM3D" or find_spec("bm3d") is not None:
                    found[rival] = _Wanted(partial(self._request, rival))
            if not self._no_hand_made():
                for rival in (HAND_MADE[name] for name in self._plan.references):
                    found[rival] = _Wanted(partial(self._hand_made, rival), _weights_of(self._home))
            return found
        if not self._no_block_pca():
            found["block PCA"] = _Wanted(lambda: self._request("block PCA", n_values=int(self._values_of_block())))
        if not self._no_jpeg():
            found["JPEG"] = _Wanted(
                lambda: self._request("JPEG", n_bytes=self._bytes_of_codes()), _weights_of(self._home)
            )
        return found

    def _no_hand_made(self) -> str:
        """What keeps networks from being trained as long as the winner; empty if nothing does."""
        theirs, ours = delivered(self._home).device, device_model(self._device)
        return "" if theirs == ours else f"the winner was trained on {theirs}, and {ours} is not as fast"

    def _no_block_pca(self) -> str:
        """What keeps block PCA from having as many values as the codes; empty if nothing does."""
        config = self._requests.config
        if config.code_fraction is None:
            return f"--code-ratio {config.code_ratio} names no share of an image's values"
        if config.patch % BLOCK:
            return f"--patch {config.patch} is no multiple of its blocks' {BLOCK}"
        n_values = self._values_of_block()
        return "" if n_values.denominator == 1 else f"--code-ratio {config.code_ratio} is {n_values} values of a block"

    def _values_of_block(self) -> Fraction:
        ratio = self._requests.config.code_fraction
        assert ratio is not None
        return ratio * BLOCK * BLOCK * self._requests.images.channels

    def _no_jpeg(self) -> str:
        """What keeps the images from being written as JPEG; empty if nothing does."""
        images = self._requests.images
        if images.dtype == "uint8" and images.channels in (1, 3):
            return ""
        return f"it holds grey or colour of 8 bits, and these images have {images.channels} x {images.dtype}"

    def _tell_left_out(self) -> None:
        """Say which rows there will not be, and why."""
        if self._plan.objective == "manifold":
            missing = {"block PCA": self._no_block_pca(), "JPEG": self._no_jpeg()}
        else:
            missing = {HAND_MADE[name]: self._no_hand_made() for name in self._plan.references}
        for name, reason in missing.items():
            if reason:
                self._warn(f"{name} is left out: {reason}")

    def _hand_made(self, rival: Rival) -> RivalRequest:
        return self._request(rival, recipe=self._requests.recipe(1), train_s=delivered(self._home).train_s)

    def _model(self, study: str) -> RivalRequest:
        model = load_model(study)
        return self._request(
            "network",
            genotype=model.metadata["genotype"],
            network=self._requests.network,
            weights_in=str((find_model(study) / WEIGHTS).absolute()),
        )

    def _request(self, rival: Rival, **more: Any) -> RivalRequest:
        config = self._requests.config
        return RivalRequest(
            rival=rival,
            objective=config.objective,
            study_seed=config.seed,
            images=self._requests.images_ref,
            noise=config.corruption,
            noisy_only=config.noisy_only,
            threads=config.threads,
            **more,
        )

    def _bytes_of_codes(self) -> float:
        """What a file with the codes of the test images takes for each, with 8 bits for each value."""
        images = exam_for(self._request("JPEG"), "cpu", "test").target
        with torch.inference_mode():
            codes = torch.cat([load_model(self._home).network.encode(image) for image in torch.split(images, 1)])
        n_channels, height, width = images.shape[1:]
        return in_bytes(codes, (height, width, n_channels))[1]


def _weights_of(study: str | Path) -> str:
    """Names the weights that a study delivers: SHA-256 of their file."""
    return hashlib.sha256((find_model(str(study)) / WEIGHTS).read_bytes()).hexdigest()


def _home(folder: Path, plan: Plan) -> Path:
    """The study whose test images, settings and model everything is compared with: the search, if there is one."""
    return Path(plan.against) if plan.against is not None else folder / plan.parts[0].name
