"""What each function's image is built from: a folder staged afresh, and nothing beside it.

    OUT/classify/ ─┬─ Dockerfile, requirements.txt   as they stand in lambdas/classify
                   ├─ lambdas/                       the package's own files, and lambdas/shared
                   └─ models/                        its graphs, and model.json of both bundles

The same input gives the same bytes, modes and times, so an image is built again only when
something in it has changed: never for the README, and for one function only when its own package
was edited. Builders hash what they are given, hence nothing else may stand there.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lambdas
from infra.pipeline import STAGES
from lambdas.shared.bundle import BUNDLE_TASKS, FACTS_FILE, GRAPH_FILE, load_bundle
from lambdas.shared.errors import ConfigError

STAGED_TIME_S: Final = 946_684_800
"""2000-01-01 UTC, the modification time of all that is staged; any fixed time would do."""

_ROOT: Final = Path(lambdas.__file__).parent
_BUILD_FILES: Final = ("Dockerfile", "requirements.txt")
_NOT_SHIPPED: Final = frozenset({"__pycache__", "requirements.in", *_BUILD_FILES})


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One function's image.

    Attributes:
        function: Its name, and that of its package in `lambdas`.
        graphs: Bundles whose model.onnx it holds; of the others it holds model.json alone.
        packages: Packages of `lambdas` that it imports, beside its own and `shared`.
    """

    function: str
    graphs: tuple[str, ...]
    packages: tuple[str, ...] = ()

    @property
    def handler(self) -> str:
        """Dotted name, as the image's command has it."""
        return f"lambdas.{self.function}.handler.handler"


IMAGES: Final[tuple[ImageSpec, ...]] = (
    *(ImageSpec(stage.name, graphs=stage.graphs) for stage in STAGES),
    ImageSpec(
        "batch",
        graphs=tuple(BUNDLE_TASKS),
        packages=tuple(stage.name for stage in STAGES),
    ),
    ImageSpec("lake", graphs=()),
)


def image_spec(function: str) -> ImageSpec:
    """The image of this function.

    Raises:
        ConfigError: There is none.
    """
    for image in IMAGES:
        if image.function == function:
            return image
    known = ", ".join(image.function for image in IMAGES)
    raise ConfigError(f"no image for function {function!r}; there are {known}")


def stage_context(function: str, *, models: Path, out: Path) -> Path:
    """Write the build context of a function's image to `out/function`, replacing what was there.

    Args:
        function: One of `IMAGES`.
        models: Folder with the bundles `classifier` and `detector`.
        out: Where contexts are staged; made if need be.

    Returns:
        The context's folder.

    Raises:
        ConfigError: There is no such function, or a file of it or of a bundle is missing.
        ModelMismatchError: A bundle is not what its model.json says.
    """
    image = image_spec(function)
    sources = _sources(image, models)
    out.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{function}-", dir=out))
    try:
        for name, source in sorted(sources.items()):
            target = fresh / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        _fix_modes_and_times(fresh)
        context = out / function
        shutil.rmtree(context, ignore_errors=True)
        fresh.rename(context)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return context


def _sources(image: ImageSpec, models: Path) -> dict[str, Path]:
    """Path within the context → file that it is a copy of."""
    own = _ROOT / image.function
    sources = {name: own / name for name in _BUILD_FILES}
    sources["lambdas/__init__.py"] = _ROOT / "__init__.py"
    for package in (image.function, "shared", *image.packages):
        for path in sorted((_ROOT / package).rglob("*")):
            inside = path.relative_to(_ROOT)
            if path.is_file() and not any(map(_is_left_out, inside.parts)):
                sources[f"lambdas/{inside.as_posix()}"] = path
    for name, task in BUNDLE_TASKS.items():
        bundle = load_bundle(models / name, task=task)
        kept = (FACTS_FILE, GRAPH_FILE) if name in image.graphs else (FACTS_FILE,)
        sources |= {f"models/{name}/{file}": bundle.folder / file for file in kept}
    missing = [path for path in sources.values() if not path.is_file()]
    if missing:
        names = ", ".join(path.relative_to(_ROOT.parent).as_posix() for path in missing)
        raise ConfigError(f"image of {image.function}: {names} missing")
    return sources


def _is_left_out(part: str) -> bool:
    """Caches, hidden files, editors' copies, and what the build itself reads."""
    return part in _NOT_SHIPPED or part.startswith(".") or part.endswith(("~", ".pyc"))


def _fix_modes_and_times(folder: Path) -> None:
    """Readable by whichever user runs the function, whatever the umask here; one time for all."""
    for parent, _, files in os.walk(folder, topdown=False):
        for path in (*(Path(parent, name) for name in files), Path(parent)):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (STAGED_TIME_S, STAGED_TIME_S))
