"""The presets: where every setting that a person does not give comes from, each default with its reason."""

from typing import Any, Literal

from evoae_cli.evaluation.contract import Objective

Preset = Literal["quick", "paper"]

# What both presets share.
_COMMON: dict[str, Any] = {
    "seed": 0,
    "data_root": None,
    "pairs": None,
    "download": False,
    "range": None,
    "noise": None,
    "sigma2": "1/3",
    "noisy_only": False,
    "output": None,
    "dropout": True,
    "decoder": "same",
    "workers": None,
    # Two threads on two busy cores ran 16 times slower than one, and give other last digits than one.
    "threads": 1,
    "device": "auto",
    # The paper's. The asynchronous search wastes no worker's time, but its history depends on the timing.
    "mode": "generational",
    # A heartbeat tells whether a worker lives; only a person knows how long a candidate is worth waiting for.
    "timeout": "none",
    "heartbeat_interval_s": 1.0,
    "heartbeat_timeout_s": 10.0,
    # Importing torch from a cold disk takes up to half a minute.
    "start_timeout_s": 60.0,
    "finalists": 3,
    "final_seeds": 1,
    # The paper's network has no limit on the code; for manifold learning that is no compression at all.
    "code_ratio": "paper",
    "reductions": 1,
    # A small budget is better spent on finding one good architecture than on a whole front.
    "objectives": ("fitness",),
    "max_parameters": None,
    "max_operations": None,
    "max_code": None,
    # The paper's evolution starts from random modules of one layer.
    "start_from": (),
    "genotype": None,
    "from_model": None,
}

PRESETS: dict[Preset, dict[str, Any]] = {
    # The paper's settings, section 5, and where it is silent its code's, which takes 4,500 of STL-10's 5,000 labelled
    # images to train on and 500 to validate on.
    "paper": _COMMON
    | {
        "data": "stl10",
        "patch": 96,
        "crop": 96,
        "train_images": 4500,
        "val_images": 500,
        "test_images": 500,
        "flips": False,
        "colours": "off",
        "space": "paper",
        "kernels": (1, 3, 5, 7),
        "filters": (8, 16, 32, 64),
        "max_layers": 10,
        "population": 10,
        "generations": 20,
        "keep_duplicates": True,
        "epochs": 2,
        "final_epochs": 20,
        "batch_size": 32,
        "lr": 1e-3,
        "schedule": "constant",
        "clip_gradients": False,
        "precision": "float32",
        "channels_last": False,
    },
    # Sized so that `evoae search denoise` ends in under 5 minutes on two cores. What a short training lacks is steps:
    # at equal pixels seen, crops of 32 instead of 48, batches of 8 instead of 16 and a higher peak together lift
    # `3x3conv2d:16` from 21.9 to 24.1 dB. A peak of 8e-3 is better still for one layer, but leaves most modules of two
    # layers at 17.5 dB, where they start. Crops of 24 bring no more, and batches of 4 not what they cost. At such peaks
    # a gradient a hundred times the usual one leaves deep residual networks at the noisy image, unless it is clipped:
    # `5x5conv2d:32/reductions:2/repeats:3/skips:add,concat/residual` has 20.5 dB under noise of 25 after 1,500 steps,
    # and 28.8 dB with clipping. Of eight others, five were within 0.3 dB of what they were without it after 3 and after
    # 12 epochs, two deep residual ones gained 0.6 and 4.5 after 12, and one of four layers lost 2.1 after 3 (and gained
    # 0.3 after 12). It takes some 30 microseconds of a step.
    "quick": _COMMON
    | {
        "data": "photographs",
        "patch": 96,
        "crop": 32,
        "train_images": 1024,
        "val_images": 24,
        "test_images": 24,
        "flips": True,
        # With the 9 built-in photographs it lifts `3x3conv2d:16/reductions:3/skips:concat,concat,concat` from 24.5 to
        # 25.1 dB after 20 epochs of crops of 48; with 160 photographs it takes 0.2 dB off, so `auto` looks.
        "colours": "auto",
        "space": "skip",
        # 7x7 and 64 filters cost more than they bring in a training this short.
        "kernels": (1, 3, 5),
        "filters": (8, 16, 32),
        "max_layers": 3,
        "population": 6,
        "generations": 4,
        "keep_duplicates": False,
        "epochs": 3,
        "final_epochs": 40,
        "batch_size": 8,
        "lr": 4e-3,
        "schedule": "cosine",
        "clip_gradients": True,
        "precision": "auto",
        "channels_last": True,
    },
}

# Where a preset's settings are other ones for a search space than those above, which suit the paper's.
_OF_SPACE: dict[tuple[Preset, str], dict[str, Any]] = {
    # Networks with skips gain from longer training. 32 filters leave no time for that: with them one search had not
    # ended after six minutes. The two best go to the end together, on two cores.
    ("quick", "skip"): {
        "reductions": 3,
        "kernels": (3, 5),
        "filters": (8, 16),
        "max_layers": 2,
        "dropout": False,
        "final_epochs": 90,
        "finalists": 2,
    },
}

_OF_OBJECTIVE: dict[tuple[Preset, Objective], dict[str, Any]] = {
    ("paper", "manifold"): {"reductions": 2, "final_epochs": 40, "code_ratio": "1/4"},
    ("quick", "manifold"): {"reductions": 2, "code_ratio": "1/4"},
}


# Noisy images get no noise. What is learnt from hidden pixels suffers from their noise, which a lower peak averages
# out: at 2e-3 `5x5conv2d:32,3x3conv2d:16` reaches 25.1 dB after 12 epochs under noise of 25, and 22.4 dB under 74; at
# 4e-3 24.3 and 20.7 dB, at 1e-3 24.6 and 22.3 dB.
_NOISY_ONLY: dict[Preset, dict[str, Any]] = {
    "quick": {"sigma2": None, "lr": 2e-3},
    "paper": {"sigma2": None},
}


def default_space(preset: Preset) -> str:
    """The search space of a preset."""
    space: str = PRESETS[preset]["space"]
    return space


def preset_settings(preset: Preset, objective: Objective, space: str, noisy_only: bool = False) -> dict[str, Any]:
    """Every setting of a preset in a search space, but the preset's name and the objective.

    A space of the user's own has the settings of `skip`, which are not for sequential networks alone. `noisy_only` is
    the setting of that name.
    """
    kind = space if space == "paper" else "skip"
    of_space = _OF_SPACE.get((preset, kind), {}) | {"space": space}
    of_noisy = _NOISY_ONLY[preset] if noisy_only else {}
    return PRESETS[preset] | _OF_OBJECTIVE.get((preset, objective), {}) | of_space | of_noisy
