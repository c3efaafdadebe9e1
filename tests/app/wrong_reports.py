"""Wrong use of `evoae report`."""

from wrong_baselines import COMPARISON
from wrong_use_kit import Kit, case, cut, file, folder, mode, several, study, without

_OWN = "runs/mine/report.html"


def _another(kit: Kit) -> None:
    """A second study."""
    kit.copy_study("runs/yours")


CASES = (
    case("a page of nothing", "report", "no study in runs/", "evoae search", is_process=True),
    case("a page of an unknown study", "report nowhere", "'nowhere'"),
    case("a page of two, one unknown", "report mine nowhere --out a.html", "'nowhere'", "mine", prepare=study),
    case("a page of no name", "report ''", "empty"),
    case(
        "a page of several in no file",
        "report mine yours",
        "--out compare.html",
        prepare=several(study, _another),
    ),
    case(
        "a page that exists",
        "report mine --out a.html",
        "a.html exists",
        "--force",
        prepare=several(study, file("a.html")),
    ),
    case("a page of another kind", "report mine --out a.pdf", "a.pdf", ".html", prepare=study),
    case("a page over a database", "report mine --out runs/mine/study.db --force", "study.db", ".html", prepare=study),
    case(
        "a page in a folder's place", "report mine -o a.html", "is a folder", prepare=several(study, folder("a.html"))
    ),
    case("a page in no folder", "report mine --out no/a.html", "no does not exist", "make it first", prepare=study),
    case("a page in a file", "report mine --out a/b.html", "a is a file", prepare=several(study, file("a"))),
    case(
        "a page of a cut study",
        "report mine",
        "runs/mine/study.db",
        prepare=several(study, cut("runs/mine/study.db", 0.5)),
    ),
    case("a page of a comparison of none", "report chance", "no study yet", "evoae resume", prepare=COMPARISON),
    case(
        "a study's page that is a folder",
        "report mine",
        f"{_OWN} is a folder",
        "--out",
        prepare=several(study, without(_OWN), folder(_OWN)),
    ),
    case(
        "a page where nothing may be written",
        "report mine",
        "no permission to write in runs/mine",
        "--out",
        prepare=several(study, mode("runs/mine", 0o555)),
        is_unprivileged=True,
    ),
)
