"""What a person does on the page, and what they see of the film."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY

SCREENSHOTS = REPOSITORY / "build" / "screenshots"
"""Left there for the eye."""

LAPTOP, TABLET = (1366, 768), (820, 1180)

WAIT_MS = 60_000
"""For one step; the machine may be busy."""

FILM = "canvas.film[aria-label]"
"""The shown one; the instance that carries the samples has a canvas of its own for a moment."""

NAME = "SMITH^JOHN.tif"
"""Of an image with three findings; it must stand in no URL and no log."""


def upload(page: Any, *paths: Path) -> None:
    # while a run replaces the uploader there are two for a moment
    page.wait_for_function("document.querySelectorAll('input[type=file]').length === 1")
    page.locator("input[type=file]").set_input_files([str(path) for path in paths])


def upload_and_wait(page: Any, path: Path) -> None:
    upload(page, path)
    page.locator("rect.hit").first.wait_for()


def downloaded(page: Any, name: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return Path(download.value.path()).read_bytes()


def on_film(page: Any) -> tuple[float, float, float, float]:
    """Left, top, width and height of the shown film, in pixels of the screen."""
    box = page.locator(FILM).bounding_box()
    return box["x"], box["y"], box["width"], box["height"]


def settled(page: Any, what: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """The first value that is wanted; waits for frames, not for time."""
    for _ in range(600):
        value = what()
        if wanted(value):
            return value
        page.evaluate("() => new Promise(requestAnimationFrame)")
    raise AssertionError(f"it stays {value}")
