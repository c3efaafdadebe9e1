"""StudyConfig: every setting, its bounds, the presets, and the order in which they override each other."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.contract import Objective
from evoae_cli.evaluation.noise import Noise, gaussian
from evoae_cli.genome.space import SearchSpace
from evoae_cli.study.checks import one_of, option_name
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.presets import PRESETS, preset_settings
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settings import field_meta, field_names

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


def refusal(objective: Objective, *layers: dict[str, Any]) -> str:
    """The one line with which settings are refused."""
    with pytest.raises(UsageError) as caught:
        resolve(objective, *layers)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", field_names())
def test_every_setting_says_what_it_means_and_where_help_shows_it(name: str) -> None:
    meta = field_meta(name)
    assert meta.description
    assert meta.description[0].islower() or name in {"objective"} or meta.description.startswith("CPU")
    assert meta.extra is not None
    assert meta.extra["panel"]
    assert isinstance(meta.extra["main"], bool)


def test_help_shows_about_a_dozen_settings_at_first() -> None:
    main = [name for name in field_names() if (field_meta(name).extra or {})["main"]]
    assert 8 <= len(main) <= 15


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("space", ["paper", "skip", "my_layers:space"])
def test_every_preset_gives_every_setting_and_no_other(preset: Any, objective: Objective, space: str) -> None:
    settings = preset_settings(preset, objective, space)
    assert set(settings) == set(field_names()) - {"preset", "objective"}
    assert settings["space"] == space
    assert resolve(objective, {"preset": preset}).preset == preset


def test_quick_is_the_default_preset() -> None:
    assert resolve("denoise") == resolve("denoise", {"preset": "quick"})


def test_the_paper_preset_is_the_papers() -> None:
    paper = resolve("denoise", {"preset": "paper"})
    assert (paper.data, paper.lr, paper.batch_size, paper.schedule) == ("stl10", 1e-3, 32, "constant")
    assert (paper.population, paper.generations, paper.epochs, paper.final_epochs) == (10, 20, 2, 20)
    assert (paper.final_seeds, paper.keep_duplicates, paper.code_ratio) == (1, True, "paper")
    space = SearchSpace(paper.kernels, paper.filters, paper.dropout, paper.max_layers)
    assert space == SearchSpace()
    assert resolve("manifold", {"preset": "paper"}).final_epochs == 40


def test_manifold_has_two_reductions_and_a_quarter_for_a_code_in_the_papers_space() -> None:
    for preset in PRESETS:
        config = resolve("manifold", {"preset": preset, "space": "paper"})
        assert (config.reductions, config.code_ratio, config.code_fraction) == (2, "1/4", Fraction(1, 4))
        assert config.corruption is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("preset", "fast", "--preset 'fast' is unknown; use quick or paper"),
        ("seed", -1, "--seed -1 must be at least 0"),
        ("seed", 2**63, f"--seed {2**63} must be at most {2**63 - 1}"),
        ("data", "", "--data '' is empty"),
        ("data", 3, "--data 3 must be a text"),
        ("space", "", "--space '' is empty"),
        ("patch", 6, "--patch 6 must be at least 8"),
        ("patch", 4098, "--patch 4098 must be at most 4096"),
        ("crop", 6, "--crop 6 must be at least 8"),
        ("train_images", 0, "--train-images 0 must be at least 1"),
        ("val_images", 0, "--val-images 0 must be at least 1"),
        ("test_images", 0, "--test-images 0 must be at least 1"),
        ("flips", 1, "--flips 1 must be true or false"),
        ("kernels", (), "--kernels () must have at least 1 value"),
        ("kernels", (0, 3), "--kernels: 0 is out of range; use 1 to 31"),
        ("kernels", (3, 3), "--kernels names a value twice: 3,3"),
        ("kernels", (3, 33), "--kernels: 33 is out of range; use 1 to 31"),
        ("kernels", "1,3", "--kernels '1,3' must be a list; write it as [1, 3]"),
        ("filters", 8, "--filters 8 must be a list; write it as [8, 16]"),
        ("range", "0 1", "--range '0 1' must be a list; write it as [0, 255]"),
        ("pairs", "noisy", """--pairs 'noisy' must be a list; write it as ["noisy", "clean"]"""),
        ("pairs", ("noisy",), "--pairs ('noisy',) must have 2 values"),
        ("pairs", (1, 2), '--pairs (1, 2) must be a list; write it as ["noisy", "clean"]'),
        ("sigma2", 0.3, '--sigma2 0.3 must be a text; write it as sigma2 = "0.3"'),
        ("noise", 25, '--noise 25 must be a text; write it as noise = "gaussian:25"'),
        ("noise", 25.0, '--noise 25 must be a text; write it as noise = "gaussian:25"'),
        ("code_ratio", 0.25, '--code-ratio 0.25 must be a text; write it as code_ratio = "0.25"'),
        ("device", "gpu", "--device 'gpu' is not understood; use auto, cpu, cuda, or a list as cuda:0,cuda:2"),
        ("device", "cuda:0,", "--device 'cuda:0,' is not understood; use auto, cpu, cuda, or a list as cuda:0,cuda:2"),
        ("objectives", (), "--objectives () must have at least 1 value"),
        ("objectives", "fitness", '--objectives \'fitness\' must be a list; write it as ["fitness", "parameters"]'),
        (
            "objectives",
            ("fitness", 3),
            '--objectives (\'fitness\', 3) must be a list; write it as ["fitness", "parameters"]',
        ),
        ("objectives", ("speed",), "--objectives 'speed' is unknown; use fitness, parameters, operations or code"),
        ("objectives", ("code",), "--objectives code leaves out fitness; write fitness,code"),
        ("objectives", ("fitness", "code", "code"), "--objectives names one twice: fitness,code,code"),
        ("start_from", "mine", "--start-from 'mine' must be a list; write it as [\"3x3conv2d:16\"]"),
        ("max_parameters", 0, "--max-parameters 0 must be at least 1"),
        ("max_operations", 10**16, f"--max-operations {10**16} must be at most {10**15}"),
        ("max_code", 1.5, "--max-code 1.5 must be a whole number"),
        ("population", 10_001, "--population 10001 must be at most 10000"),
        ("generations", 10**6 + 1, "--generations 1000001 must be at most 1000000"),
        ("train_images", 10**7 + 1, "--train-images 10000001 must be at most 10000000"),
        ("val_images", 10**5 + 1, "--val-images 100001 must be at most 100000"),
        ("test_images", 10**5 + 1, "--test-images 100001 must be at most 100000"),
        ("epochs", 10**6 + 1, "--epochs 1000001 must be at most 1000000"),
        ("final_epochs", 10**6 + 1, "--final-epochs 1000001 must be at most 1000000"),
        ("finalists", 1001, "--finalists 1001 must be at most 1000"),
        ("final_seeds", 1001, "--final-seeds 1001 must be at most 1000"),
        ("batch_size", 65_537, "--batch-size 65537 must be at most 65536"),
        ("workers", 1025, "--workers 1025 must be at most 1024"),
        ("threads", 1025, "--threads 1025 must be at most 1024"),
        ("filters", (), "--filters () must have at least 1 value"),
        ("filters", (8, 5000), "--filters: 5000 is out of range; use 1 to 4096"),
        ("max_layers", 0, "--max-layers 0 must be at least 1"),
        ("max_layers", 101, "--max-layers 101 must be at most 100"),
        ("reductions", 0, "--reductions 0 must be at least 1"),
        ("reductions", 9, "--reductions 9 must be at most 8"),
        ("code_ratio", "x", "--code-ratio 'x' is no number; write it as 1/4, 1/8 or paper"),
        ("code_ratio", "2", "--code-ratio 2 makes the code larger than the image; use 1/4 or 1/8"),
        ("decoder", "x", "--decoder 'x' is unknown; use same or mirrored"),
        ("population", 1, "--population 1 must be at least 2"),
        ("generations", -1, "--generations -1 must be at least 0"),
        ("epochs", 0, "--epochs 0 must be at least 1"),
        ("epochs", "3", "--epochs '3' must be a whole number"),
        ("epochs", 2.5, "--epochs 2.5 must be a whole number"),
        ("epochs", True, "--epochs True must be a whole number"),
        ("final_epochs", 0, "--final-epochs 0 must be at least 1"),
        ("finalists", 0, "--finalists 0 must be at least 1"),
        ("final_seeds", 0, "--final-seeds 0 must be at least 1"),
        ("batch_size", 0, "--batch-size 0 must be at least 1"),
        ("lr", 0.0, "--lr 0 must be above 0"),
        ("lr", math.nan, "--lr nan must be above 0"),
        ("lr", 1.5, "--lr 1.5 must be at most 1"),
        ("schedule", "x", "--schedule 'x' is unknown; use constant or cosine"),
        ("precision", "fp16", "--precision 'fp16' is unknown; use auto, float32 or bfloat16"),
        ("workers", 0, "--workers 0 must be at least 1"),
        ("threads", 0, "--threads 0 must be at least 1"),
        ("device", "", "--device '' is empty"),
        ("range", (1,), "--range (1,) must have 2 values"),
        ("range", (255, 0), "--range 255 0 is no range; give the lower value first, as --range 0 255"),
        ("range", (0, math.nan), "--range 0 nan is no range; give the lower value first, as --range 0 255"),
        ("heartbeat_interval_s", 0, "--heartbeat-interval-s 0 must be above 0"),
        ("heartbeat_interval_s", math.inf, "--heartbeat-interval-s inf must be at most 86400"),
        ("heartbeat_timeout_s", 0, "--heartbeat-timeout-s 0 must be above 0"),
        ("heartbeat_timeout_s", 0.5, "--heartbeat-timeout-s 0.5 must be longer than --heartbeat-interval-s 1"),
        ("start_timeout_s", 0, "--start-timeout-s 0 must be above 0"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_the_options_name(name: str, value: object, says: str) -> None:
    assert refusal("denoise", {name: value}) == says


def test_every_bound_in_the_metadata_is_tried_above() -> None:
    tried = {mark.args[1][i][0] for mark in _marks() for i in range(len(mark.args[1]))}
    bounded = {
        name
        for name in field_names()
        if any(getattr(field_meta(name), bound) is not None for bound in ("ge", "gt", "le", "lt", "min_length"))
    }
    assert bounded <= tried


def _marks() -> list[Any]:
    return test_a_value_out_of_bounds_is_refused_by_the_options_name.pytestmark  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"patch": 97}, "--patch 97 is no multiple of 8, which --reductions 3 needs; nearest sizes: 96 or 104"),
        (
            {"crop": 50, "reductions": 2},
            "--crop 50 is no multiple of 4, which --reductions 2 needs; nearest sizes: 48 or 52",
        ),
        (
            {"patch": 8, "reductions": 4},
            "--patch 8 is no multiple of 16, which --reductions 4 needs; nearest sizes: 16",
        ),
    ],
)
def test_a_side_that_the_reductions_do_not_divide_is_refused_with_the_nearest(
    settings: dict[str, Any], says: str
) -> None:
    assert refusal("denoise", settings) == says


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    assert refusal("denoise", {"poplation": 3}) == "unknown setting 'poplation'; did you mean 'population'?"


def test_a_setting_like_no_other_is_refused_with_all_names() -> None:
    message = refusal("denoise", {"zzz": 3})
    assert all(name in message for name in field_names())


def test_options_override_the_file_and_the_file_the_preset() -> None:
    file, options = {"preset": "paper", "epochs": 7, "batch_size": 5}, {"epochs": 9, "seed": None}
    config = resolve("denoise", file, options)
    assert (config.epochs, config.batch_size, config.lr, config.seed) == (9, 5, 1e-3, 0)


def test_an_option_may_name_another_preset_than_the_file_which_then_fills_the_rest() -> None:
    config = resolve("denoise", {"preset": "paper", "epochs": 7}, {"preset": "quick"})
    assert (config.preset, config.epochs, config.data) == ("quick", 7, "photographs")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_resolved_settings_resolve_to_themselves(objective: Objective) -> None:
    config = resolve(objective, {"preset": "paper", "range": (0, 1), "workers": 3})
    assert resolve(objective, msgspec.to_builtins(config)) == config


def test_settings_of_another_objective_are_refused() -> None:
    assert (
        refusal("denoise", {"objective": "manifold"})
        == "the settings are for 'manifold', not for denoise; give one objective"
    )


def test_an_unknown_objective_is_refused_with_the_choices() -> None:
    assert refusal("blur", {}) == "objective 'blur' is unknown; use denoise or manifold"  # type: ignore[arg-type]


def test_noise_defaults_to_the_papers_variance_of_one_third() -> None:
    config = resolve("denoise")
    assert (config.noise, config.sigma2) == (None, "1/3")
    assert config.corruption == gaussian(3**-0.5)


def test_noise_on_the_8_bit_scale_replaces_the_papers_spelling() -> None:
    config = resolve("denoise", {"noise": "gaussian:25"})
    assert (config.noise, config.sigma2) == ("gaussian:25", None)
    assert config.corruption == Noise(kind="gaussian", low=25, high=25)


def test_noise_and_sigma2_together_are_refused() -> None:
    assert refusal("denoise", {"noise": "gaussian:25", "sigma2": "1/3"}) == (
        "noise is given twice, as --noise gaussian:25 and --sigma2 1/3; give one of them"
    )


def test_an_option_for_noise_replaces_the_files_whichever_spelling_each_used() -> None:
    assert resolve("denoise", {"sigma2": "1/9"}, {"noise": "gaussian:5"}).sigma2 is None
    back = resolve("denoise", {"noise": "gaussian:5"}, {"sigma2": "1/9"})
    assert (back.noise, back.sigma2) == (None, "1/9")
    assert back.corruption == gaussian(1 / 3)


@pytest.mark.parametrize("text", ["gaussian", "25", ""])
def test_noise_that_is_not_understood_is_refused_with_an_example(text: str) -> None:
    assert refusal("denoise", {"noise": text}).startswith(f"--noise {text!r} is not understood; write gaussian:25")


def test_a_range_of_noise_of_any_kind_is_a_setting() -> None:
    for text in ("gaussian:5-75", "poisson:10-50", "salt-pepper:0.05-0.2", "speckle:0.2"):
        noise = resolve("denoise", {"noise": text}).corruption
        assert noise is not None
        assert noise.text == text


@pytest.mark.parametrize("text", ["x", "1/0", "nan", "inf", "1e999999999", "9" * 5000, "", "1/3/3"])
def test_a_variance_that_is_no_number_is_refused_with_an_example(text: str) -> None:
    assert refusal("denoise", {"sigma2": text}) == f"--sigma2 {text!r} is no number; write it as 1/3 or 0.25"


def test_a_variance_out_of_range_is_refused() -> None:
    assert refusal("denoise", {"sigma2": "-1/3"}) == "--sigma2 '-1/3' must be above 0; write it as 1/3 or 0.25"
    assert refusal("denoise", {"sigma2": "100"}) == "--sigma2 100 is out of range; use at most 62"
    assert resolve("denoise", {"noise": "gaussian:1000"}).corruption == gaussian(1000 / 127.5)


@pytest.mark.parametrize(("name", "value"), [("noise", "gaussian:25"), ("sigma2", "1/9")])
def test_noise_for_manifold_is_refused_since_it_adds_none(name: str, value: str) -> None:
    assert refusal("manifold", {name: value}) == (
        f"manifold adds no noise; leave {option_name(name)} out, or search for denoise"
    )


def test_crops_are_no_larger_than_a_smaller_patch_unless_said_so() -> None:
    assert resolve("denoise", {"patch": 16}).crop == 16
    assert resolve("denoise", {"patch": 32, "crop": 40}).crop == 40
    assert resolve("denoise", {"patch": 128}).crop == 32


def test_a_crop_that_was_not_given_is_one_that_the_reductions_divide() -> None:
    assert resolve("denoise", {"patch": 256, "reductions": 8}).crop == 256
    assert resolve("denoise", {"patch": 192, "reductions": 6}).crop == 64
    assert refusal("denoise", {"reductions": 8}).startswith("--patch 96 is no multiple of 256")


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:0,cuda:2", "cuda:0, cuda:10"])
def test_devices_are_named_alone_or_in_a_list(device: str) -> None:
    assert resolve("denoise", {"device": device}).device == device


def test_choices_are_joined_as_in_a_sentence() -> None:
    assert [one_of(choices) for choices in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a or b", "a, b or c"]


def test_the_papers_form_of_the_code_has_no_ratio() -> None:
    assert resolve("manifold", {"code_ratio": "paper"}).code_fraction is None
    assert resolve("manifold", {"code_ratio": "0.125"}).code_fraction == Fraction(1, 8)


def test_settings_cannot_be_changed_after_they_were_resolved() -> None:
    with pytest.raises(AttributeError):
        resolve("denoise").epochs = 3  # type: ignore[misc]


def test_a_stored_config_with_a_field_too_many_is_refused() -> None:
    stored = msgspec.to_builtins(resolve("denoise")) | {"surprise": 1}
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        msgspec.convert(stored, StudyConfig)


PAIRS = ("noisy", "clean")


def test_pairs_take_the_place_of_images_and_of_noise() -> None:
    for preset in PRESETS:
        config = resolve("denoise", {"preset": preset, "pairs": PAIRS})
        assert (config.source, config.data, config.noise, config.sigma2) == (PAIRS, None, None, None)
        assert config.corruption is None
        assert resolve("denoise", msgspec.to_builtins(config)) == config
        assert resolve("denoise", msgspec.json.decode(msgspec.json.encode(config))) == config
    assert resolve("denoise").source == "photographs"


@pytest.mark.parametrize(("name", "value"), [("data", "photographs"), ("noise", "gaussian:25"), ("sigma2", "1/9")])
def test_pairs_together_with_other_images_or_noise_are_refused(name: str, value: str) -> None:
    says = f"--pairs brings its own images and its own noise; leave out {option_name(name)} {value}, or --pairs"
    assert refusal("denoise", {"pairs": PAIRS, name: value}) == says
    if name != "data":
        # A file's pairs and an option's noise: neither is what was meant.
        assert refusal("denoise", {"pairs": PAIRS}, {name: value}) == says


def test_an_option_for_images_replaces_the_files_be_they_pairs_or_not() -> None:
    file = {"data": "photos", "noise": "gaussian:25"}
    assert resolve("denoise", file, {"pairs": PAIRS}) == resolve("denoise", {"pairs": PAIRS})
    assert resolve("denoise", {"pairs": PAIRS}, {"data": "photos"}) == resolve("denoise", {"data": "photos"})


def test_pairs_for_manifold_are_refused() -> None:
    assert refusal("manifold", {"pairs": PAIRS}) == (
        "manifold takes clean images alone; give them as --data, or search for denoise"
    )


def test_noisy_images_get_no_noise_and_say_so() -> None:
    config = resolve("denoise", {"data": "noisy", "noisy_only": True})
    assert (config.noise, config.sigma2, config.corruption) == (None, None, None)
    assert config.noise_text == "the images' own"
    assert config.lr < resolve("denoise").lr
    assert resolve("denoise", {"data": "noisy", "noisy_only": True, "lr": 0.01}).lr == 0.01
    assert resolve("denoise").noise_text.startswith("gaussian, standard deviation 73.6")
    assert resolve("manifold").noise_text == "none"


def test_of_noise_and_noisy_images_the_later_word_holds() -> None:
    noisy = resolve("denoise", {"sigma2": "1/9"}, {"data": "noisy", "noisy_only": True})
    assert (noisy.noisy_only, noisy.sigma2) == (True, None)
    again = resolve("denoise", {"data": "noisy", "noisy_only": True}, {"noise": "gaussian:25"})
    assert (again.noisy_only, again.noise) == (False, "gaussian:25")
    back = resolve("denoise", {"data": "noisy", "noisy_only": True}, {"noisy_only": False})
    assert (back.noisy_only, back.sigma2) == (False, "1/3")
    assert refusal("denoise", {"data": "noisy", "noisy_only": True, "noise": "gaussian:25"}) == (
        "--noisy-only adds no noise to the images; leave out --noise, or --noisy-only where the images are clean"
    )


def test_the_stored_settings_of_noisy_images_resolve_to_themselves() -> None:
    config = resolve("denoise", {"data": "noisy", "noisy_only": True})
    assert resolve("denoise", msgspec.to_builtins(config)) == config
    with_noise = resolve("denoise", {"noise": "poisson:30"})
    assert resolve("denoise", msgspec.to_builtins(with_noise)) == with_noise


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_images_known_to_be_clean_are_refused_where_noisy_ones_are_needed(preset: str) -> None:
    clean = {"quick": "photographs", "paper": "stl10"}[preset]
    assert refusal("denoise", {"preset": preset, "noisy_only": True}) == (
        f"--noisy-only needs noisy images, {clean} are clean; name your folder with --data"
    )


def test_paths_may_be_given_from_python() -> None:
    config = resolve("denoise", {"pairs": (Path("noisy"), Path("clean"))})
    assert config.pairs == ("noisy", "clean")
    assert resolve("denoise", {"data": Path("photos")}).data == "photos"


@pytest.mark.parametrize("later", [{"pairs": ("noisy", "clean")}, {"noisy_only": True, "data": "photos"}])
def test_colours_that_an_earlier_study_varied_are_left_where_the_noise_is_the_images_own(later: dict[str, Any]) -> None:
    assert resolve("denoise", {"colours": "on", "data": "clean"}, later).colours == "auto"
    assert "--colours on" in refusal("denoise", {"data": "clean"}, later | {"colours": "on"})


@pytest.mark.parametrize(
    "layer",
    [{"data": "b\udce4ume"}, {"pairs": ("n", "b\udce4ume")}, {"noisy_only": True, "data": "n", "output": "b\udce4ume"}],
)
def test_names_that_are_no_utf_8_are_refused_before_the_images_are_read(layer: dict[str, Any]) -> None:
    message = refusal("denoise", layer)
    assert "is no UTF-8; rename it" in message
    assert message.encode(), "it can be shown"


def test_a_current_folder_that_is_no_utf_8_is_refused_where_it_would_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "b\udce4ume"
    (here / "photos").mkdir(parents=True)
    monkeypatch.chdir(here)
    assert "is no UTF-8" in refusal("denoise", {"data": "photos"})
    assert resolve("denoise", {}).data == "photographs"


def test_a_model_to_train_further_needs_its_genotype() -> None:
    assert "without the genotype" in refusal("denoise", {"from_model": "runs/mine"})
