"""Wrong use of `evoae random-baseline`, and of comparisons that it has made."""

from wrong_use_kit import case, file, folder, several, sql, study

_META = "INSERT OR REPLACE INTO meta VALUES ('{}', '{}')"
_RANDOM = "random-baseline denoise"
_PLAN = """{"format": 1, "objective": "denoise", "settings": {"seed": 0}, "protocols": ["paper"], "n_samples": 30,
"against": null, "n_pairs": 1, "references": []}"""
COMPARISON = several(folder("runs/chance"), file("runs/chance/baseline.json", _PLAN))

CASES = (
    case("chance for nothing", "random-baseline", "denoise", "--against STUDY", is_process=True),
    case("chance for a misspelt objective", "random-baseline denois", "'denois'", "denoise or manifold"),
    case("a single sample", f"{_RANDOM} --samples 1", "--samples 1", "2 to 10000"),
    case(
        "samples of another protocol",
        "random-baseline --against mine --samples 3 --protocols uniform",
        *("--samples 3", "leave it out"),
        prepare=study,
    ),
    case("an unknown protocol", f"{_RANDOM} --protocols fair", "'fair'", "paper, uniform, lengths or one-layer"),
    case("a fair protocol without a search", f"{_RANDOM} --protocols lengths", "lengths", "--against STUDY"),
    case("pairs without a search", f"{_RANDOM} --seeds 5", "--seeds 5", "--against STUDY"),
    case("no pairs", "random-baseline --against mine --seeds 0", "--seeds 0", "1 to 100", prepare=study),
    case(
        "pairs of what has no fair comparison",
        "random-baseline --against mine --protocols paper --seeds 5",
        *("--seeds 5", "--protocols paper", "uniform, lengths or one-layer"),
        prepare=study,
    ),
    case("chance with generations", f"{_RANDOM} --generations 4", "--generations", is_process=True),
    case("chance from no images", f"{_RANDOM} --data nowhere/", "nowhere", "folder of images"),
    case("chance with a wrong setting", f"{_RANDOM} --lr 0", "--lr 0", "above 0"),
    case("chance where a study is", f"{_RANDOM} --study mine", "runs/mine exists", "--study", prepare=study),
    case(
        "chance where a comparison is",
        f"{_RANDOM} --study chance",
        *("runs/chance holds a comparison", "evoae resume runs/chance", "--study"),
        prepare=COMPARISON,
    ),
    case("against an unknown study", "random-baseline --against nowhere", "'nowhere'"),
    case("against a comparison", "random-baseline --against chance", "chance is a comparison", prepare=COMPARISON),
    case("against another objective", "random-baseline manifold --against mine", "manifold", "denoise", prepare=study),
    case("against, with settings", "random-baseline --against mine --lr 0.1", "--lr", "search's", prepare=study),
    case(
        "against what was interrupted",
        "random-baseline --against mine",
        "has not ended",
        "evoae resume runs/mine",
        prepare=several(study, sql("runs/mine/study.db", _META.format("state", '"interrupted"'))),
    ),
    case("a comparison with history", "show chance --history", "paper-0", prepare=COMPARISON),
    case("a comparison in a time", "resume chance --for 3m", "--for", "leave it out", prepare=COMPARISON),
    case("a comparison's generations", "resume chance --generations 9", "--generations", prepare=COMPARISON),
    *(
        case(
            f"{command} of a comparison in which nothing runs",
            f"{command} chance",
            "evoae resume runs/chance",
            prepare=COMPARISON,
        )
        for command in ("stop", "workers")
    ),
    case(
        "a comparison that cannot be read",
        "show chance",
        "runs/chance/baseline.json",
        "no comparison",
        prepare=several(folder("runs/chance"), file("runs/chance/baseline.json", "{")),
    ),
)
