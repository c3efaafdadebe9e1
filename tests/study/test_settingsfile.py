from pathlib import Path

import pytest

from evoae_cli.errors import UsageError
from evoae_cli.study.resolve import resolve
from evoae_cli.study.settingsfile import read_settings


def test_a_studys_settings_resolve_to_the_same_settings(finished_study: Path) -> None:
    settings = read_settings(finished_study / "study.toml")
    config = resolve(settings.pop("objective"), settings)
    assert config.generations == 1
    assert config.filters == (8,)
    assert config.precision == "float32"
    assert read_settings(finished_study) == read_settings(finished_study / "study.toml")


def test_a_file_by_hand_may_hold_a_few_settings(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('population = 3\nnoise = "gaussian:25"\n')
    config = resolve("denoise", read_settings(tmp_path / "mine.toml"))
    assert (config.population, config.noise, config.sigma2) == (3, "gaussian:25", None)


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"population = ", "is no TOML"), (b"\xff\xfe", "it is no text"), (None, "No such file")],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, content: bytes | None, part: str) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=part) as refused:
        read_settings(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
