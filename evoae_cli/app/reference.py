"""What in `docs/` is made from the code: commands.md, and the states of a task in reliability.md.

`python -m evoae_cli.app.reference` writes both.

It reads what the commands declare, not what help prints, so the text is the same whatever the terminal.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from typer.main import get_command

from evoae_cli.app.main import app
from evoae_cli.app.options import SETTINGS, bare_type
from evoae_cli.broker.states import TRANSITIONS, Event, State
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.study.checks import option_name
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.presets import Preset
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settings import field_meta
from evoae_cli.wholefile import write_whole

DOCUMENT = Path(__file__).parents[2] / "docs" / "commands.md"
RELIABILITY = DOCUMENT.with_name("reliability.md")
_STATES_BEGIN = "<!-- Made from the code by `python -m evoae_cli.app.reference`: the states. -->\n"
_STATES_END = "<!-- End of the states. -->\n"

_BEGINNING = """\
# Commands

<!-- Made from the code by `python -m evoae_cli.app.reference`. Do not edit it here. -->

`evoae COMMAND --help` shows the same in the terminal; `evoae search --help-all` shows every setting.

stdout carries only the result. The live screen, lines, warnings and errors go to stderr.
"""

_ENDING = """\
## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed, or nobody read the result, as before a closed pipe |
| 2 | wrong use: the line on stderr says what to change |
| 130 | stopped by Ctrl-C or `evoae stop` |
| 143 | stopped by SIGTERM or SIGHUP |

## Environment

| variable | meaning |
|---|---|
| `EVOAE_RUNS` | folder of studies that are given a bare name (default: `runs` below the current folder) |
| `EVOAE_CACHE` | folder of prepared images and downloads (default: `$XDG_CACHE_HOME/evoae`, else `~/.cache/evoae`) |
| `EVOAE_KEY_FILE` | the key that hosts share, where `--key-file` is not given |
| `NO_COLOR` | no colours, if it is not empty |
"""

_SETTINGS_BEGINNING = """\
### Settings

The arguments of [`search(...)` in Python](python.md) and the keys of [`study.toml`](study-format.md) have the same
names, with `_` for `-`. A setting comes from the command line, else from the file of `--config`, else from the preset.
Where the preset's value depends on the objective, both are given. `--help` shows those in bold, `--help-all` all.

