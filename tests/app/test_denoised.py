"""What `evoae denoise` says while it works and of its results."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from evoae_cli.app.denoised import progress, table, warnings
from evoae_cli.app.running import Show
from evoae_cli.applying.batch import FileResult
from evoae_cli.applying.noisecheck import Trained
from evoae_cli.applying.tryout import Figures


def results(n: int, *, noise: str = "", warning: str = "") -> list[FileResult]:
    return [
        FileResult(Path(f"{k}.png"), None, noise_strength=float(k), noise_warning=noise, warning=warning)
        for k in range(n)
    ]


def test_few_warnings_are_told_one_by_one_and_many_summed_up() -> None:
    trained = Trained(25, 25)
    assert list(warnings(results(3, noise="odd"), trained)) == ["odd"] * 3
    [line] = warnings([*results(12, noise="odd"), *results(28)], trained)
    assert line.startswith("12 of 40 images read as more or less noisy (0 to 11 ")
    assert line.endswith("trained for (25): 0.png, 1.png, 2.png, 3.png, 4.png and 7 more")
    [line] = warnings(results(4, noise="odd"), Trained(10, 50, "poisson"))
    assert "noisy (poisson:0 to poisson:3) than what this model was trained for (poisson:10-50): 0.png" in line
    assert list(warnings(results(2, warning="lost"), None)) == ["lost"] * 2
    [line] = warnings(results(4, warning="lost"), None)
    assert line.startswith("4 of 4 images have transparency")
    assert list(warnings(results(4), trained)) == []


def test_the_figures_end_with_their_mean_where_there_are_several() -> None:
    scored = [FileResult(Path(name), None, figures=Figures(20, 0.4, 30, 0.8)) for name in ("a.png", "long.png")]
    assert list(table(scored[:1])) == ["a.png  noisy 20.00 dB, SSIM 0.400  output 30.00 dB, SSIM 0.800"]
    lines = list(table(scored))
    assert lines[2].startswith("mean of 2  noisy 20.00 dB")
    assert len({len(line) for line in lines}) == 1
    assert list(table(results(2))) == []
    [line] = table([FileResult(Path("a\nb.png"), None, figures=Figures(20, 0.4, 30, 0.8))])
    assert line.startswith("a\\nb.png  noisy")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_names_each_file_and_survives_names_that_look_like_markup(is_terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=100, color_system=None)
    with progress(Show(console, is_quiet=False, is_json=False), ["[bold]a\n.png", "b.png"]) as tell:
        for number in range(2):
            tell(number, 0.5, False)
            tell(number, 1.0, True)
    text = stream.getvalue()
    assert "2/2 b.png" in text
    if not is_terminal:
        assert text.splitlines() == ["1/2 [bold]a\\n.png", "2/2 b.png"]


def test_quiet_progress_says_nothing() -> None:
    stream = io.StringIO()
    with progress(Show(Console(file=stream), is_quiet=True, is_json=False), ["a.png"]) as tell:
        tell(0, 1.0, True)
    assert stream.getvalue() == ""
