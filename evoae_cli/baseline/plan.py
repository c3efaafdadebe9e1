"""What a comparison consists of: its studies, in the order in which they run, and the file that says so."""

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from evoae_cli.baseline.protocols import FAIR, TITLES, Protocol
from evoae_cli.errors import StudyError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.locate import folders_in_runs, is_study, plain_path, study_path
from evoae_cli.wholefile import write_whole

PLAN = "baseline.json"
FORMAT = 1


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One study of a comparison."""

    protocol: Protocol | Literal["evolution"]
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.protocol}-{self.seed}"

    @property
    def title(self) -> str:
        """For people."""
        return "evolution" if self.protocol == "evolution" else TITLES[self.protocol]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison as it was asked for."""

    format: int = FORMAT
    objective: Objective
    settings: dict[str, Any]
    """All settings of the search that random architectures are compared with, or would be."""
    protocols: tuple[Protocol, ...]
    n_samples: int
    """Architectures of the paper's protocol."""
    against: str | None
    """Folder of the search; None where there is none, and so no fair protocol."""
    n_pairs: int
    """How many searches there are, the first of them `against`, each with fair comparisons of its own."""
    references: tuple[str, ...]
    """Hand-made networks to train: `dncnn`, `unet`."""
    is_measured: bool = False
    """Whether its studies have ended, and all else was measured, at least once."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The studies in the order in which they run: a search before what needs to know what it has trained."""
        first = self.settings["seed"]
        parts = [Part(protocol="paper", seed=first)] if "paper" in self.protocols else []
        for seed in range(first, first + self.n_pairs):
            if seed > first:
                parts.append(Part(protocol="evolution", seed=seed))
            parts += [Part(protocol=protocol, seed=seed) for protocol in FAIR if protocol in self.protocols]
        return tuple(parts)

    def search_of(self, folder: Path, seed: int) -> Path | None:
        """Where the search of a seed lies; None where nothing is compared with one. `folder` is the comparison's."""
        if self.against is None:
            return None
        if seed == self.settings["seed"]:
            return Path(self.against)
        return folder / Part(protocol="evolution", seed=seed).name


class _Format(msgspec.Struct):
    format: int


def is_baseline(folder: Path) -> bool:
    """Whether a comparison lies in this folder; False also where that may not be looked at."""
    return os.path.isfile(folder / PLAN)


def check_search(plan: Plan) -> None:
    """Raise StudyError where the search that random architectures are compared with is not where it was."""
    if plan.against is not None and not is_study(Path(plan.against)):
        raise StudyError(
            f"the search {plan.against} is not there any more; move it back, or compare it anew where it is"
        )


def list_baselines() -> list[Path]:
    """All comparisons in the runs folder, by name. Raises StudyError if it may not be looked at."""
    return folders_in_runs(is_baseline)


def named_baseline(name: str | None) -> Path | None:
    """The folder of the comparison that `name` means; None where it means none. Raises StudyError for no name."""
    if name is None:
        return None
    return next((folder for folder in (study_path(name), plain_path(name)) if is_baseline(folder)), None)


def write_plan(folder: Path, plan: Plan) -> None:
    """Write it into a folder that exists."""
    write_whole(folder / PLAN, msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")


def read_plan(folder: Path) -> Plan:
    """The comparison in `folder`. Raises StudyError where it cannot be read."""
    path = folder / PLAN
    try:
        content = path.read_bytes()
        number = msgspec.json.decode(content, type=_Format).format
        plan = msgspec.json.decode(content, type=Plan) if number == FORMAT else None
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except msgspec.MsgspecError as error:
        raise StudyError(f"{path} is no comparison of evoae: {error}; bring back a copy, or compare again") from error
    if plan is None:
        raise StudyError(f"{path} has format {number}, this version reads {FORMAT}; use the version that wrote it")
    return plan
