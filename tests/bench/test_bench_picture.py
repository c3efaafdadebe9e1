"""The picture of a denoiser."""

from pathlib import Path

import pytest
from PIL import Image

from evoae_cli.bench.picture import main


def test_a_model_is_shown_beside_clean_and_noisy(
    finished_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "picture.jpg"
    main([str(finished_study), "--out", str(out)])
    assert capsys.readouterr().out.startswith("gaussian, standard deviation 73.6 on 0..255")
    with Image.open(out) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (3 * 198 + 6, 2 * 198 + 28)


@pytest.mark.parametrize(
    ("model", "out", "told"),
    [
        ("none", "picture.jpg", "no model in 'none'"),
        ("", "none/picture.jpg", "cannot be written: No such file or directory; name another place"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    model: str, out: str, told: str, finished_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([model or str(finished_study), "--out", str(tmp_path / out)])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
