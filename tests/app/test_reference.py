"""docs/commands.md and the states in docs/reliability.md are made from the code, and are fresh."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from evoae_cli.app import reference
from evoae_cli.app.main import app
from evoae_cli.app.options import SETTINGS
from evoae_cli.broker.states import TRANSITIONS, State
from evoae_cli.errors import EvoaeError
from evoae_cli.study.checks import option_name
from evoae_cli.study.presets import PRESETS, Preset, default_space, preset_settings
from evoae_cli.study.settings import field_meta


def rows(text: str, option: str) -> list[list[str]]:
    """Cells of the table rows that describe `option`."""
    lines = [line for line in text.splitlines() if re.match(rf"\| (\*\*)?`{option}[` ]", line)]
    return [[cell.strip() for cell in line.strip("|").replace(r"\|", "/").split("|")] for line in lines]


def test_the_file_is_what_the_generator_gives_now() -> None:
    assert reference.DOCUMENT.read_text(encoding="utf-8") == reference.document(), (
        "docs/commands.md is stale; renew it: python -m evoae_cli.app.reference"
    )


def test_the_states_are_those_of_the_broker_now() -> None:
    text = reference.RELIABILITY.read_text(encoding="utf-8")
    assert text == reference.with_states(text), (
        "docs/reliability.md is stale; renew it: python -m evoae_cli.app.reference"
    )
    for (state, event), following in TRANSITIONS.items():
        [row] = [line for line in text.splitlines() if line.startswith(f"| *{event}* |")]
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[{State.QUEUED: 2, State.LEASED: 3, State.LENT: 4}[state]] == following


@pytest.mark.parametrize(
    "terminal", [{"COLUMNS": "40", "TERM": "dumb"}, {"COLUMNS": "200", "FORCE_COLOR": "1", "TERM": "xterm"}]
)
def test_the_text_is_the_same_whatever_the_terminal(terminal: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference.document()
    for key, value in terminal.items():
        monkeypatch.setenv(key, value)
    assert reference.document() == before


def test_every_command_and_every_option_of_it_is_there_with_its_meaning() -> None:
    root: Any = get_command(app)
    text = reference.document()
    for name, command in root.commands.items():
        section = text.partition(f"\n## evoae {name}\n")[2].partition("\n## ")[0]
        assert command.help in section
        for parameter in command.params:
            if parameter.name not in SETTINGS:
                assert parameter.help.replace("<", "&lt;") in section
            if parameter.param_type_name == "option":
                for option in [*parameter.opts, *parameter.secondary_opts]:
                    assert f"`{option}`" in section or f"`{option} " in section, (name, option)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_its_meaning_and_its_value_in_each_preset(name: str) -> None:
    [cells] = [found for found in rows(reference.document(), option_name(name)) if len(found) == 2 + len(PRESETS)]
    assert cells[1].startswith(field_meta(name).description or "?")
    for preset, shown in zip(get_args(Preset), cells[2:], strict=True):
        value = preset_settings(preset, "denoise", default_space(preset)).get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert shown.startswith(f"`{value:g}`")


def test_settings_whose_value_depends_on_the_objective_name_both() -> None:
    [cells] = [found for found in rows(reference.document(), "--final-epochs") if len(found) > 2]
    assert cells[2:] == ["`90`", "`20` for denoise, `40` for manifold"]


def test_outside_the_repository_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "DOCUMENT", tmp_path / "docs" / "commands.md")
    monkeypatch.setattr(reference, "RELIABILITY", tmp_path / "docs" / "reliability.md")
    with pytest.raises(EvoaeError, match="run this from a checkout"):
        reference.main()
    assert not list(tmp_path.iterdir())


def test_it_writes_the_files_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = reference.RELIABILITY.read_text(encoding="utf-8")
    stale = tmp_path / "reliability.md"
    stale.write_text(text.replace("| leased |", "| gone |"), encoding="utf-8")
    monkeypatch.setattr(reference, "DOCUMENT", tmp_path / "commands.md")
    monkeypatch.setattr(reference, "RELIABILITY", stale)
    reference.main()
    assert capsys.readouterr().out == f"{tmp_path / 'commands.md'}\n{stale}\n"
    assert (tmp_path / "commands.md").read_text(encoding="utf-8") == reference.document()
    assert stale.read_text(encoding="utf-8") == text