With `--space paper`, and with `--noisy-only`, preset `quick` has some other values than those below, which suit the
smaller networks and the noise that stays in the images; `--dry-run` lists the settings that hold.
"""


def document() -> str:
    """The whole text of `docs/commands.md`."""
    # The class of commands is typer's own, and it moved between typer's versions.
    root: Any = get_command(app)
    parts = [_BEGINNING, _overview(root)]
    for name, command in root.commands.items():
        parts.append(_command(name, command))
        if name == "search":
            parts += [_SETTINGS_BEGINNING, *_settings()]
    return "\n".join([*parts, _ENDING])


def with_states(text: str) -> str:
    """The text of `docs/reliability.md` with the table of states as the broker has it now."""
    before, begin, rest = text.partition(_STATES_BEGIN)
    _, end, after = rest.partition(_STATES_END)
    rows = [
        [f"*{event}*", *(TRANSITIONS.get((state, event), "") for state in (State.QUEUED, State.LEASED, State.LENT))]
        for event in Event
    ]
    table = _table(["event", "a queued task becomes", "a leased task becomes", "a lent task becomes"], rows)
    return f"{before}{begin}\n{table}\n{end}{after}"


def main() -> None:
    """Write both documents. Raises EvoaeError outside the repository, where there are none to write."""
    if not RELIABILITY.is_file():
        raise EvoaeError(f"there is no {RELIABILITY}; run this from a checkout of evoae")
    write_whole(DOCUMENT, document().encode())
    write_whole(RELIABILITY, with_states(RELIABILITY.read_text(encoding="utf-8")).encode())
    sys.stdout.write(f"{DOCUMENT}\n{RELIABILITY}\n")


def _overview(root: Any) -> str:
    rows = [[f"[`evoae {name}`](#evoae-{name})", _first_line(command.help)] for name, command in root.commands.items()]
    # typer words its own options differently by version, so they are described here.
    options = [
        ["`--version`", "Print the version, and exit."],
        ["`--help`, `-h`", "Show what a command does and takes, and exit; every command has it."],
        ["`--install-completion`", "Teach the shell in use to complete commands, options and names of studies."],
        ["`--show-completion`", "Print what `--install-completion` would install."],
    ]
    return f"{_table(['command', 'what it does'], rows)}\n{_table(['option of `evoae` itself', 'meaning'], options)}"


def _command(name: str, command: Any) -> str:
    own = [parameter for parameter in command.params if name != "search" or parameter.name not in SETTINGS]
    usage = " ".join(filter(None, ["evoae", name, *map(_in_usage, own), "[OPTIONS]"]))
    rows = [[_signature(parameter), parameter.help] for parameter in own]
    table = _table(["argument or option", "meaning"], rows)
    return f"## evoae {name}\n\n{command.help}\n\n```text\n{usage}\n```\n\n{table}"


def _in_usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        repeated = "..." if parameter.nargs == -1 else ""
        return f"{parameter.metavar}{repeated}" if parameter.required else f"[{parameter.metavar}]{repeated}"
    return f"{parameter.opts[-1]} {parameter.metavar}" if parameter.required else ""


def _signature(parameter: Any) -> str:
    """`--output OUT`, `-o OUT`, as code."""
    if parameter.param_type_name == "argument":
        return _code(parameter.metavar)
    return ", ".join(
        _code(f"{name} {parameter.metavar or ''}") for name in [*parameter.opts, *parameter.secondary_opts]
    )


def _settings() -> Iterator[str]:
    """One table for each panel of the help."""
    options = {parameter.name: parameter for parameter in _search().params}
    panels: dict[str, list[str]] = {}
    for name in SETTINGS:
        panels.setdefault(_extra(name)["panel"], []).append(name)
    for panel, names in panels.items():
        rows = []
        for name in names:
            signature, meta = _signature(options[name]), field_meta(name)
            defaults = [_default(name, preset) for preset in get_args(Preset)]
            shown = f"**{signature}**" if _extra(name)["main"] else signature
            rows.append([shown, f"{meta.description}{_bounds(name)}", *defaults])
        yield f"#### {panel}\n\n{_table(['option', 'meaning', *get_args(Preset)], rows)}"


def _search() -> Any:
    root: Any = get_command(app)
    return root.commands["search"]


def _extra(name: str) -> dict[str, Any]:
    return field_meta(name).extra or {}


def _bounds(name: str) -> str:
    """` (8 to 4096)`, ` (at least 1)`, ` (above 0, at most 1)`; nothing where any value goes."""
    meta = field_meta(name)
    if meta.ge is not None and meta.le is not None:
        # Nobody writes a seed of 2^63 - 1; as a number it would only be in the way.
        return f" ({meta.ge} to {meta.le})" if meta.le < 2**31 else f" (at least {meta.ge})"
    limits = [("above", meta.gt), ("at least", meta.ge), ("at most", meta.le)]
    text = ", ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)
    return f" ({text})" if text else ""


def _default(name: str, preset: Preset) -> str:
    if name == "preset":
        return "the default" if preset == "quick" else ""
    values = {objective: _written(name, resolve(objective, {"preset": preset})) for objective in get_args(Objective)}
    if len(set(values.values())) == 1:
        return values["denoise"]
    return ", ".join(f"{value} for {objective}" for objective, value in values.items())


def _written(name: str, config: StudyConfig) -> str:
    """A setting as it is written on the command line; a flag by the name that gives it; nothing for None."""
    value = getattr(config, name)
    if value is None or value == ():
        return ""
    if bare_type(name) is bool:
        return _code(option_name(name) if value else f"--no-{option_name(name)[2:]}")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _code(",".join(map(str, value)))
    return _code(f"{value:g}" if isinstance(value, float) else str(value))


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]


def _code(text: str) -> str:
    return f"`{text.strip()}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        # A bar would end the cell, in code too, and what stands in angle brackets would be taken for HTML.
        return "| " + " | ".join(cell.replace("|", r"\|").replace("<", "&lt;") for cell in cells) + " |\n"

    return line(head) + "|" + "---|" * len(head) + "\n" + "".join(map(line, rows))


if __name__ == "__main__":
    main()
