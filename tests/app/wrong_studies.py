"""Wrong use of studies and models that are broken, missing, in use, or of something else."""

import json
import shutil
from collections.abc import Callable
from typing import Any

from wrong_use_kit import (
    Kit,
    Prepare,
    case,
    cut,
    file,
    folder,
    in_use,
    mode,
    picture,
    pixels,
    several,
    sql,
    study,
    without,
)

_DB = "runs/mine/study.db"
_WEIGHTS = "model/model.safetensors"
_OTHER = "CREATE TABLE birds (name TEXT); INSERT INTO birds VALUES ('wren'); PRAGMA user_version={};"


def _sizes(name: str, words: tuple[str, ...], size: float) -> Any:
    prepare = several(study, cut(_DB, size))
    return (
        case(f"show of {name}", "show mine", *words, prepare=prepare),
        case(f"resume of {name}", "resume mine -q", *words, prepare=prepare),
    )


def _model(kit: Kit) -> None:
    """The model of a study by itself, and an image to denoise."""
    shutil.copytree(kit.study / "best", kit.folder / "model")
    picture("in.png", pixels())(kit)


def _described(change: Callable[[dict[str, Any]], Any]) -> Prepare:
    """A model whose description says something else."""

    def prepare(kit: Kit) -> None:
        from safetensors import safe_open
        from safetensors.torch import save_file

        _model(kit)
        path = kit.folder / _WEIGHTS
        with safe_open(path, framework="pt") as source:
            tensors = {key: source.get_tensor(key) for key in source.keys()}  # noqa: SIM118  (no dict)
            about = change(json.loads(source.metadata()["evoae"]))
        save_file(tensors, path, metadata=None if about is None else {"evoae": json.dumps(about)})

    return prepare


def _spoiled(name: str, spoil: Prepare) -> Prepare:
    """A broken study beside others."""

    def prepare(kit: Kit) -> None:
        study_as = Kit(kit.folder / "aside", kit.study, kit.until_checked)
        study(study_as)
        spoil(study_as)
        shutil.move(kit.folder / "aside" / "runs" / "mine", kit.folder / "runs" / f"spoiled-{name}")
        shutil.rmtree(kit.folder / "aside")

    return prepare


SPOILED = (
    _spoiled("empty", cut(_DB, 0)),
    _spoiled("cut", cut(_DB, 0.5)),
    _spoiled("text", file(_DB, "text" * 100)),
    _spoiled("newer", sql(_DB, "PRAGMA user_version=99")),
    _spoiled("foreign", several(without(_DB), sql(_DB, _OTHER.format(0)))),
    _spoiled("bare", sql(_DB, "DELETE FROM meta")),
    _spoiled("odd", sql(_DB, "UPDATE meta SET value='{' WHERE key='settings'")),
)
"""Studies that cannot be shown."""

_OWN_SPACE = sql(_DB, "UPDATE meta SET value=json_set(value, '$.space', 'my_layers:SPACE') WHERE key='settings'")


def _in_own_space(about: dict[str, Any]) -> dict[str, Any]:
    return about | {"network": about["network"] | {"space": "my_layers:SPACE"}}


DENOISE = "denoise ./model in.png -o out.png -q"

