"""The images themselves: what is in them, what is not, and when they are not built."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.images import IMAGES, image_spec, stage_context
from infra.pipeline import MODELS_FOLDER
from lambdas.shared.errors import ConfigError
from tests.containers.engine import Engine
from tests.containers.images import DEMO_MODELS, STAND_IN, BuiltImage

pytestmark = pytest.mark.slow

FUNCTIONS = [spec.function for spec in IMAGES]
BuiltImages = Callable[[str], BuiltImage]

MAX_ADDED_MB = 500
"""Beside the base image; a library that doubles an image should be noticed."""

COMPILERS = ("cc", "gcc", "g++", "clang", "ld", "as", "make", "cargo", "rustc")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_image_runs_its_handler_as_a_user_without_rights(
    engine: Engine, image: BuiltImages, function: str
) -> None:
    config = engine.inspect(image(function).name)["Config"]
    assert config["User"] == "993:990"
    assert config["Cmd"] == [image_spec(function).handler]
    assert "ORT_DISABLE_TELEMETRY=1" in config["Env"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_image_holds_what_it_needs_and_nothing_to_build_with(
    engine: Engine, image: BuiltImages, function: str
) -> None:
    built = image(function)
    look = f"""
import json, pathlib, shutil
task = pathlib.Path("/var/task")
compiled = {{path.parent.parent / (path.name.split(".")[0] + ".py")
            for path in task.rglob("__pycache__/*.pyc")}}
print(json.dumps({{
    "compilers": [name for name in {COMPILERS!r} if shutil.which(name)],
    "packages": sorted(path.name.lower() for path in task.iterdir()),
    "code": sorted(path.name for path in (task / "lambdas").iterdir()),
    "models": sorted(str(path.relative_to("{MODELS_FOLDER}"))
                     for path in pathlib.Path("{MODELS_FOLDER}").rglob("*.*")),
    "not_compiled": sorted(str(path) for path in task.rglob("*.py") if path not in compiled)[:20],
}}))
"""
    found = json.loads(engine.run_command(built.name, "python3", "-c", look))
    assert found["compilers"] == []
    assert not set(found["packages"]) & {"torch", "torchvision", "timm", "moto", "streamlit", "pip"}
    spec = image_spec(function)
    packages = {"shared", function, *spec.packages}
    assert set(found["code"]) == {"__init__.py", "__pycache__", *packages}
    graphs = [f"{name}/model.onnx" for name in spec.graphs]
    facts = ["classifier/model.json", "detector/model.json"]
    assert found["models"] == sorted(graphs + facts)
    assert found["not_compiled"] == []
    assert built.added_bytes < MAX_ADDED_MB * 1e6


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_can_change_nothing_of_its_own(
    engine: Engine, image: BuiltImages, function: str
) -> None:
    """Not even with a file system that were writable."""
    find = ("find", "/var/task", "/var/runtime", "-writable")
    assert engine.run_command(image(function).name, *find, options=("--user", "993:990")) == ""


def test_certificates_given_for_the_build_stay_out_of_the_image(
    engine: Engine, image: BuiltImages
) -> None:
    find = ("find", "/run/secrets", "/packages", "/var/task", "-name", "ca_bundle*")
    assert engine.run_command(image("classify").name, "sh", "-c", f"{' '.join(find)} || true") == ""


def test_the_same_context_gives_the_layers_that_are_there(
    engine: Engine, image: BuiltImages, tmp_path: Path
) -> None:
    built = image("report")
    before = engine.inspect(built.name)["RootFS"]["Layers"]
    context = stage_context("report", models=DEMO_MODELS, out=tmp_path)
    engine.build(context, tag="localhost/cxr-again", arguments={"BASE": STAND_IN})
    again = engine.inspect("localhost/cxr-again")["RootFS"]["Layers"]
    engine.output("untag", "localhost/cxr-again")
    assert again == before


@pytest.fixture
def classify_context(image: BuiltImages, tmp_path: Path) -> Path:
    """To be spoilt; its packages come from the cache."""
    image("classify")
    return stage_context("classify", models=DEMO_MODELS, out=tmp_path)


def test_a_handler_that_cannot_be_imported_fails_the_build(
    engine: Engine, classify_context: Path
) -> None:
    """As with a library that the lock lacks."""
    with (classify_context / "lambdas/classify/handler.py").open("a") as handler:
        handler.write("import scipy\n")
    with pytest.raises(ConfigError, match="No module named 'scipy'"):
        engine.build(classify_context, tag="localhost/cxr-spoilt", arguments={"BASE": STAND_IN})


def test_a_package_that_is_not_the_locked_one_fails_the_build(
    engine: Engine, classify_context: Path
) -> None:
    lock = classify_context / "requirements.txt"
    lock.write_text("six==1.17.0 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(ConfigError, match="DO NOT MATCH THE HASHES"):
        engine.build(classify_context, tag="localhost/cxr-spoilt", arguments={"BASE": STAND_IN})
