"""The floors of the house: a module imports only from its own room and the floors below, science never meets plumbing,
and what must start fast is free of torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent / "evoae_cli"
# Lowest first. The contract and the engine's protocol are plain values in which rooms speak to each other, so they lie
# below those that do.
FLOORS = (
    *(
        "version",
        "errors",
        "counted",
        "marks",
        "named",
        "outcome",
        "wholefile",
        "draws",
        "evaluation.noise",
        "evaluation.contract",
        "genome",
        "strategy",
        "phenotype",
        "evaluation",
    ),
    *(
        "broker",
        "engine.protocol",
        "hosts",
        "worker",
        "engine",
        "study",
        "applying",
        "baseline",
        "page",
        "interface",
        "bench",
        "app",
    ),
    *("__init__", "__main__"),
)
SCIENCE = {"genome", "strategy", "phenotype", "evaluation", "evaluation.noise", "evaluation.contract"}
PLUMBING = {"broker", "hosts"}
TORCH_FREE = {"genome", "strategy", "broker", "hosts", "study", "page", "app"}
FAST = {
    "evaluation.noise",
    "evaluation.contract",
    "engine.protocol",
    "study.config",
    "study.store",
    "study.snapshot",
    "app.main",
    "__init__",
}
TORCH = {"torch", "torchvision"}
MODULES = {".".join(path.relative_to(HOUSE).with_suffix("").parts): path for path in sorted(HOUSE.rglob("*.py"))}


def imports(tree: ast.AST, *, at_import_time: bool = False) -> Iterator[str]:
    """Full names of what is imported; `at_import_time` leaves out bodies of functions and of `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not at_import_time or not (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        ):
            yield from imports(node, at_import_time=at_import_time)


def module_of(name: str) -> str | None:
    """`evoae_cli.genome.layers.Conv2d` -> `genome.layers`; `evoae_cli.search` (a function) -> `__init__`; else None."""
    house, *parts = name.split(".")
    if house != HOUSE.name:
        return None
    for length in range(len(parts), 0, -1):
        for module in (".".join(parts[:length]), ".".join([*parts[:length], "__init__"])):
            if module in MODULES:
                return module
    return "__init__"


def floor_of(module: str) -> str:
    return module if module in FLOORS else module.split(".")[0]


def climbs(module: str, tree: ast.AST) -> list[str]:
    """The floors that a module reaches for though they are not below its own."""
    floor = floor_of(module)
    others = {floor_of(other) for name in imports(tree) if (other := module_of(name))} - {floor}
    wall = PLUMBING if floor in SCIENCE else SCIENCE if floor in PLUMBING else set()
    return sorted(other for other in others if FLOORS.index(other) > FLOORS.index(floor) or other in wall)


def loaded_by(module: str) -> set[str]:
    """What importing `module` loads: modules of the house, packages around them included, and the names of others."""
    loaded, waiting = set(), [module]
    while waiting:
        if (one := waiting.pop()) in loaded:
            continue
        loaded.add(one)
        parts = one.split(".")
        waiting += [around for n in range(len(parts)) if (around := ".".join([*parts[:n], "__init__"])) in MODULES]
        for name in imports(ast.parse(MODULES[one].read_text()), at_import_time=True):
            if inner := module_of(name):
                waiting.append(inner)
            else:
                loaded.add(name.split(".")[0])
    return loaded


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_room_and_the_floors_below(module: str) -> None:
    assert floor_of(module) in FLOORS, "a new room: give it a floor here and in the layout"
    assert climbs(module, ast.parse(MODULES[module].read_text())) == []


@pytest.mark.parametrize("module", [module for module in MODULES if floor_of(module) in TORCH_FREE])
def test_the_torch_free_rooms_import_torch_only_where_they_use_it(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    assert not TORCH & {name.split(".")[0] for name in imports(tree, at_import_time=True)}


@pytest.mark.parametrize(
    "module", [module for module in MODULES if module in FAST or floor_of(module) in {"genome", "strategy", "broker"}]
)
def test_what_must_start_fast_loads_no_torch_by_any_way(module: str) -> None:
    assert not TORCH & loaded_by(module)


@pytest.mark.parametrize(
    ("module", "source", "caught"),
    [
        ("genome.layers", "from evoae_cli.strategy.population import select", ["strategy"]),
        ("genome.layers", "def later():\n    import evoae_cli.study.config", ["study"]),
        ("broker.task", "from evoae_cli.genome import layers", ["genome"]),
        ("evaluation.contract", "from evoae_cli import broker", ["broker"]),
        ("study.config", "from evoae_cli import load", ["__init__"]),
        ("study.config", "import json\nfrom evoae_cli.errors import UsageError", []),
    ],
)
def test_an_import_that_leaves_its_floors_is_caught(module: str, source: str, caught: list[str]) -> None:
    assert climbs(module, ast.parse(source)) == caught


def test_imports_within_functions_and_for_types_do_not_count_as_loaded() -> None:
    source = (
        "if TYPE_CHECKING:\n    import torch\ndef f():\n    import torch\ntry:\n    import numpy\nfinally:\n    pass"
    )
    assert list(imports(ast.parse(source), at_import_time=True)) == ["numpy"]
    assert list(imports(ast.parse(source))) == ["torch", "torch", "numpy"]