CASES = (
    # Studies that are none.
    case("show where there is none", "show", "no study", "evoae search denoise", is_process=True),
    case("show of an unknown name", "show nowhere", "'nowhere'", "evoae search denoise", is_process=True),
    case("show of a misspelt name", "show mein", "'mein'", "there are: mine", prepare=study),
    case("show of an empty name", "show ''", "name is empty"),
    case("show of an endless name", f"show {'x' * 300}", "too long", "255 bytes"),
    case("show of a folder", "show ./here", "here is no study", prepare=folder("here")),
    case("show of a file", "show ./here", "here is no study", prepare=file("here", "text")),
    case("watching nothing", "show --watch nowhere", "'nowhere'"),
    case(
        "watching what shows nothing",
        "show --watch mine",
        "mine",
        prepare=several(study, without("runs/mine/live.json")),
    ),
    case("watching garbage", "show --watch mine", "mine", prepare=several(study, file("runs/mine/live.json", b"\0{"))),
    case("resume where there is none", "resume", "no study", is_process=True),
    case("resume of an unknown name", "resume nowhere", "'nowhere'", is_process=True),
    case("resume of a folder", "resume ./here", "here is no study", prepare=file("here/a.txt", "text")),
    case("resume of a folder for a database", "resume mine", "mine is no study", prepare=folder("runs/mine/study.db")),
    # Databases that are broken or of something else.
    *_sizes("an empty database", ("mine", "delete"), 0),
    *_sizes("a database of 50 bytes", ("study.db", "bring back a copy"), 50),
    *_sizes("a database of one page", ("study.db", "copy"), 4096),
    *_sizes("half a database", ("study.db", "copy"), 0.5),
    case("show of text", "show mine", "study.db", "copy", prepare=file(_DB, "text" * 100)),
    case("resume of text", "resume mine -q", "study.db", "copy", prepare=file(_DB, "text" * 100)),
    case(
        "show of another format",
        "show mine",
        "format 99",
        "format 1",
        prepare=several(study, sql(_DB, "PRAGMA user_version=99")),
    ),
    case(
        "resume of another format",
        "resume mine",
        "format 99",
        "format 1",
        prepare=several(study, sql(_DB, "PRAGMA user_version=99")),
        is_process=True,
    ),
    case(
        "show of another program's database",
        "show mine",
        "study.db",
        "of something else",
        prepare=sql(_DB, _OTHER.format(0)),
    ),
    case(
        "resume of another program's database",
        "resume mine -q",
        "study.db",
        "of something else",
        prepare=sql(_DB, _OTHER.format(0)),
    ),
    case("show of a database that claims to be ours", "show mine", "study.db", prepare=sql(_DB, _OTHER.format(1))),
    case(
        "resume of a database that claims to be ours", "resume mine -q", "study.db", prepare=sql(_DB, _OTHER.format(1))
    ),
    case(
        "show of a study without settings",
        "show mine",
        "never started",
        prepare=several(study, sql(_DB, "DELETE FROM meta")),
    ),
    case(
        "resume of a study without settings",
        "resume mine -q",
        "never started",
        prepare=several(study, sql(_DB, "DELETE FROM meta")),
    ),
    case(
        "show of settings that are no JSON",
        "show mine",
        "study.db",
        prepare=several(study, sql(_DB, "UPDATE meta SET value='{' WHERE key='settings'")),
    ),
    case(
        "resume of settings that are no JSON",
        "resume mine -q",
        "study.db",
        prepare=several(study, sql(_DB, "UPDATE meta SET value='{' WHERE key='settings'")),
    ),
    case(
        "resume of settings of another version",
        "resume mine -q",
        "'colour'",
        prepare=several(study, sql(_DB, "UPDATE meta SET value=json_set(value, '$.colour', 1) WHERE key='settings'")),
    ),
    case(
        "show of records that are no JSON",
        "show mine",
        "study.db",
        prepare=several(study, sql(_DB, "UPDATE evaluations SET record='{'")),
    ),
    # Studies that cannot go on as asked.
    case(
        "resume with fewer generations", "resume mine -q --generations 0", "--generations 0", "name more", prepare=study
    ),
    case(
        "resume with generations without end",
        "resume mine --generations 9999999999",
        "--generations",
        "at most",
        prepare=study,
    ),
    case("resume with what cannot change", "resume mine --epochs 3", "--epochs", prepare=study),
    case("resume on a device unheard of", "resume mine --device gpu", "cuda:0,cuda:2", prepare=study),
    case("resume on a GPU that is not there", "resume mine -q --device cuda:999", "cuda:999", prepare=study),
    case(
        "resume of what another process has",
        "resume mine -q",
        "in use by process",
        "--watch",
        prepare=several(study, in_use("runs/mine")),
    ),
    case(
        "resume with other images",
        "resume mine -q",
        "have changed",
        prepare=several(study, sql(_DB, "UPDATE meta SET value='\"0000\"' WHERE key='fingerprint'")),
    ),
    case(
        "resume without the images",
        "resume mine -q",
        "'gone'",
        prepare=several(
            study, sql(_DB, "UPDATE meta SET value=json_set(value, '$.data', 'gone') WHERE key='settings'")
        ),
    ),
    case(
        "resume where nothing may be written",
        "resume mine -q",
        "writable",
        prepare=several(study, mode("runs/mine/study.lock", 0o444), mode("runs/mine", 0o555)),
        is_unprivileged=True,
    ),
    case(
        "show of what may not be read",
        "show mine",
        "study.db",
        prepare=several(study, mode(_DB, 0)),
        is_unprivileged=True,
    ),
    case(
        "resume in a folder that may not be entered",
        "resume ./runs/mine -q",
        "mine",
        prepare=several(study, mode("runs", 0)),
        is_unprivileged=True,
    ),
    # Search spaces of one's own that are not where the command runs.
    case(
        "resume of a study without its search space",
        "resume mine -q",
        "the search space my_layers:SPACE is not found",
        "my_layers.py",
        "PYTHONPATH",
        prepare=several(study, _OWN_SPACE),
    ),
    case(
        "resume of a study whose search space has changed",
        "resume mine -q",
        "layers without 9x9gone:8",
        "go on with the version of evoae that began it",
        prepare=several(
            study, sql(_DB, "UPDATE meta SET value=json_insert(value, '$.layers[#]', '9x9gone:8') WHERE key='space'")
        ),
    ),
    case(
        "a start from a study with layers of its own",
        "search denoise -q --space skip --device cpu --start-from mine",
        "unknown layer '9x9gone:8'",
        "--space my_layers:SPACE",
        prepare=several(
            study,
            _OWN_SPACE,
            sql(_DB, "UPDATE meta SET value='[\"9x9gone:8\"]' WHERE key='finalists'"),
        ),
    ),
    # Searches that do not run.
    case("stopping where nothing runs", "stop", "no study", "runs now", is_process=True),
    case("stopping what has ended", "stop mine", "mine", prepare=study),
    case("stopping an unknown name", "stop nowhere", "'nowhere'"),
    case("workers of what has ended", "workers mine", "mine", prepare=study),
    case("more workers for what has ended", "workers mine --add 1", "mine", prepare=study),
    case("workers that are no number", "workers mine --set two", "--set 'two'", "1 to 1024", prepare=study),
    case("no workers at all", "workers mine --set 0", "--set '0'", "evoae stop", prepare=study),
    case("workers set and added", "workers mine --set 1 --add 2", "--set 1", "--add 2", prepare=study),
    case(
        "a list of what may not be looked at",
        "list",
        "cannot list runs",
        "permissions",
        prepare=several(study, mode("runs", 0)),
        is_unprivileged=True,
    ),
    case("show in the home of nobody", "show ~nobody-here/mine", "~nobody-here/mine"),
    # Models.
    case(
        "no such model", "denoise ./model in.png -o out.png", "'./model'", "best/", prepare=picture("in.png", pixels())
    ),
    case(
        "a study without a model",
        "denoise mine in.png -o out.png",
        "no model yet",
        prepare=several(study, without("runs/mine/best"), picture("in.png", pixels())),
    ),
    case("a description without weights", DENOISE, "model.safetensors", prepare=several(_model, without(_WEIGHTS))),
    case("empty weights", DENOISE, "model.safetensors", prepare=several(_model, cut(_WEIGHTS, 0))),
    case("cut weights", DENOISE, "model.safetensors", prepare=several(_model, cut(_WEIGHTS, 0.5)), is_process=True),
    case("text for weights", DENOISE, "model.safetensors", prepare=several(_model, file(_WEIGHTS, "text" * 100))),
    case("weights of another program", DENOISE, "model.safetensors", prepare=_described(lambda about: None)),
    case(
        "weights of another network",
        DENOISE,
        "model.safetensors",
        prepare=_described(lambda about: about | {"genotype": "3x3conv2d:64"}),
    ),
    case(
        "a model of no genotype",
        DENOISE,
        "model.safetensors",
        prepare=_described(lambda about: about | {"genotype": "7"}),
    ),
    case(
        "a model of a later format",
        DENOISE,
        "format 2",
        "reads 1",
        prepare=_described(lambda about: about | {"format": 2}),
    ),
    case(
        "a model without its search space",
        DENOISE,
        "the search space my_layers:SPACE is not found",
        "my_layers.py",
        prepare=_described(_in_own_space),
    ),
    case(
        "export of a model without its search space",
        "export ./model --onnx model.onnx -q",
        "the search space my_layers:SPACE is not found",
        "my_layers.py",
        prepare=_described(_in_own_space),
    ),
    case("a description that is a list", DENOISE, "model.safetensors", prepare=_described(lambda about: [1, 2])),
    case(
        "a description that lacks the pixels",
        DENOISE,
        "model.safetensors",
        prepare=_described(lambda about: {key: value for key, value in about.items() if key != "pixels"}),
    ),
    case(
        "a model that removes no noise",
        DENOISE,
        "manifold model",
        "evoae search denoise",
        prepare=_described(lambda about: about | {"objective": "manifold"}),
    ),
    case(
        "weights that may not be read",
        DENOISE,
        "model.safetensors",
        "ermission",
        prepare=several(_model, mode(_WEIGHTS, 0)),
        is_unprivileged=True,
    ),
)
