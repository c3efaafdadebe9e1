"""`best/`: the best model so far with its description and pictures, renewed in the background at every new best."""

import csv
import io
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from evoae_cli.evaluation.contract import Evaluation, Split
from evoae_cli.evaluation.picturefile import MODEL_PICTURES, PictureFile, shown_numbers, write_pictures
from evoae_cli.study.locate import BEST
from evoae_cli.study.model import load_model, save_model
from evoae_cli.study.pictures import fitness_png, preview_png
from evoae_cli.study.requests import Requests
from evoae_cli.study.settingsfile import versions
from evoae_cli.study.store import Store
from evoae_cli.study.summary import score_figures
from evoae_cli.wholefile import write_whole

if TYPE_CHECKING:
    from torch import Tensor

_PATIENCE_S = 1.0


@dataclass(frozen=True)
class Best:
    """A model to be shown as the best so far."""

    evaluation: Evaluation
    weights: Path
    test: Evaluation | None = None


def description(requests: Requests, best: Best) -> dict[str, Any]:
    """What `model.json` says of a model: enough to build it, to feed it, and to know how good it is."""
    config, images, found = requests.config, requests.images, best.evaluation
    noise = config.corruption
    std = noise.std if noise is not None else 0.0 if config.objective == "manifold" else None
    return {
        "genotype": found.genotype,
        "objective": config.objective,
        "network": msgspec.to_builtins(requests.network),
        "image_size": [config.patch, config.patch],
        "noise": None if noise is None else noise.text,
        "noise_std": std,
        "noise_std_8bit": None if std is None else std * 127.5,
        "pixels": {"dtype": images.dtype, "low": list(images.low), "high": list(images.high)},
        "parameters": found.parameters,
        "operations": found.operations,
        "code_values": found.code_values,
        "stage": found.stage,
        "seed_index": found.seed_index,
        "metrics": {"val": score_figures(found), "test": score_figures(best.test)},
        "trained_on": {"device": found.device, "dtype": found.dtype, "torch": found.torch, "images": found.images_seen},
        "images": {"source": images.source, "fingerprint": images.fingerprint},
        "settings": msgspec.to_builtins(config),
        "versions": versions(),
    }


def write_best(
    folder: Path, requests: Requests, best: Best, store: Store, is_abandoned: Callable[[], bool] = lambda: False
) -> None:
    """Write all of `best/`: the model first, then what shows it, unless `is_abandoned` says to leave that out."""
    target = folder / BEST
    save_model(target, best.weights, description(requests, best))
    if not is_abandoned():
        write_whole(target / "preview.png", _preview(target, requests))
    if best.test is not None and not is_abandoned():
        write_pictures(target / MODEL_PICTURES, _pictures(target, requests))
    if not is_abandoned():
        write_history(folder, store)


def write_history(folder: Path, store: Store) -> None:
    """Write `best/history.csv`, and of a search also `best/fitness.png`, from what the store holds."""
    target = folder / BEST
    target.mkdir(exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["generation", "genotype", "outcome", "fitness", "psnr_db", "parameters", "train_s", "worker"])
    points = []
    is_training = (store.meta("settings") or {}).get("genotype") is not None
    for record in store.records("final" if is_training else "search"):
        found = record.evaluation
        psnr_db = found.scores.psnr_db if found.scores else None
        psnr = "" if psnr_db is None else f"{psnr_db:.4f}"
        row = [record.generation, found.genotype, str(found.outcome), found.fitness, psnr]
        writer.writerow([*row, found.parameters, f"{found.train_s:.3f}", record.worker])
        if found.scores:
            points.append((record.generation, found.fitness))
    write_whole(target / "history.csv", table.getvalue().encode())
    if not is_training:
        write_whole(target / "fitness.png", fitness_png(points, store.best_by_generation()))


