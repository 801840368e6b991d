"""The stand-in for the AWS base image, and the functions' images on top of it, built once."""

import fcntl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.images import stage_context
from tests.containers.engine import REPOSITORY, STORE, Engine

STAND_IN: Final = "localhost/cxr-lambda-stand-in"
SUITE: Final = "trixie"
PACKAGES: Final = "python3,python3-pip,ca-certificates"
DEMO_MODELS: Final = REPOSITORY / "models" / "demo"

_RECIPE: Final = Path(__file__).with_name("stand_in")


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A function's image.

    Attributes:
        name: Its tag.
        size_bytes: Of all its layers.
        added_bytes: Of its layers without those of the base image.
        build_s: How long the build took, with whatever was cached.
    """

    name: str
    size_bytes: int
    added_bytes: int
    build_s: float


def build_function_image(
    engine: Engine, function: str, *, models: Path = DEMO_MODELS, base: str | None = None
) -> BuiltImage:
    """Stage a function's context and build it.

    Args:
        engine: Builds.
        function: One of `infra.images.IMAGES`.
        models: Folder of the bundles.
        base: Image in the place of the AWS base image; None for the stand-in.
    """
    with _one_builder_at_a_time():
        base = base or stand_in_base(engine)
        began = time.monotonic()
        context = stage_context(function, models=models, out=STORE / "contexts")
        name = f"localhost/cxr-{function}"
        engine.build(context, tag=name, arguments={"BASE": base})
        seconds = time.monotonic() - began
    size, below = (int(engine.inspect(image)["Size"]) for image in (name, base))
    return BuiltImage(name, size, size - below, seconds)


def stand_in_base(engine: Engine) -> str:
    """Build the stand-in if need be; its system is fetched once, with mmdebstrap."""
    context = STORE / "stand_in"
    context.mkdir(parents=True, exist_ok=True)
    system = context / f"{SUITE}.tar"
    if not system.exists():
        fresh = system.with_suffix(".partial.tar")
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE, fresh],
            check=True,
        )
        fresh.rename(system)
    for name in ("Dockerfile", "requirements.txt", "lambda-entrypoint.sh"):
        (context / name).write_bytes((_RECIPE / name).read_bytes())
    engine.build(context, tag=STAND_IN)
    return STAND_IN


@contextmanager
def _one_builder_at_a_time() -> Iterator[None]:
    """Tests run in several processes, and all want the same images."""
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
