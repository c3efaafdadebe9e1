"""Makes and opens the studies of a comparison."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from evoae_cli.baseline.drawing import architectures
from evoae_cli.baseline.plan import Part, Plan
from evoae_cli.baseline.protocols import FAIR, Spent, layers_of, settings_of
from evoae_cli.baseline.spent import spent_of
from evoae_cli.engine.local import local_engine
from evoae_cli.engine.terms import MakeEngine
from evoae_cli.errors import UsageError
from evoae_cli.study.checks import timeout_for
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.forgetting import SEARCH_STATE
from evoae_cli.study.locate import is_study
from evoae_cli.study.resolve import EARLIER, resolve
from evoae_cli.study.setup import limits_of, prepare, search_space
from evoae_cli.study.store import Store
from evoae_cli.study.study import RUNNER, Study

_UNSHARED = ("start_from", "output")
"""Settings of the search that random architectures do not have: they start from nothing, and clean no images."""


def open_part(
    folder: Path,
    plan: Plan,
    part: Part,
    *,
    warn: Callable[[str], None],
    runner: str = RUNNER,
    make_engine: MakeEngine = local_engine,
    is_retrying: bool = False,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Study:
    """The study of `part` in the comparison in `folder`, made if it is not there; `changes` as `Study.open` takes them.

    Raises UsageError, ImageError or StudyError in one line: for a search that has not ended, and for a space that has
    not enough architectures.
    """
    place = folder / part.name
    if is_study(place):
        return Study.open(place, warn=warn, runner=runner, make_engine=make_engine, is_retrying=is_retrying, **changes)
    plan = msgspec.structs.replace(plan, settings={**plan.settings, **changes})
    config = _search(plan, part.seed) if part.protocol == "evolution" else _random(folder, plan, part, warn)
    return Study.create(config, place, warn=warn, runner=runner, make_engine=make_engine)


def _search(plan: Plan, seed: int) -> StudyConfig:
    """Another search like the first, with as many generations as that one has closed, if its time was up before."""
    assert plan.against is not None
    settings = plan.settings
    store = Store.read(Path(plan.against))
    try:
        generations = settings["generations"]
        if store.meta("state") == "time-up":
            generations = min(generations, max(0, _n_closed(store, settings["mode"]) - 1))
    finally:
        store.close()
    own = {"seed": seed, "generations": generations, "final_epochs": spent_of(Path(plan.against)).final_epochs}
    return resolve(plan.objective, EARLIER, settings, own)


def _n_closed(store: Store, mode: str) -> int:
    """Generations of a search all of whose candidates have ended, the start included."""
    if mode == "generational":
        return len(store.generations())
    state = store.meta(SEARCH_STATE) or {"fitness_runs": []}
    return sum(n for _, n in state["fitness_runs"])


def _random(folder: Path, plan: Plan, part: Part, warn: Callable[[str], None]) -> StudyConfig:
    """The settings of a study that trains random architectures."""
    assert part.protocol != "evolution"
    spent: Spent | None = None
    if part.protocol in FAIR:
        search = plan.search_of(folder, part.seed)
        assert search is not None
        spent = spent_of(search)
        if plan.settings["start_from"]:
            warn(
                f"{search} began with known architectures, whose search is not counted: the comparison is in its favour"
            )
        if len(plan.settings["objectives"]) > 1:
            warn(
                f"{search} looked for {' and '.join(plan.settings['objectives'])}, and chance is ranked by fitness "
                "alone: the comparison is to the disadvantage of evolution"
            )
    shared = {name: value for name, value in plan.settings.items() if name not in _UNSHARED} | {"seed": part.seed}
    # Beside a search the paper's protocols draw longer modules than it may have; alone, what was asked for.
    most = shared["max_layers"] if plan.against is None else layers_of(part.protocol, shared["max_layers"])
    wide = resolve(plan.objective, EARLIER, shared, {"max_layers": most})
    setup = prepare(wide, warn)
    limits = limits_of(setup.requests(folder))
    drawn = architectures(
        part.protocol,
        plan.n_samples,
        spent,
        search_space(setup.config, setup.images.channels),
        (lambda genotype: True) if limits is None else limits.admits,
        part.seed,
    )
    if len(drawn) < 2:
        raise UsageError(
            f"{part.title}: the search space has {len(drawn)} such architecture within the limits, and two are needed; "
            "allow more layers, kernels or filters, or raise the limits"
        )
    settings = msgspec.to_builtins(wide)
    own = settings_of(part.protocol, settings, drawn, spent)
    return resolve(plan.objective, EARLIER, own, {"timeout": timeout_for(own["epochs"], settings)})
