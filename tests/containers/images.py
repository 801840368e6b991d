"""The stand-in for the AWS base image, and the functions' images on top of it, built once."""

import fcntl
import hashlib
import subprocess
import time
from collections.abc import Iterator, Mapping
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

_CONTEXT_LABEL: Final = "cxr-batch.context"
"""Digest of what an image was built from."""

_KEPT_FOR: Final = "24h"
"""How long what a newer build has replaced stays, as cache for the next; gigabytes, otherwise."""

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
    engine: Engine, function: str, *, models: Path = DEMO_MODELS
) -> BuiltImage:
    """Stage a function's context and build it on the stand-in base.

    Args:
        engine: Builds.
        function: One of `infra.images.IMAGES`.
        models: Folder of the bundles.

    Raises:
        ConfigError: A step of the build failed.
    """
    prepare_base(engine)
    name = f"localhost/cxr-{function}"
    with _one_builder_at_a_time():
        began = time.monotonic()
        context = stage_context(function, models=models, out=STORE / "contexts")
        base = str(engine.inspect(STAND_IN)["Id"])
        _build_unless_there(engine, context, tag=name, arguments={"BASE": STAND_IN}, base=base)
        seconds = time.monotonic() - began
    size, below = (int(engine.inspect(image)["Size"]) for image in (name, STAND_IN))
    return BuiltImage(name, size, size - below, seconds)


def prepare_base(engine: Engine) -> None:
    """Build the stand-in if need be; its system is fetched once, with mmdebstrap.

    Raises:
        ConfigError: A step of the build failed.
        CalledProcessError: mmdebstrap failed.
    """
    with _one_builder_at_a_time():
        context = STORE / "stand_in"
        context.mkdir(parents=True, exist_ok=True)
        system = context / f"{SUITE}.tar"
        if not system.exists():
            fresh = system.with_suffix(".partial.tar")
            options = ["--quiet", "--variant=minbase", f"--include={PACKAGES}"]
            subprocess.run(["mmdebstrap", *options, SUITE, fresh], check=True, capture_output=True)
            fresh.rename(system)
        for name in ("Dockerfile", "requirements.txt", "bootstrap.py", "lambda-entrypoint.sh"):
            (context / name).write_bytes((_RECIPE / name).read_bytes())
        _build_unless_there(engine, context, tag=STAND_IN, arguments={})


def _build_unless_there(
    engine: Engine, context: Path, *, tag: str, arguments: Mapping[str, str], base: str = ""
) -> None:
    """The engine's own cache takes seconds to find that nothing has changed."""
    digest = hashlib.sha256(base.encode())
    for path in sorted(context.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(context)} {path.stat().st_size}".encode())
            with path.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    try:
        labels = engine.inspect(tag)["Config"].get("Labels") or {}
    except KeyError:
        labels = {}
    if labels.get(_CONTEXT_LABEL) != digest.hexdigest():
        engine.output("image", "prune", "--force", "--filter", f"until={_KEPT_FOR}")
        options = ("--label", f"{_CONTEXT_LABEL}={digest.hexdigest()}")
        engine.build(context, tag=tag, arguments=arguments, options=options)


@contextmanager
def _one_builder_at_a_time() -> Iterator[None]:
    """Tests run in several processes, and all want the same images."""
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
