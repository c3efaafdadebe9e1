"""Pages of every kind of study, opened in a real browser: all pictures load, nothing is refused, nothing overflows."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evoae_cli import report, search, train
from evoae_cli.bench.small import SMALL

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
N_IMAGES = {"denoise": 4 * 4, "noisy only": 4 * 3, "training for manifold": 4 * 2, "comparison": 4 * 4 + 4 * 2}
"""On the page of each kind: four test images, as they are and as each of what is shown makes them."""


def noisy_images(folder: Path) -> Path:
    """Waves under noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:96, :96] / 9
    for number in range(8):
        wave = np.stack([np.sin(across + down * tone + number) for tone in (0.2, 0.5, 1)], axis=-1)
        pixels = 128 + 70 * wave + rng.normal(0, 20, wave.shape)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def pages(finished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind."""
    place = tmp_path_factory.mktemp("pages")
    settings = SMALL | {"progress": False, "workers": 1}
    noisy = settings | {"generations": 0, "noisy_only": True, "objectives": ("fitness", "operations")}
    with pytest.warns(UserWarning, match="takes away only"):
        searched = search("denoise", study=place / "noisy", data=str(noisy_images(place / "photos")), **noisy)
    of_training = {name: settings[name] for name in ("train_images", "val_images", "test_images", "patch", "crop")}
    trained = train(
        "manifold",
        genotype="3x3conv2d:8,dropout2d/reductions:1/residual",
        study=place / "alone",
        epochs=1,
        progress=False,
        **of_training,
    )
    studies = {"denoise": finished_study, "noisy only": searched.folder, "training for manifold": trained.folder}
    written = {kind: folder / "report.html" for kind, folder in studies.items()}
    written["comparison"] = report([finished_study, trained.folder], out=place / "compare.html")
    return written


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; install one: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.mark.parametrize("kind", N_IMAGES)
def test_every_page_opens_whole_in_light_and_dark_on_screens_of_any_width(
    kind: str, pages: dict[str, Path], browser: Any
) -> None:
    backgrounds = set()
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 360)):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.on("requestfailed", lambda request, said=said: said.append(request.url[:80]))
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(pages[kind].as_uri())
        page.wait_for_load_state("load")
        images = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
        assert images.count(False) == 0
        assert len(images) == N_IMAGES[kind]
        drawn = page.evaluate("[...document.querySelectorAll('main svg')].map(e => e.getBoundingClientRect().height)")
        assert min(drawn, default=100) > 40
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert said == []
        assert [url for url in asked if not url.startswith(("file://", "data:"))] == []
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert len(backgrounds) == 2


def test_pages_say_what_is_so_for_their_kind(pages: dict[str, Path]) -> None:
    text = {kind: path.read_text(encoding="utf-8") for kind, path in pages.items()}
    assert "no PSNR is claimed" in text["noisy only"]
    assert "PSNR, dB" not in text["noisy only"].partition('id="paper"')[0]
    assert 'alt="Test image 1: clean' not in text["noisy only"]
    assert "The front of the objectives fitness, operations" in text["noisy only"]
    assert "reconstruction" in text["training for manifold"]
    assert "without a search, so there are no generations" in text["training for manifold"]
    assert "Random search is missing" not in text["training for manifold"]
    assert "In the first row the linear code" in text["training for manifold"]
    assert "at the right the code" not in text["training for manifold"]
    assert "at the right the code" in text["denoise"]
    assert "Random search is missing" in text["denoise"]
    assert "Settings that differ" in text["comparison"]
    assert "differ in objective" in text["comparison"]
