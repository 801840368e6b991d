"""A real browser: Debian's Chromium, driven by Playwright, on a page of a process of its own."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cxr.web.browser.acts import LAPTOP, NAME, WAIT_MS
from tests.cxr.web.server import served
from training.demo_images import DEMO_IMAGES, SEED, SIZE_PX
from training.phantoms.draw import draw_study
from training.phantoms.plan import plan_study

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Visit = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright_api = pytest.importorskip("playwright.sync_api")

    with playwright_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of the demo's images: with three findings, with others, and a lateral view."""
    folder = tmp_path_factory.mktemp("images")
    for name, path in (
        (NAME, "tiff/05_16_bit_lzw.tif"),
        ("other.dcm", "dicom/IM000012"),
        ("lateral.dcm", "rejected/13_lateral_view.dcm"),
    ):
        image = next(each for each in DEMO_IMAGES if each.path == path)
        phantom = draw_study(plan_study(seed=SEED, index=image.study), size_px=SIZE_PX)
        (folder / name).write_bytes(image.write(phantom))
    return folder


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "server.log"


@pytest.fixture(scope="session")
def url(images: Path, kept: Path, log: Path) -> Iterator[str]:
    with served(f"--keep={kept}", f"--samples={images}", log=log) as address:
        yield address


@pytest.fixture
def visit(browser: Any, url: str) -> Iterator[Visit]:
    """Open the page as a new person; at the end, no script may have failed."""
    contexts, failures = [], []

    def open_page(
        path: str = "", *, size: tuple[int, int] = LAPTOP, dark: bool = False, at: str = url
    ) -> Any:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on(
            "console",
            lambda said: failures.append(said.text) if "BidiComponent Error" in said.text else None,
        )
        page.goto(at + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert failures == []
