"""The command as a process: exit codes, streams, one line for a mistake, and what is not imported."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evoae_cli.app.main import run

RUN = "from evoae_cli.app.main import run; run()"


def evoae(*args: str, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    root = Path(__file__).parents[2]
    keep = {key: value for key, value in os.environ.items() if not key.startswith("EVOAE_")}
    environment = keep | {"PYTHONPATH": str(root), "COLUMNS": "80", "NO_COLOR": "1"} | environ
    command = [sys.executable, "-c", RUN, *args]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["search", "--help"],
        ["search", "--help-all"],
        ["list"],
        ["--version"],
        ["show", "x"],
        ["resume", "-h"],
    ],
)
def test_what_must_be_quick_imports_neither_torch_nor_numpy(args: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\nfrom evoae_cli.app.main import run\n"
        f"try:\n    run({args!r})\nexcept SystemExit:\n"
        "    print('loaded', sorted({'torch', 'numpy', 'skimage'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "EVOAE_RUNS": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.endswith("loaded []\n")


def test_help_shows_what_matters_and_help_all_shows_everything(tmp_path: Path) -> None:
    def options(text: str) -> set[str]:
        return set(re.findall(r"--[a-z0-9-]+", text))

    short, full = (
        options(evoae("search", flag, cwd=tmp_path, COLUMNS="160").stdout) for flag in ("--help", "--help-all")
    )
    assert {"--population", "--generations", "--data", "--noise", "--seed", "--workers"} <= short
    assert not {"--heartbeat-timeout-s", "--channels-last", "--batch-size"} & short
    assert short < full
    from evoae_cli.app.options import SETTINGS

    assert {"--" + name.replace("_", "-") for name in SETTINGS} <= full


def test_help_all_is_ordered_in_panels(tmp_path: Path) -> None:
    text = evoae("search", "--help-all", cwd=tmp_path).stdout
    places = [
        text.index(f"─ {panel} ─") for panel in ("Study", "Images", "Noise", "Search space", "Evolution", "Training")
    ]
    assert places == sorted(places)


def test_commands_are_listed_in_the_order_of_their_use(tmp_path: Path) -> None:
    text = evoae("--help", cwd=tmp_path).stdout
    found = re.findall(r"│ (search|resume|show|list|denoise|doctor) ", text)
    assert found == ["search", "resume", "show", "list", "denoise", "doctor"]


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    assert evoae(cwd=tmp_path).stdout.strip() == evoae("--help", cwd=tmp_path).stdout.strip()


def test_the_version_is_printed_on_stdout(tmp_path: Path) -> None:
    from evoae_cli.version import __version__

    assert evoae("--version", cwd=tmp_path).stdout == f"evoae {__version__}\n"


def test_no_colour_is_written_where_none_is_wanted(tmp_path: Path) -> None:
    done = evoae("--help", cwd=tmp_path, FORCE_COLOR="1", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", done.stdout)


def test_a_list_without_studies_says_how_to_start_one(tmp_path: Path) -> None:
    done = evoae("list", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "evoae search denoise" in done.stderr
    assert evoae("list", "--json", cwd=tmp_path).stdout == "[]\n"


def test_a_bug_is_one_line_that_names_a_log_with_the_traceback(tmp_path: Path) -> None:
    # No bug is known, so one is put in.
    (tmp_path / "runs" / "odd").mkdir(parents=True)
    (tmp_path / "runs" / "odd" / "study.db").write_bytes(b"")
    program = "import evoae_cli.study.summary as s; s.summary = lambda folder: 1 / 0\n" + RUN
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "TMPDIR": str(tmp_path), "COLUMNS": "40"}
    environment.pop("EVOAE_RUNS", None)

    def show(*options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", program, "show", "odd", *options]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    done = show()
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    log = Path(line.rpartition(" ")[2])
    assert "ZeroDivisionError" in line
    assert "Traceback" in log.read_text()
    debugged = show("--debug")
    assert debugged.returncode == 1
    assert "Traceback" in debugged.stderr


def test_windows_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(["list"], platform="win32")
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "evoae does not run on Windows; use Linux, macOS, or WSL2 on Windows"
    ]


def test_the_shell_completes_commands_options_and_study_names(tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        for file in ("study.db", "study.toml"):
            (tmp_path / "runs" / name / file).touch()

    def completions(words: str) -> set[str]:
        n = str(len(words.split(" ")) - 1)
        done = evoae(cwd=tmp_path, _EVOAE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=n)
        return set(done.stdout.split())

    assert "search" in completions("evoae se")
    assert completions("evoae show ") == {"alpha", "beta"}
    assert completions("evoae resume al") == {"alpha"}
    assert completions("evoae search denoise --preset ") == {"quick", "paper"}


def test_help_fits_80_columns_with_every_name_whole_and_no_type_of_python(tmp_path: Path) -> None:
    for args in (["--help"], ["search", "--help-all"], ["show", "--help"], ["denoise", "--help"]):
        text = evoae(*args, cwd=tmp_path).stdout
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        assert not re.search(r"<(str|bool|int|path|file)>", text)
    from evoae_cli.app.options import SETTINGS

    full = evoae("search", "--help-all", cwd=tmp_path).stdout
    assert all(f" --{name.replace('_', '-')} " in full for name in SETTINGS)


@pytest.mark.parametrize("args", ["list --json", "--version", "search --help-all"])
def test_a_result_that_cannot_be_written_is_one_line_and_exit_code_1(args: str, tmp_path: Path) -> None:
    for redirection, part in ((">/dev/full", "No space left"), (">&-", "stdout is closed")):
        done = shell(f"{args} {redirection}", tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        [line] = done.stderr.splitlines()
        assert part in line


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "2>&- <&-"])
def test_without_a_place_for_errors_the_result_and_the_exit_code_still_come(redirection: str, tmp_path: Path) -> None:
    done = shell(f"list --json {redirection}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    assert shell(f"show nowhere {redirection}", tmp_path).returncode == 2
    assert shell(f"list >&- {redirection}", tmp_path).returncode == 1


def test_what_is_opened_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    program = (
        "import os\nfrom evoae_cli.app.console import fill_streams\n"
        "is_open = fill_streams()\nnew = os.open('/', os.O_RDONLY)\nraise SystemExit(10 * is_open + (new > 2))"
    )
    root = Path(__file__).parents[2]
    for redirection, code in (("", 11), ("<&- >&- 2>&-", 1), ("2>&-", 11)):
        line = f'exec "$0" -c "$1" {redirection}'
        done = subprocess.run(
            ["bash", "-c", line, sys.executable, program],
            env=os.environ | {"PYTHONPATH": str(root)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code


def test_a_signal_while_pytorch_is_loading_ends_with_143_and_leaves_nothing(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "temporary").mkdir()
    places = {"TMPDIR": str(tmp_path / "temporary"), "EVOAE_CACHE": str(tmp_path / "cache")}
    for number in (signal.SIGTERM, signal.SIGHUP):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "search", "denoise", "--dry-run"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(root)} | places,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert "measuring" in process.stderr.readline()
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stdout) == (143, "")
        assert "Traceback" not in stderr
        assert "bug" not in stderr
        assert list((tmp_path / "temporary").iterdir()) == []


def shell(arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """`evoae` with arguments and redirections as bash reads them."""
    root = Path(__file__).parents[2]
    keep = {key: value for key, value in os.environ.items() if not key.startswith("EVOAE_")}
    return subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" {arguments}', sys.executable, RUN],
        cwd=cwd,
        env=keep | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
