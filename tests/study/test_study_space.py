"""From settings to the search space of a study: narrowed by options, without skips for a manifold, with own layers."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted import Script, created, opened

from evoae_cli.errors import StudyError, UsageError
from evoae_cli.genome.genotype import SKIPS
from evoae_cli.genome.spaces import SPACES
from evoae_cli.study import presets
from evoae_cli.study.resolve import resolve
from evoae_cli.study.setup import search_space
from evoae_cli.study.startfrom import known_genotypes
from evoae_cli.study.summary import history

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
OWN: dict[str, Any] = {"space": "gated_layers:SPACE", "reductions": 2}


@pytest.fixture
def own_layers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example of the documents can be imported, here and in workers."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES), prepend=":")
    yield
    sys.modules.pop("gated_layers", None)


@pytest.mark.parametrize("name", SPACES)
def test_options_narrow_a_space_to_what_they_name(name: str) -> None:
    wide = search_space(resolve("denoise", {"space": name, "max_layers": 3}), 3)
    settings = {"space": name, "kernels": (3,), "filters": (8, 16), "dropout": False, "max_layers": 2, "reductions": 2}
    narrow = search_space(resolve("denoise", settings), 3)
    kinds = 3 if name == "skip" else 1
    assert [layer.text.partition("x3")[2][-2:] for layer in narrow.choices] == [":8", "16"] * kinds
    assert narrow.max_layers == 2
    assert narrow.reductions == ((1, 2) if name == "skip" else ())
    assert (narrow.repeats, narrow.skips, narrow.residual) == (wide.repeats, wide.skips, wide.residual)
    assert narrow.size < wide.size


def test_a_manifold_has_skips_only_behind_the_code_of_a_residual_network() -> None:
    denoiser, manifold = (search_space(resolve(name, {"space": "skip"}), 3) for name in ("denoise", "manifold"))
    assert (denoiser.skips, denoiser.residual, denoiser.direct_skips) == (SKIPS, (False, True), True)
    assert (manifold.skips, manifold.residual, manifold.direct_skips) == (SKIPS, (False, True), False)


@pytest.mark.parametrize(
    "settings", [{"code_ratio": "paper"}, {"reductions": 5, "patch": 96, "crop": 32}, {"space": "paper"}]
)
def test_a_manifold_without_a_linear_code_has_no_skips_at_all(settings: dict[str, Any]) -> None:
    space = search_space(resolve("manifold", {"space": "skip"} | settings), 3)
    assert (space.skips, space.residual) == (("none",), (False,))


def test_a_manifold_in_a_space_of_skips_alone_has_direct_networks_without_any(
    own_layers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gated_layers

    monkeypatch.setattr(gated_layers, "SPACE", replace(gated_layers.SPACE, skips=("concat",)))
    space = search_space(resolve("manifold", OWN), 3)
    assert (space.skips, space.residual) == (("none", "concat"), (False, True))


def test_for_a_code_of_some_size_only_reductions_remain_that_can_give_it() -> None:
    # 3 channels after one reduction are 12 values for each one of the code: 1/48 of them is no whole number.
    space = search_space(resolve("manifold", {"space": "skip", "code_ratio": "1/48", "reductions": 3}), 3)
    assert space.reductions == (2, 3)
    with pytest.raises(UsageError, match="allow more --reductions, or a larger --code-ratio"):
        search_space(resolve("manifold", {"space": "skip", "code_ratio": "1/48", "reductions": 1}), 3)


def test_own_layers_stay_whatever_the_options_name(own_layers: None) -> None:
    settings = {**OWN, "kernels": (5,), "filters": (8,), "dropout": False}
    texts = [layer.text for layer in search_space(resolve("denoise", settings), 3).choices]
    assert texts[-3:] == ["3x3gated:8", "3x3gated:16", "3x3gated:32"]
    assert texts[:-3] == ["5x5conv2d:8", "5x5sepconv:8", "5x5dilated:8"]


def searched(study: Any, n_evaluated: int | None = None) -> list[list[Any]]:
    """The history once a study has searched for two generations of three, or until it has evaluated so many."""
    n_seen = 0

    def stop(event: Any) -> None:
        nonlocal n_seen
        n_seen += event.kind == "evaluated"
        if n_seen == n_evaluated or (event.kind == "generation" and event.line.startswith("generation 2 of 3")):
            study.request_stop()

    study.run(stop)
    return history(study.folder)


@pytest.mark.parametrize("mode", ["generational", "async"])
def test_a_stopped_study_with_own_layers_goes_on_as_if_nothing_had_been(
    mode: str, own_layers: None, script: Script, tmp_path: Path
) -> None:
    settings = {**OWN, "mode": mode, "workers": 1, "generations": 3, "start_from": ("3x3gated:8/reductions:1",)}
    whole = searched(created(tmp_path / "whole", **settings))
    begun = searched(created(tmp_path / "study", **settings), 3)
    assert begun == whole[: len(begun)] != whole
    again = searched(opened(tmp_path / "study"))
    # What runs when a study is stopped is waited for, so one of them may have gone one further.
    n_common = min(len(again), len(whole))
    assert again[:n_common] == whole[:n_common]
    assert n_common > len(begun)
    assert whole[0][1] == "3x3gated:8/reductions:1"
    assert sum("gated" in row[1] for row in whole) > 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"further": ()}, "layers without 3x3gated:8, without 3x3gated:16, without 3x3gated:32;"),
        ({"kinds": ("conv2d", "sepconv")}, "layers without 3x3dilated:4, without 3x3dilated:8;"),
        ({"repeats": (1, 2, 3, 4)}, "repeats with 4;"),
        ({"skips": ("add", "none", "concat")}, "skips in another order;"),
        ({"residual": (True,)}, "residual without False;"),
        ({"reductions": (2, 3)}, "reductions without 1;"),
    ],
)
def test_a_study_whose_space_has_changed_is_not_resumed_and_not_touched(
    change: dict[str, Any], says: str, own_layers: None, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(tmp_path / "study", **OWN, start_from=("3x3gated:8/reductions:1",))._lock.release()
    import gated_layers

    with monkeypatch.context() as patch:
        patch.setattr(gated_layers, "SPACE", replace(gated_layers.SPACE, **change))
        with pytest.raises(StudyError) as refusal:
            opened(tmp_path / "study")
    start = "--space gated_layers:SPACE has changed since the study began: "
    assert str(refusal.value) == f"{start}{says} bring back the old one or start a new study"
    assert history(tmp_path / "study") == []
    opened(tmp_path / "study")._lock.release()


def test_a_study_goes_on_in_its_own_space_when_the_presets_have_become_others(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"space": "skip", "max_layers": None, "dropout": None, "workers": 1, "generations": 3}
    whole = searched(created(tmp_path / "whole", **settings))
    searched(created(tmp_path / "study", **settings), 3)
    monkeypatch.setitem(presets._OF_SPACE, ("quick", "skip"), {"reductions": 1, "max_layers": 5, "dropout": True})
    assert resolve("denoise", {"space": "skip"}).max_layers == 5
    assert searched(opened(tmp_path / "study")) == whole


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("padding=self.kernel // 2", "padding=0"), "layer '3x3gated:8' makes (1, 8, 6, 6) of (1, 3, 8, 8)"),
        (("return self.filters", "return 2 * self.filters"), "not (1, 16, 8, 8); its n_out and build must agree"),
        (
            ("2 * self.filters", "2 * self.filter"),
            "layer '3x3gated:8' cannot be used on 3 channels: AttributeError: 'Gated' object has no attribute 'filter'",
        ),
        (
            ("padding=", "groups=2, padding="),
            "cannot be used on 3 channels: ValueError: in_channels must be divisible by",
        ),
    ],
)
def test_a_faulty_layer_is_named_before_anything_is_written(
    change: tuple[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (EXAMPLES / "gated_layers.py").read_text()
    assert change[0] in text
    (tmp_path / "faulty_layers.py").write_text(text.replace(*change))
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.raises(UsageError) as refusal:
            created(tmp_path / "study", space="faulty_layers:SPACE")
    finally:
        sys.modules.pop("faulty_layers", None)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "study").exists()


def test_in_the_skip_space_each_known_architecture_is_taken_once_however_it_is_written(
    script: Script, tmp_path: Path
) -> None:
    """From texts of equal networks, and twice from a study of the paper's space."""
    paper = tmp_path / "paper"
    study = created(paper, generations=0, reductions=2)
    study.run(lambda event: study.request_stop() if event.kind == "generation" else None)
    ranked = [row[1] for row in sorted(history(paper), key=lambda row: -row[3])][: study.config.finalists]
    names = ("3x3conv2d:8", "3x3conv2d:8/reductions:1", "1x1conv2d:8/repeats:2", "1x1conv2d:8,1x1conv2d:8")
    start = (*names, str(paper), str(paper), f"{ranked[0]}/reductions:2")
    narrow = {"kernels": (1, 3), "filters": (4, 8), "dropout": True, "max_layers": 3}
    config = resolve("denoise", {"space": "skip", "start_from": start, **narrow})
    known = known_genotypes(config, search_space(config, 3))
    # Where the space does not let reductions vary, a genotype has those of its study; as a text it has the fewest.
    paper_texts = [f"{text}/reductions:2" for text in ranked]
    assert [one.text for one in known] == [
        "3x3conv2d:8/reductions:1",
        "1x1conv2d:8/reductions:1/repeats:2",
        *paper_texts,
    ]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("3x3conv2d:8/reductions:4", "reductions:4 is not in the search space; use 1, 2, 3"),
        ("3x3conv2d:8/reductions:2/repeats:4", "repeats:4 is not in the search space; use 1, 2, 3"),
        ("7x7conv2d:8/reductions:2", "layer '7x7conv2d:8' is not in the search space (kernels 3,5"),
        (
            "3x3conv2d:8/reductions:2/skips:add",
            "is no study, and no architecture: skips:add has 1 skips for 2 reductions",
        ),
    ],
)
def test_a_start_outside_the_skip_space_is_refused_by_its_gene(name: str, says: str) -> None:
    config = resolve("denoise", {"space": "skip", "start_from": (name,), "reductions": 3, "kernels": (3, 5)})
    with pytest.raises(UsageError) as refusal:
        known_genotypes(config, search_space(config, 3))
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_manifold_does_not_start_from_what_passes_the_code_by() -> None:
    cases = (
        ("3x3conv2d:8/reductions:2/skips:none,add", {}, "leave them out, or write /residual behind it"),
        ("3x3conv2d:8/reductions:2/residual", {"code_ratio": "paper"}, "not in the search space; leave residual out"),
    )
    for name, settings, remedy in cases:
        config = resolve("manifold", {"space": "skip", "start_from": (name,), **settings})
        with pytest.raises(UsageError, match=remedy):
            known_genotypes(config, search_space(config, 3))


def test_a_study_of_own_layers_is_no_start_in_another_space_and_says_in_which(
    own_layers: None, script: Script, tmp_path: Path
) -> None:
    study = created(tmp_path / "own", **OWN, generations=0, start_from=("3x3gated:8/reductions:1",))
    study.run(lambda event: study.request_stop() if event.kind == "generation" else None)
    config = resolve("denoise", {"space": "skip", "start_from": (str(tmp_path / "own"),)})
    with pytest.raises(UsageError) as refusal:
        known_genotypes(config, search_space(config, 3))
    assert "unknown layer '3x3gated:" in str(refusal.value)
    assert str(refusal.value).endswith("search with --space gated_layers:SPACE, as that study")
