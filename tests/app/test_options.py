"""The command line's options and StudyConfig are one thing."""

import inspect
from typing import Any

import pytest
from typer.main import get_command

from evoae_cli.app.main import app
from evoae_cli.app.options import SETTINGS, parsed
from evoae_cli.app.resume import resume
from evoae_cli.app.search import resolved_config, search
from evoae_cli.app.train import train
from evoae_cli.errors import UsageError
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settings import CHANGEABLE, OF_SEARCH, OF_TRAINING, field_meta, field_names

HOSTS = {"listen", "link", "nameserver", "key_file"}
"""Options of searches alone, for other hosts."""
ENGINE = {"engine", "ray_address", "cpus_per_task", "gpus_per_task"}
"""Options that say where evaluations run."""
OWN = {"study", "config", "time_limit", "force", "is_opened", "dry_run", "as_json", "quiet", "debug", "help_all"}


def options_of(command: str) -> dict[str, Any]:
    """What typer made of a command's parameters, by name."""
    return {parameter.name: parameter for parameter in get_command(app).commands[command].params}  # type: ignore[attr-defined]


def test_search_has_an_option_for_every_setting_and_the_objective_as_argument() -> None:
    assert set(inspect.signature(search).parameters) - OWN - HOSTS - ENGINE == {"objective", *SETTINGS}
    assert {"objective", *SETTINGS, *OF_TRAINING} == set(field_names())


def test_train_has_an_option_for_every_setting_that_concerns_no_search() -> None:
    own = OWN - {"time_limit"}
    assert set(inspect.signature(train).parameters) - own == set(field_names()) - set(OF_SEARCH)


def test_options_carry_the_name_and_the_meaning_of_their_setting() -> None:
    options = options_of("search")
    for name in SETTINGS:
        assert options[name].opts[0] == "--" + name.replace("_", "-")
        assert options[name].help.startswith(field_meta(name).description)


def test_no_option_has_a_default_so_that_given_and_not_given_can_be_told_apart() -> None:
    parameters = inspect.signature(search).parameters
    assert all(parameters[name].default is None for name in SETTINGS)


def test_what_resume_may_change_are_settings() -> None:
    assert set(CHANGEABLE) < set(SETTINGS)
    assert set(CHANGEABLE) <= set(inspect.signature(resume).parameters)


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("filters", "8,16", (8, 16)),
        ("kernels", "3", (3,)),
        ("range", ("-1", "4095.5"), (-1.0, 4095.5)),
        ("epochs", "7", 7),
        ("workers", "2", 2),
        ("lr", "1e-3", 1e-3),
        ("flips", False, False),
        ("preset", "paper", "paper"),
        ("data", "8,16", "8,16"),
        ("pairs", ("1", "b,c"), ("1", "b,c")),
        ("seed", None, None),
        ("objectives", "fitness, parameters", ("fitness", "parameters")),
        ("start_from", ["3x3conv2d:8,3x3conv2d:8", "mine"], ("3x3conv2d:8,3x3conv2d:8", "mine")),
        ("max_code", "64", 64),
    ],
)
def test_what_is_written_becomes_what_the_settings_hold(name: str, written: Any, value: Any) -> None:
    assert parsed(name, written) == value
    assert getattr(resolve("denoise", {name: parsed(name, written)}), name) == getattr(
        resolve("denoise", {name: value}), name
    )


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("filters", "8,a"),
        ("filters", "8,,16"),
        ("range", ("0", "b")),
        ("epochs", "2.5"),
        ("lr", "fast"),
        ("preset", "fast"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_option(name: str, written: Any) -> None:
    with pytest.raises(UsageError, match=f"--{name}.*'.*'"):
        parsed(name, written)


def test_every_default_that_help_names_can_be_written_as_it_stands_there() -> None:
    quick = resolve("denoise")
    for name in ("filters", "kernels", "lr", "epochs", "patch", "sigma2", "code_ratio"):
        shown = (
            options_of("search")[name]
            .help.rpartition("quick: ")[2]
            .removesuffix(")")
            .removesuffix(" for denoise")
            .split(" for denoise")[0]
        )
        assert parsed(name, shown) == getattr(quick, name)


def test_without_objective_and_file_the_remedy_is_named() -> None:
    with pytest.raises(UsageError, match="evoae search denoise"):
        resolved_config(None, None, {})


def test_options_override_the_file_and_the_file_the_preset(tmp_path: Any) -> None:
    file = tmp_path / "study.toml"
    file.write_text('objective = "manifold"\nepochs = 7\nseed = 5\n[record]\nfingerprint = "x"\n')
    config = resolved_config(None, file, {"seed": 6})
    assert (config.objective, config.epochs, config.seed) == ("manifold", 7, 6)
    assert config.population == resolve("manifold").population


def test_the_file_of_a_training_is_not_searched_with(tmp_path: Any) -> None:
    file = tmp_path / "study.toml"
    file.write_text('objective = "denoise"\ngenotype = "3x3conv2d:8"\n')
    with pytest.raises(UsageError, match="write: evoae train denoise --config"):
        resolved_config("denoise", file, {})


def test_a_file_for_another_objective_is_refused(tmp_path: Any) -> None:
    file = tmp_path / "study.toml"
    file.write_text('objective = "manifold"\n')
    with pytest.raises(UsageError, match="is for manifold, not denoise"):
        resolved_config("denoise", file, {})
