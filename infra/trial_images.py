"""Distinct images in any number from a few: each turned, shifted, brightened and grained anew.

A tenth of them is corrupted afterwards, as files of old archives are.
"""

import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from lambdas.shared.errors import ConfigError

LONGEST_PX: Final = 640
"""A usual film has six times as many pixels a side; two thousand of those would not fit memory."""

CORRUPT: Final = 0.1

_RASTER: Final = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class TrialImage:
    """One image.

    Attributes:
        key: Below the archive's prefix.
        content: Its bytes.
        corrupt: What was done to it; None for a good one.
    """

    key: str
    content: bytes
    corrupt: str | None


def trial_images(folder: Path, count: int, *, seed: int, poison: int) -> Iterator[TrialImage]:
    """Make so many images.

    Args:
        folder: Raster films to make them from, at all levels.
        count: How many.
        seed: The same seed gives the same images.
        poison: How many have `poison` in their key; the rest is as of any image.

    Raises:
        ConfigError: The folder has no film that opens.
    """
    films = _films(folder)
    chances = random.Random(seed)
    poisonous = set(chances.sample(range(count), min(poison, count)))
    corrupt = set(chances.sample(range(count), round(count * CORRUPT))) - poisonous
    for number in range(count):
        content = _variant(films[number % len(films)], chances)
        name = f"{number:05d} Müller.png"
        if number in poisonous:
            yield TrialImage(f"poison {name}", content, None)
        elif number in corrupt:
            how = chances.choice(sorted(_CORRUPTIONS))
            yield TrialImage(name, _CORRUPTIONS[how](content, chances), how)
        else:
            yield TrialImage(name, content, None)


def _films(folder: Path) -> Sequence[Image.Image]:
    """All that opens, in eight bits and no larger than is needed."""
    films = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in _RASTER:
            continue
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("L") if image.mode != "I;16" else image)
        except OSError:
            continue
        low, high = np.percentile(pixels, (0.5, 99.5))
        scaled = np.clip((pixels - low) / max(1.0, high - low), 0, 1) * 255
        film = Image.fromarray(scaled.astype(np.uint8))
        film.thumbnail((LONGEST_PX, LONGEST_PX))
        films.append(film)
    if not films:
        raise ConfigError(f"{folder} has no films (PNG, JPEG, TIFF); `make demo` draws some")
    return films


def _variant(film: Image.Image, chances: random.Random) -> bytes:
    shift = (chances.randint(-12, 12), chances.randint(-12, 12))
    turned = film.rotate(chances.uniform(-4, 4), Image.Resampling.BILINEAR, translate=shift)
    pixels = np.asarray(turned, np.float32) * chances.uniform(0.85, 1.1)
    grain = np.random.default_rng(chances.getrandbits(32)).normal(0, 2, pixels.shape)
    written = io.BytesIO()
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(
        written, "PNG", compress_level=1
    )
    return written.getvalue()


def _truncated(content: bytes, chances: random.Random) -> bytes:
    return content[: int(len(content) * chances.uniform(0.1, 0.9))]


def _overwritten(content: bytes, chances: random.Random) -> bytes:
    start = int(len(content) * chances.uniform(0.1, 0.7))
    return content[:start] + bytes(4096) + content[start + 4096 :]


def _noise(content: bytes, chances: random.Random) -> bytes:
    return chances.randbytes(min(len(content), 100_000))


def _empty(content: bytes, chances: random.Random) -> bytes:
    return b""


_CORRUPTIONS: Final[dict[str, Callable[[bytes, random.Random], bytes]]] = {
    "empty": _empty,
    "noise": _noise,
    "overwritten": _overwritten,
    "truncated": _truncated,
}
