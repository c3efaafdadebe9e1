import json
import os

import pytest

from evoae_cli.bench.report import Machine, Report, formatted, options, this_machine

MACHINE = Machine(cpu="Some CPU", cores=2, system="Linux x86_64", python="3.12.1", torch="2.8.0", load=0.25)
REPORT = Report(
    benchmark="speed",
    goal="fast",
    columns=("what", "per second"),
    rows=(("`a`", "10"), ("`bcd`", "9")),
    figures={"a": 10.0, "bcd": 9.0},
)


def printed(*arguments: str) -> str:
    return formatted(REPORT, MACHINE, options("").parse_args(arguments))


def test_people_get_an_aligned_table_with_machine_and_goal() -> None:
    assert printed().splitlines() == [
        "Some CPU, 2 cores, Linux x86_64, Python 3.12.1, PyTorch 2.8.0, load 0.2 before the start",
        "what   per second",
        "`a`    10",
        "`bcd`  9",
        "goal: fast",
    ]


def test_markdown_is_what_the_documentation_holds() -> None:
    lines = printed("--markdown").splitlines()
    assert lines[0] == MACHINE.line() + ":"
    assert lines[1:] == ["", "| what | per second |", "| --- | --- |", "| `a` | 10 |", "| `bcd` | 9 |"]


def test_json_is_one_object_with_the_figures() -> None:
    found = json.loads(printed("--json"))
    assert (found["benchmark"], found["figures"]) == ("speed", REPORT.figures)
    assert found["machine"]["torch"] == "2.8.0"


def test_two_forms_at_once_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        printed("--json", "--markdown")
    assert "not allowed with" in capsys.readouterr().err


def test_this_machine_is_described() -> None:
    machine = this_machine()
    assert machine.cpu
    assert machine.torch
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
