"""What a person has on the page: their images and what is still to be analysed.

All of it lives in Streamlit's session state, in memory, until the browser tab is closed. A file
that was uploaded is let go of as soon as it is analysed; only the pixels at working size stay.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import streamlit as st

from cxr.web.engine import Analysed

MOST_IMAGES: Final = 40
"""Kept for one person, oldest let go first: each takes about 8 MB."""

_KEY: Final = "images"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An image that is still to be analysed.

    Attributes:
        name: Of the file.
        read: Gives its bytes.
    """

    name: str
    read: Callable[[], bytes]


@dataclass
class Images:
    """Of one session.

    Attributes:
        analysed: By image_id, oldest first.
        waiting: Still to be analysed.
        chosen: image_id of the one that is shown.
        asked: How many were asked for since the last time that nothing was waiting.
        dropped: How many were let go to make room.
        failed: Names and reasons of images that have no result.
        uploads: Counts what was uploaded, so that the uploader starts empty again.
    """

    analysed: dict[str, Analysed] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    chosen: str | None = None
    asked: int = 0
    dropped: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    uploads: int = 0

    def ask(self, images: Iterable[Waiting]) -> None:
        """Put images in the queue."""
        if not self.waiting:
            self.asked, self.failed = 0, []
        added = list(images)
        self.waiting += added
        self.asked += len(added)

    def add(self, image: Analysed, *, show: bool) -> None:
        """Take a finished image in."""
        image_id = str(image.record["image_id"])
        self.analysed.pop(image_id, None)
        self.analysed[image_id] = image
        if show or self.chosen is None:
            self.chosen = image_id
        while len(self.analysed) > MOST_IMAGES:
            oldest = next(key for key in self.analysed if key != self.chosen)
            del self.analysed[oldest]
            self.dropped += 1

    def remove(self, image_id: str) -> None:
        """Let an image go, and show the next one."""
        keys = list(self.analysed)
        place = keys.index(image_id)
        del self.analysed[image_id]
        left = [key for key in keys if key != image_id]
        self.chosen = left[min(place, len(left) - 1)] if left else None


def session_images() -> Images:
    """Those of the session that runs."""
    images: Images = st.session_state.setdefault(_KEY, Images())
    return images
