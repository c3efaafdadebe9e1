"""Studies whose workers train nothing and do what a script says: sleep, hang, fail, or kill themselves.

As `evoae_cli.bench.hashed`, but each genotype may have a deed of its own, every evaluation is noted, and finalists have
weights, so that a study can end with a model. What is written here is read by workers too, so it imports nothing heavy.
Run as a program, it leads a study as `evoae search` would: `scripted.py FOLDER SETTINGS` makes one, and
`scripted.py FOLDER` resumes it.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from evoae_cli.bench import hashed
from evoae_cli.bench.small import SMALL
from evoae_cli.evaluation.contract import Evaluation, EvaluationRequest, NetworkSpec, Request
from evoae_cli.outcome import Outcome
from evoae_cli.worker.runner import Progress, Run

RUNNER = "scripted:start"
SCRIPT, WEIGHTS = "EVOAE_TEST_SCRIPT", "EVOAE_TEST_WEIGHTS"
"""Environment variables: the folder of a script and its notes, and one with weights for every genotype."""

SETTINGS: dict[str, Any] = SMALL | {
    "generations": 3,
    "population": 4,
    "filters": (4, 8),
    "max_layers": 3,
    "device": "cpu",
    "workers": 2,
    "heartbeat_interval_s": 0.2,
}
"""A space of 155 genotypes, of which such a search trains about 20."""

Deed = Literal["ok", "hang", "crashed", "oom", "diverged", "poison"]
LAST_WORDS = "the last words of a worker"


class Note(NamedTuple):
    """An evaluation that a worker began."""

    genotype: str
    stage: str
    worker: int
    """Process id."""
    seconds: float
    """What it slept."""


class Script:
    """What the workers of this process, and of its children, are to do from now on, and what they have begun."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        os.environ[SCRIPT] = str(folder)
        os.environ[WEIGHTS] = str(_weights())
        self.write()

    def write(
        self, deeds: dict[str, Deed] | None = None, sleep_s: float = 0.0, sleeps: dict[str, float] | None = None
    ) -> None:
        """`deeds` by genotype, or by `final GENOTYPE`; all sleep `sleep_s` before, or as `sleeps` says."""
        text = json.dumps({"deeds": deeds or {}, "sleep_s": sleep_s, "sleeps": sleeps or {}})
        aside = self._folder / "aside"
        aside.write_text(text)
        aside.rename(self._folder / "script.json")

    def notes(self, stage: str = "search") -> list[Note]:
        """All that was begun in a stage so far, in order."""
        path = self._folder / "notes.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [note for note in (Note(*json.loads(line)) for line in lines) if note.stage == stage]

    def begun(self, stage: str = "search") -> list[str]:
        """The genotypes of these."""
        return [note.genotype for note in self.notes(stage)]


def start(device: str, threads: int) -> tuple[str, Run]:
    """A worker's start: nothing to load."""
    return "a scripted worker", run


def run(payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
    """Note what begins, and do as the script says."""
    request = msgspec.msgpack.decode(payload, type=Request)
    if not isinstance(request, EvaluationRequest) or request.stage == "test":
        return hashed.run(payload, progress)
    folder = Path(os.environ[SCRIPT])
    script = json.loads((folder / "script.json").read_text())
    name = request.genotype if request.stage == "search" else f"final {request.genotype}"
    seconds = script["sleeps"].get(request.genotype, script["sleep_s"]) * request.recipe.epochs
    with (folder / "notes.jsonl").open("a") as file:
        file.write(json.dumps([request.genotype, request.stage, os.getpid(), seconds]) + "\n")
    deed: Deed = script["deeds"].get(name, "ok")
    if deed == "hang":
        seconds = 3600.0
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
        progress(min(1.0, 1 - left / seconds))
    if deed == "poison":
        print(f"{LAST_WORDS}: {request.genotype}")
        os.kill(os.getpid(), signal.SIGSEGV)
    if deed == "crashed":
        raise RuntimeError("as the script says")
    outcome, body, reason = hashed.run(payload, progress)
    found = msgspec.msgpack.decode(body, type=Evaluation)
    if deed != "ok":
        outcome, reason = Outcome(deed), "as the script says"
        found = msgspec.structs.replace(found, outcome=outcome, reason=reason, scores=None)
    elif request.stage == "final":
        assert request.weights_out is not None
        shutil.copyfile(_file(Path(os.environ[WEIGHTS]), request.genotype), request.weights_out)
        found = msgspec.structs.replace(found, weights=request.weights_out)
    return outcome, msgspec.msgpack.encode(found), reason


def _file(folder: Path, genotype: str) -> Path:
    return folder / f"{genotype.replace(':', '-')}.safetensors"


def _weights() -> Path:
    """A folder with untrained weights for each genotype of the space: made once, where torch is loaded anyway."""
    folder = Path(os.environ["EVOAE_CACHE"], "scripted-weights")
    if folder.is_dir():
        return folder
    from itertools import product

    from safetensors.torch import save_file

    from evoae_cli.genome.genotype import Genotype
    from evoae_cli.phenotype.autoencoder import build, code_channels_for
    from evoae_cli.study.resolve import resolve
    from evoae_cli.study.setup import search_space

    config = resolve("denoise", SETTINGS)
    space = search_space(config, 3)
    ratio = config.code_fraction
    spec = NetworkSpec(
        channels=3,
        reductions=config.reductions,
        code_channels=None if ratio is None else code_channels_for(3, config.reductions, ratio),
        decoder=config.decoder,
    )
    folder.mkdir()
    for n in range(1, config.max_layers + 1):
        for layers in product(space.choices, repeat=n):
            genotype = Genotype(layers)
            save_file(build(genotype, spec).state_dict(), _file(folder, genotype.text))
    return folder


def refuse(text: str) -> None:
    """Take no warning."""
    raise AssertionError(f"no warning was expected: {text}")


def created(folder: Path, *, expected: Callable[[str], float] | None = None, **changes: Any) -> Any:
    """A new study of `SETTINGS` and `changes`."""
    from evoae_cli.study.resolve import resolve
    from evoae_cli.study.study import Study

    config = resolve("denoise", SETTINGS | changes)
    return Study.create(config, folder, warn=refuse, runner=RUNNER, expected=expected)


def opened(folder: Path, *, warn: Callable[[str], None] = refuse, is_retrying: bool = False, **changes: Any) -> Any:
    """A study that has begun."""
    from evoae_cli.study.study import Study

    return Study.open(folder, warn=warn, is_retrying=is_retrying, runner=RUNNER, **changes)


def course(folder: Path) -> tuple[Any, ...]:
    """All that two studies of one course have in common, to the last bit: what was found, and what was delivered."""
    import hashlib

    from safetensors.torch import load_file, save

    from evoae_cli.study.summary import history, summary

    found = summary(folder)
    names = ("proposed", "trained", "cache_hits", "in_flight_hits", "rejected", "crashed")
    counts = {key: found["counts"][key] for key in names}
    weights = hashlib.sha256(save(load_file(folder / "best" / "model.safetensors"))).hexdigest()
    return history(folder), found["best"], found["finalists"], found["front"], counts, weights


def main() -> int:
    """Lead a study as a command would, with its exit code."""
    from rich.console import Console

    from evoae_cli.app.running import Show, run_study

    folder = Path(sys.argv[1])
    study = created(folder, **json.loads(sys.argv[2])) if len(sys.argv) > 2 else opened(folder)
    return run_study(study, Show(Console(stderr=True), is_quiet=False, is_json=False), None)


if __name__ == "__main__":
    sys.exit(main())
