"""A few small photographs to compare on, and the settings of searches that take a second."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evoae_cli.bench.small import SMALL
from evoae_cli.evaluation.imagefile import ImageFile
from evoae_cli.evaluation.images import prepare_images
from evoae_cli.evaluation.photographs import photograph_images

SIDE = 48


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train` (8) and `val` (3), tiles of 48x48 of photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    picture = max(photograph_images(), key=lambda image: image.pixels.size).pixels
    for number, (row, column) in enumerate(product(range(3), range(4))):
        place = folder / ("train" if number < 8 else "val")
        place.mkdir(exist_ok=True)
        tile = picture[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        if number != 11:
            Image.fromarray(tile).save(place / f"{number:02}.png")
    return folder


@pytest.fixture
def tiny() -> tuple[tuple[str, Any], ...]:
    """Settings that a comparison may be given."""
    left_out = ("space", "patch")
    settings = {name: value for name, value in SMALL.items() if name not in left_out}
    return tuple((settings | {"device": "cpu", "workers": 1}).items())


@pytest.fixture(scope="session")
def training_images(photographs: Path) -> ImageFile:
    """`train` as a search in patches of 32x32 has it."""
    return prepare_images(
        str(photographs / "train"),
        data_root=None,
        download=False,
        pixel_range=None,
        patch=32,
        crop=32,
        seed=0,
        n_val=1,
        n_test=1,
        warn=lambda text: None,
    )


Refusal = Callable[[Callable[[Sequence[str]], None], Sequence[str]], str]


@pytest.fixture
def refusal(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refusal:
    """The one line of a comparison that cannot be made with such options; it has left nothing behind."""
    monkeypatch.chdir(tmp_path)

    def line(main: Callable[[Sequence[str]], None], given: Sequence[str]) -> str:
        common = ["--data", str(photographs / "train"), "--test", str(photographs / "val"), "--patch", "32"]
        with pytest.raises(SystemExit) as ended:
            main([*common, "--out", "rows.json", *given])
        assert ended.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1].startswith("error: ")
        assert "Traceback" not in "".join(lines)
        assert not list(tmp_path.iterdir())
        return lines[-1]

    return line