def _preview(target: Path, requests: Requests) -> bytes:
    """A few validation images, what the network was given, and what it made of them."""
    from evoae_cli.evaluation.pixelscale import to_bytes

    shown = _shown(target, requests, "val")
    return preview_png([(name, to_bytes(images)) for name, images in shown.columns.items()])


def _pictures(target: Path, requests: Requests) -> PictureFile:
    """The same of test images, for the page of the study. To be made once everything has been decided."""
    from evoae_cli.evaluation.picturing import column

    shown = _shown(target, requests, "test")
    names, clean = shown.columns, next(iter(shown.columns.values()))
    reference = None if requests.config.noisy_only else clean
    columns = [column(name, images, None if images is clean else reference) for name, images in names.items()]
    return PictureFile(numbers=tuple(shown.numbers), columns=tuple(columns))


class _Shown(NamedTuple):
    """A few images of a split."""

    numbers: list[int]
    columns: dict[str, "Tensor"]
    """By name, [n, C, H, W] on [-1, 1]: the clean ones first, where there are any; then what was made of them."""


def _shown(target: Path, requests: Requests, split: Split) -> _Shown:
    import torch

    from evoae_cli.evaluation.blindspot import cleaned
    from evoae_cli.evaluation.evaluate import inputs_and_targets

    config = requests.config
    network = load_model(target).network
    given, clean = inputs_and_targets(requests.images_ref, "cpu", config.seed, split, config.corruption)
    numbers = shown_numbers(len(clean))
    given, clean = given[numbers], clean[numbers]
    with torch.inference_mode():
        output = cleaned(network, given) if config.noisy_only else network(given)
    if config.objective == "manifold":
        return _Shown(numbers, {"clean": clean, "reconstruction": output})
    columns = {"clean": clean, "noisy": given, "output": output}
    if config.noisy_only:
        del columns["clean"]
    return _Shown(numbers, columns)


class BestWriter:
    """Keeps `best/` up to date from a thread of its own, so that drawing never delays an evaluation.

    Only the newest best is written when several come while one is drawn.
    """

    def __init__(self, write: Callable[[Best, Callable[[], bool]], None]) -> None:
        """`write` gets the best, and a function to ask between two files whether to leave the rest out."""
        self._write = write
        # Told by the study's own thread, which alone may speak and write the diary.
        self._failures: deque[str] = deque()
        # All that is shared with the thread, under the one condition.
        self._changed = threading.Condition()
        self._wanted: Best | None = None
        self._is_writing = False
        self._is_closed = False
        self._is_abandoned = False
        self._thread = threading.Thread(target=self._run, name="evoae-best", daemon=True)
        self._thread.start()

    def put(self, best: Best) -> None:
        """Ask for `best` to be written, unless the writer was closed; returns at once."""
        with self._changed:
            if not self._is_closed:
                self._wanted = best
                self._changed.notify_all()

    def take_failures(self) -> Iterator[str]:
        """Why it could not be written since this was asked last, a line each."""
        while self._failures:
            yield self._failures.popleft()

    def flush(self) -> None:
        """Wait until what was put last has been written."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted is None and not self._is_writing)

    def close(self) -> None:
        """Write what was put last, and stop the thread. Idempotent."""
        self.flush()
        self.abandon()

    def abandon(self) -> None:
        """Begin nothing more; wait only for the file that is being written. Idempotent."""
        with self._changed:
            self._is_closed = self._is_abandoned = True
            self._wanted = None
            self._changed.notify_all()
        # Bounded, as the last file may be a picture: ending must not wait for long, and every file is whole or absent.
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._is_closed)
                if self._wanted is None:
                    return
                best, self._wanted, self._is_writing = self._wanted, None, True
            try:
                self._write(best, lambda: self._is_abandoned)
            except Exception as error:
                # A picture that cannot be drawn must not end a search; its end writes `best/` once more, and raises.
                self._failures.append(f"best/ could not be renewed: {type(error).__name__}: {error}")
            finally:
                with self._changed:
                    self._is_writing = False
                    self._changed.notify_all()
