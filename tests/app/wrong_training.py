"""Wrong use of `evoae train`, and of studies that it has made."""

from wrong_use_kit import case, file, folder, in_use, picture, pixels, several, sql, study, without

_TRAIN = "train denoise --genotype 3x3conv2d:8"
_MODEL = "runs/mine/best/model.safetensors"
_TOML = 'objective = "denoise"\n'
_META = "INSERT OR REPLACE INTO meta VALUES ('{}', '{}')"
_SETTING = "UPDATE meta SET value=json_set(value, '$.{}', {}) WHERE key='settings'"
# What the study of the kit would hold had it trained one architecture further.
_TRAINED = sql("runs/mine/study.db", _SETTING.format("genotype", "'3x3conv2d:8'"))

CASES = (
    # What to train.
    case("nothing to train", "train denoise", "--genotype", "--from STUDY", is_process=True),
    case("nothing at all", "train", "--genotype", "--from STUDY"),
    case("two things to train", f"{_TRAIN} --from mine", "3x3conv2d:8", "mine", "give one of them"),
    case("training for nothing", "train --genotype 3x3conv2d:8", "evoae train denoise"),
    case("training for a misspelt objective", "train denois --genotype 3x3conv2d:8", "'denois'", "denoise"),
    # Genotypes.
    case("an architecture without layers", "train denoise --genotype ''", "--genotype ''", "3x3conv2d:16"),
    case("an unknown layer", "train denoise --genotype 3x3conv:8", "'3x3conv:8'", "3x3conv2d:16", is_process=True),
    case("a layer without filters", "train denoise --genotype 3x3conv2d", "'3x3conv2d'", "3x3conv2d:16"),
    case("a hole in an architecture", "train denoise --genotype 3x3conv2d:8,,dropout2d", "layer 2 is empty"),
    case("an endless genotype", f"train denoise --genotype {'x' * 5000}", "xxx...", "3x3conv2d:16"),
    case("a layer that the space lacks", "train denoise --genotype 3x3sepconv:8 --space paper", "use --space skip"),
    case("repeats in the paper's space", f"{_TRAIN}/repeats:2 --space paper", "repeats:2", "use --space skip"),
    case("a skip in the paper's space", f"{_TRAIN}/reductions:1/skips:add --space paper", "--reductions 1", "skip"),
    case("residual in the paper's space", f"{_TRAIN}/residual --space paper", "residual", "use --space skip"),
    case("too many repeats", f"{_TRAIN}/repeats:9", "repeats:9", "1, 2, 3"),
    case("two numbers of reductions", f"{_TRAIN}/reductions:2 --reductions 3", "--reductions 3", "reductions:2"),
    case("reductions beyond the image", f"{_TRAIN}/reductions:6", "--patch 96", "64"),
    case(
        "a skip round the code",
        "train manifold --genotype 3x3conv2d:8/reductions:1/skips:add",
        "manifold",
        "leave skips out",
    ),
    case(
        "residual with a code of no size",
        "train manifold --genotype 3x3conv2d:8/residual --code-ratio paper",
        "residual is not possible",
        "--code-ratio",
    ),
    case("a code that no reductions give", "train manifold --genotype 3x3conv2d:8 --code-ratio 1/7 -q", "--code-ratio"),
    # Settings.
    case("no epochs of training", f"{_TRAIN} --epochs 0", "--epochs 0", "at least 1", is_process=True),
    case("half an epoch of training", f"{_TRAIN} --epochs 1.5", "'1.5'", "whole number"),
    case("training with a population", f"{_TRAIN} --population 4", "--population", "search", "leave it out"),
    case("training with generations", f"{_TRAIN} --generations=4", "--generations", "search", "leave it out"),
    case("training with a limit", f"{_TRAIN} --max-parameters 4", "--max-parameters", "search", "leave it out"),
    case("training in a time", f"{_TRAIN} --for 3m", "--for", "search", "leave it out"),
    case("training with final epochs", f"{_TRAIN} --final-epochs 3", "--final-epochs", "give --epochs"),
    case("training without dropout", f"{_TRAIN} --no-dropout", "--no-dropout", "search", "leave it out"),
    case("training on nothing", f"{_TRAIN} --data nowhere/", "nowhere", "folder of images"),
    case("a plan that downloads", f"{_TRAIN} --data stl10 --download --dry-run -q", "--download", "--dry-run"),
    case("training where a study is", f"{_TRAIN} --study mine", "runs/mine exists", "resume", prepare=study),
    case("training from no file", "train --config nowhere.toml", "nowhere.toml"),
    case("a file without an architecture", "train --config a.toml", "--genotype", prepare=file("a.toml", _TOML)),
    case(
        "a search with the file of a training",
        "search --config a.toml",
        "evoae train denoise --config a.toml",
        prepare=file("a.toml", _TOML + 'genotype = "3x3conv2d:8"\n'),
    ),
    # Starts.
    case("further from an unknown study", "train denoise --from nowhere", "'nowhere'", is_process=True),
    case("further from a folder", "train denoise --from ./here", "here is no study", prepare=folder("here")),
    case("further from an empty name", "train denoise --from ''", "name is empty"),
    case("further for another objective", "train manifold --from mine", "evoae train denoise", prepare=study),
    case("further with a file", "train --from mine --config runs/mine", "--config", "leave", prepare=study),
    case("further with another seed", "train --from mine --seed 1", "--seed", "leave it out", prepare=study),
    case("further with another preset", "train --from mine --preset paper", "--preset", "start's", prepare=study),
    case("further with another network", "train --from mine --decoder mirrored", "--decoder", prepare=study),
    case(
        "further from what was interrupted",
        "train --from mine",
        "interrupted",
        "evoae resume runs/mine",
        prepare=several(study, sql("runs/mine/study.db", _META.format("state", '"interrupted"'))),
    ),
    case(
        "further from what has no winner",
        "train --from mine",
        "not come to its end",
        prepare=several(study, sql("runs/mine/study.db", "DELETE FROM meta WHERE key='winner'")),
    ),
    case(
        "further from a running study",
        "train --from mine",
        "still runs",
        "evoae stop",
        prepare=several(study, in_use("runs/mine")),
    ),
    case(
        "further from a lost model",
        "train --from mine",
        "best/model.safetensors",
        "evoae resume runs/mine",
        prepare=several(study, without(_MODEL)),
    ),
    case(
        "further from a broken model",
        "train --from mine -q",
        "model.safetensors",
        prepare=several(study, file(_MODEL, "text")),
    ),
    case("further from no database", "train --from mine", "study.db", prepare=file("runs/mine/study.db", "text")),
    case(
        "grey images for a model of colours",
        "train --from mine -q --data grey",
        "3 channels",
        "1",
        "--data",
        prepare=several(study, *(picture(f"grey/{n}.png", pixels(48 + n, 48)) for n in range(8))),
    ),
    # What it has made.
    case(
        "more generations for a training",
        "resume mine -q --generations 9",
        "--generations 9",
        "evoae train --from runs/mine",
        prepare=several(study, _TRAINED),
    ),
    case("a limit for a training", "resume mine --for 3m", "--for", "leave it out", prepare=several(study, _TRAINED)),
)
