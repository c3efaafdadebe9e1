"""What the documents say can be done: commands parse, links lead somewhere, Python code runs."""

import io
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.main import get_command

import evoae_cli
from evoae_cli.app.main import app, run
from evoae_cli.app.options import SETTINGS, parsed
from evoae_cli.applying.codefile import CodedImage, CodeFile, to_npz
from evoae_cli.applying.codes import fingerprint
from evoae_cli.bench.small import SMALL
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Evaluation
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settings import CHANGEABLE
from evoae_cli.study.setup import search_space
from evoae_cli.study.snapshot import State
from evoae_cli.study.summary import history, summary
from evoae_cli.study.trainsettings import TRAIN_SETTINGS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = ROOT / "docs" / "examples"
OUTPUT = ("text", "json", "toml", "python", "csv", "sql")
"""Languages of blocks that hold no command lines."""


class Command(NamedTuple):
    where: str
    words: tuple[str, ...]
    """What follows `evoae`."""
    is_whole: bool
    """It stands in a block, to be copied; what stands within a sentence may be a part."""

    def __str__(self) -> str:
        return f"{self.where}: evoae {' '.join(self.words)}"


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands_in(path: Path) -> Iterator[Command]:
    """Every command line of evoae in a document."""
    text = path.read_text(encoding="utf-8")
    for language, block in blocks(text):
        if language not in OUTPUT:
            yield from (Command(path.name, words, True) for words in calls(re.sub(r" # .*", "", block)))
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`(evoae [^`]+)`", prose):
        yield from (Command(path.name, words, False) for words in calls(" ".join(span.split())))


def calls(shell: str) -> Iterator[tuple[str, ...]]:
    """What follows `evoae` in each call of it: `cd x && evoae show y | jq` -> `("show", "y")`."""
    lexer = shlex.shlex(shell.replace("\\\n", " "), posix=True, punctuation_chars="&|;>\n")
    lexer.whitespace_split, lexer.whitespace, lexer.commenters = True, " \t", ""
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("&|;>\n"):
            # A program may stand behind variables that are set for it, and in a folder.
            while words and "=" in words[0]:
                words.pop(0)
            if words and words[0].rpartition("/")[2] == "evoae":
                yield tuple(words[1:])
            words = []
        else:
            words.append(word)


def commands_of(path: Path) -> Iterator[Command]:
    """Every command line of evoae in a manifest for Kubernetes."""
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] == "RayJob":
            shell, flag, script = shlex.split(document["spec"]["entrypoint"])
            assert (shell, flag) == ("sh", "-c")
            script = re.sub(r"\b(then|else) exec ", "", script)
            yield from (Command(path.name, words, True) for words in calls(script))
        elif "template" in document["spec"]:
            (container,) = document["spec"]["template"]["spec"]["containers"]
            if "command" in container:
                shell = re.sub(r"^ *(then|else) exec ", "", container["args"][0], flags=re.MULTILINE)
                yield from (Command(path.name, words, True) for words in calls(shell))
            else:
                yield Command(path.name, tuple(container["args"]), True)


COMMANDS = [command for path in DOCUMENTS for command in commands_in(path)]
COMMANDS += [command for path in sorted((ROOT / "docs" / "kubernetes").glob("*.yaml")) for command in commands_of(path)]


def test_the_documents_hold_commands() -> None:
    assert {"README.md", "tutorial.md"} <= {command.where for command in COMMANDS}
    assert {"search", "train", "resume", "show", "list", "denoise", "encode", "decode", "export", "doctor"} <= {
        name for c in COMMANDS for name in c.words[:1]
    }


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_line_in_the_documents_parses(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    root: Any = get_command(app)
    name, *words = command.words
    if name.startswith("-"):
        assert name in {"--help", "-h", *(option for parameter in root.params for option in parameter.opts)}
        return
    if name == "COMMAND":
        return
    assert name in root.commands
    context = root.commands[name].make_context(name, [], resilient_parsing=True)
    context.resilient_parsing = False
    parser = root.commands[name].make_parser(context)
    given, rest, _ = parser.parse_args([word for word in words if word not in ("--help", "-h")])
    assert rest == []
    if command.is_whole and not {"--help", "-h", "--help-all"} & set(words):
        missing = [
            p.name
            for p in root.commands[name].params
            if p.required and not isinstance(given.get(p.name), str | list | tuple)
        ]
        assert missing == []
        check_settings(name, given)


def check_settings(name: str, given: dict[str, Any]) -> None:
    """Raise UsageError for values that no study takes."""
    names = {"search": SETTINGS, "train": TRAIN_SETTINGS, "resume": CHANGEABLE}.get(name, ())
    values = {key: parsed(key, given[key]) for key in names if isinstance(given.get(key), str | tuple | bool)}
    if isinstance(given.get("objective"), str):
        resolve(given["objective"], values)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{path.name} links to {link}"
        assert target.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{path.name} links to {link}"


def anchors(text: str) -> set[str]:
    """What the headings of a document are called in links, by the rules of GitHub."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_the_documents_compiles(path: Path) -> None:
    for language, block in blocks(path.read_text(encoding="utf-8")):
        if language == "python":
            compile(block, path.name, "exec")


def test_the_python_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With less of everything, so that it takes seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVOAE_RUNS")
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 255, (65, 64, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    Image.fromarray(rng.integers(0, 255, (65, 67, 3), dtype=np.uint8)).save(tmp_path / "noisy.png")
    real, n_searches = evoae_cli.search, 0

    def small_search(objective: Any = "denoise", **settings: Any) -> Any:
        nonlocal n_searches
        n_searches += 1
        return real(objective, **settings | SMALL | {"generations": 0, "finalists": 1, "workers": 1, "progress": False})

    def small_resume(study: Any, **changes: Any) -> Any:
        return real_resume(study, progress=False, **changes | {"generations": 1})

    def small_train(objective: Any = None, **settings: Any) -> Any:
        # With a start, what is left comes from there.
        small = {} if "from_model" in settings else {name: SMALL[name] for name in SMALL if name in TRAIN_SETTINGS}
        return real_train(objective, **settings | small | {"epochs": 1, "workers": 1, "progress": False})

    def quiet_baseline(**given: Any) -> Any:
        return real_baseline(progress=False, **given)

    real_resume, real_train, real_baseline = evoae_cli.resume, evoae_cli.train, evoae_cli.random_baseline
    monkeypatch.setattr(evoae_cli, "random_baseline", quiet_baseline, raising=False)
    monkeypatch.setattr(evoae_cli, "train", small_train, raising=False)
    monkeypatch.setattr(evoae_cli, "search", small_search, raising=False)
    monkeypatch.setattr(evoae_cli, "resume", small_resume, raising=False)
    names: dict[str, Any] = {"__name__": "__main__"}
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    for language, block in blocks(page):
        if language == "python":
            exec(compile(block, "python.md", "exec"), names)
    assert n_searches >= 1
    (verdict,) = names["chance"].verdicts
    assert verdict.line.startswith(f"evolution is {abs(verdict.difference.mean):.2f} dB ")
    assert {row.name for row in names["chance"].rivals} > {"evolution", "random, 1 to 10 layers", "wavelet"}
    # Called again with its name, it goes on: there is nothing left to do.
    assert real_baseline(study="chance", progress=False) == names["chance"]
    assert {"clean.png", "model.onnx", "encoder.onnx"} <= {path.name for path in tmp_path.iterdir()}


def test_the_python_on_the_page_of_codes_runs_on_what_its_commands_write(
    finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = evoae_cli.load_model(finished_study)
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), dtype=np.uint8)
    coded = [
        CodedImage(f"{n}.png", evoae_cli.encode(model, image), (8, 8, 3), "uint8") for n, image in enumerate(images)
    ]
    (tmp_path / "codes.npz").write_bytes(to_npz(CodeFile(coded, fingerprint(model))))
    evoae_cli.export_onnx(model, "small.onnx")
    names: dict[str, Any] = {}
    for language, block in blocks((ROOT / "docs" / "codes.md").read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(block, "codes.md", "exec"), names)
    assert len(names["clusters"]) == 4
    assert names["clean"].shape == (1, 3, 32, 48)
    pixels = np.full((32, 48, 3), 200, np.uint8)
    assert np.abs(names["clean"][0].transpose(1, 2, 0).astype(int) - evoae_cli.denoise(model, pixels)).max() <= 1


def test_every_array_of_a_file_of_codes_is_named_on_its_page() -> None:
    page = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")
    for width in (2, 3):
        images = [CodedImage(f"{w}", np.zeros((1, 1, w), np.float32), (1, 1, 1), "uint8") for w in (2, width)]
        with np.load(io.BytesIO(to_npz(CodeFile(images, ""), 8))) as npz:
            assert [name for name in npz.files if f"`{name}`" not in page] == []


def test_the_format_page_names_all_that_a_study_holds(finished_study: Path) -> None:
    page = (ROOT / "docs" / "study-format.md").read_text(encoding="utf-8")
    names = {name for code in re.findall(r"`([^`\n]+)`", page) for name in re.split(r"[ ,/]+", code)}
    model = json.loads((finished_study / "best" / "model.json").read_text())
    with closing(sqlite3.connect(f"file:{finished_study / 'study.db'}?mode=ro", uri=True)) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        columns = [row[1] for table in tables for row in db.execute(f"PRAGMA table_info({table})")]
        keys = [row[0] for row in db.execute("SELECT key FROM meta")]
        [state] = db.execute("SELECT state FROM generations WHERE number=0").fetchone()
    told = summary(finished_study)
    inner = [told["best"], told["finalists"][0], told["counts"], json.loads(state), model["network"], model["pixels"]]
    held = {*tables, *columns, *keys, *model, *model["trained_on"], *told, *(key for part in inner for key in part)}
    held |= set(Evaluation.__struct_fields__) | set(get_args(State)) - {"stopping"}
    assert held - names - set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == set()
    files = {path.name for path in (finished_study, finished_study / "best") for path in path.iterdir()}
    assert files - names - {"best", "weights", "logs"} == set()


def test_the_python_on_the_format_page_reads_a_study(finished_study: Path) -> None:
    names: dict[str, Any] = {}
    for language, block in blocks((ROOT / "docs" / "study-format.md").read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(block, "study-format.md", "exec"), names)
    found = list(names["candidates"](finished_study))
    assert len(found) == summary(finished_study)["counts"]["trained"]
    assert names["describe"](finished_study / "best")["genotype"] in {genotype for _, genotype, _, _ in found}


def as_installed(*words: str, cwd: Path) -> None:
    """`evoae` in a process of its own, which like the installed command does not look for modules where it runs."""
    command = [sys.executable, "-P", "-m", "evoae_cli", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EVOAE_RUNS": str(cwd / "runs")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def here(*words: str) -> object:
    """The exit code of `evoae` in this process."""
    with pytest.raises(SystemExit) as stop:
        run(words)
    return stop.value.code


def test_the_layer_on_the_page_of_search_spaces_does_all_that_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The page's file and commands, with less of everything: search, resume, show, load, denoise, export."""
    page = (ROOT / "docs" / "search-spaces.md").read_text(encoding="utf-8")
    file = (EXAMPLES / "gated_layers.py").read_text(encoding="utf-8")
    assert ("python", file) in blocks(page)
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir()
        Image.fromarray(np.full((35, 33, 3), 90, np.uint8)).save(folder / "noisy.png")
    (home / "gated_layers.py").write_text(file, encoding="utf-8")
    whole = [command.words for command in COMMANDS if command.where == "search-spaces.md" and command.is_whole]
    commands = {words[0]: words for words in whole}
    small = words_of(SMALL | {"generations": 0, "finalists": 1, "workers": 1, "population": 2}, without="space")
    as_installed(*commands["search"], *small, cwd=home)
    study = home / "runs" / "gated"
    begun = history(study)
    assert "--start-from 3x3gated:16/reductions:2/skips:concat,add" in " ".join(commands["search"])
    assert "3x3gated:16/reductions:2/skips:concat,add" in [row[1] for row in begun]
    as_installed("resume", "gated", "--generations", "1", cwd=home)
    assert history(study)[: len(begun)] == begun

    monkeypatch.setenv("EVOAE_RUNS", str(home / "runs"))
    monkeypatch.delitem(sys.modules, "gated_layers", raising=False)
    monkeypatch.chdir(elsewhere)
    capfd.readouterr()
    assert here(*commands["show"]) == 0
    assert f"best: {summary(study)['best']['genotype']}" in capfd.readouterr().out
    missing = re.findall(r"^evoae: .*$", page, re.MULTILINE)
    for words in (("resume", "gated"), commands["denoise"], commands["export"]):
        assert here(*words, "-q") == 2
        assert capfd.readouterr().err.splitlines() == missing
    with pytest.raises(UsageError, match="the search space gated_layers:SPACE is not found"):
        evoae_cli.load_model(study)
    assert [path.name for path in elsewhere.iterdir()] == ["noisy.png"]

    monkeypatch.chdir(home)
    for name in ("denoise", "export"):
        assert here(*commands[name], "-q") == 0
    with Image.open(home / "noisy.png") as noisy, Image.open(home / "clean.png") as clean:
        pixels, written = np.asarray(noisy), np.asarray(clean).astype(int)
    assert np.abs(evoae_cli.denoise(evoae_cli.load_model(study), pixels) - written).max() <= 1
    assert (home / "gated.onnx").stat().st_size > 0


def test_the_engine_on_the_page_of_clusters_gives_the_history_of_the_local_one(tmp_path: Path) -> None:
    """The page's file and command, with less of everything, resumed on it after a search that began on workers."""
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    file = (EXAMPLES / "one_process.py").read_text(encoding="utf-8")
    assert ("python", file) in blocks(page)
    (tmp_path / "one_process.py").write_text(file, encoding="utf-8")
    command = next(command.words for command in COMMANDS if "one_process:choose" in command.words)
    small = words_of(SMALL | {"finalists": 1, "workers": 1}, without="space")
    as_installed(*command, *small, cwd=tmp_path)
    as_installed("search", "denoise", "--study", "local", *small, "--generations", "0", cwd=tmp_path)
    as_installed("resume", "local", "--generations", "1", "--engine", "one_process:choose", cwd=tmp_path)
    assert history(tmp_path / "runs" / "stepwise") == history(tmp_path / "runs" / "local")


def words_of(settings: dict[str, Any], without: str) -> list[str]:
    """Settings as options of the command."""
    words: list[str] = []
    for name, value in settings.items():
        if name != without:
            words += [
                f"--{name.replace('_', '-')}",
                ",".join(map(str, value)) if isinstance(value, tuple) else str(value),
            ]
    return words


SIZES = {
    "`paper`, kernels 1,3,5,7, filters 8,16,32,64, dropout, 10 layers: the paper's": {"space": "paper"},
    "`paper`, kernels 1,3,5, filters 8,16,32, dropout, 3 layers": {"space": "paper", "max_layers": 3},
    "`skip`, kernels 3,5, filters 8,16, 2 layers, 3 reductions": {"dropout": False},
    "the same for manifold": {"dropout": False, "objective": "manifold"},
    "`skip`, kernel 3, filters 8,16,32, 2 layers, 2 reductions": {"dropout": False},
    "`skip`, kernels 1,3,5,7, filters 8,16,32,64, dropout, 10 layers, 4 reductions": {},
}


@pytest.mark.parametrize("row", SIZES)
def test_the_sizes_of_search_spaces_on_their_page_are_right(row: str) -> None:
    page = (ROOT / "docs" / "search-spaces.md").read_text(encoding="utf-8")
    described = row if "the same" not in row else "`skip`, kernels 3,5, filters 8,16, 2 layers, 3 reductions"
    numbers = {
        name: tuple(map(int, re.findall(r"\d+", found[1])))
        for name, pattern in (
            ("kernels", r"kernels? ([\d,]+)"),
            ("filters", r"filters ([\d,]+)"),
            ("max_layers", r"(\d+) layers"),
            ("reductions", r"(\d+) reductions"),
        )
        if (found := re.search(pattern, described))
    }
    values = {name: value if name in ("kernels", "filters") else value[0] for name, value in numbers.items()}
    given = {"space": "skip", "dropout": True} | values | SIZES[row]
    config = resolve(given.pop("objective", "denoise"), given)
    space = search_space(config, 3)
    assert f"| {row} | {len(space.choices)} | {space.size:,} |" in page
