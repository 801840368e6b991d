"""infra/images.py: what each image is built from, and what changes it."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from infra import images
from infra.images import IMAGES, ImageSpec, image_spec, stage_context
from infra.pipeline import MODELS_FOLDER
from lambdas.shared.errors import ConfigError, ModelMismatchError

REPOSITORY = Path(__file__).parents[2]
FUNCTIONS = [spec.function for spec in IMAGES]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of lambdas/ that a test may edit."""
    copy = shutil.copytree(
        REPOSITORY / "lambdas", tmp_path / "repository/lambdas", copy_function=shutil.copyfile
    )
    monkeypatch.setattr(images, "_ROOT", copy)
    return copy


def content(context: Path) -> dict[str, tuple[str, int, int]]:
    """Digest, mode and time of all that a builder sees."""
    return {
        path.relative_to(context).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.stat().st_mode,
            path.stat().st_mtime_ns,
        )
        for path in (context, *context.rglob("*"))
    }


def staged(models: Path, out: Path) -> dict[str, dict[str, tuple[str, int, int]]]:
    return {
        function: content(stage_context(function, models=models, out=out)) for function in FUNCTIONS
    }


@pytest.mark.parametrize(
    ("edited", "rebuilt"),
    [
        ("../README.md", []),
        ("../training/train_classifier.py", []),
        ("classify/classify.py", ["classify", "batch"]),  # bulk runs the same stages
        ("detect/requirements.txt", ["detect"]),
        ("report/Dockerfile", ["report"]),
        ("report/fonts/DejaVuSans.ttf", ["report", "batch"]),
        ("batch/analyse.py", ["batch"]),
        ("report/requirements.in", []),  # what is built from is the lock
        ("shared/read.py", FUNCTIONS),
        ("shared/__pycache__/read.cpython-313.pyc", []),
        ("shared/.read.py.swp", []),
    ],
)
def test_an_edit_rebuilds_what_it_touches_alone(
    sources: Path, tiny_models_folder: Path, tmp_path: Path, edited: str, rebuilt: list[str]
) -> None:
    before = staged(tiny_models_folder, tmp_path / "out")
    path = sources / edited
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\n")
    after = staged(tiny_models_folder, tmp_path / "out")
    assert [name for name in FUNCTIONS if before[name] != after[name]] == rebuilt


def test_a_models_change_rebuilds_its_stage_and_facts_rebuild_all(
    tiny_models_folder: Path, tmp_path: Path
) -> None:
    before = staged(tiny_models_folder, tmp_path / "out")
    models = shutil.copytree(tiny_models_folder, tmp_path / "models")
    facts = json.loads((models / "detector/model.json").read_text())
    (models / "detector/model.json").write_text(json.dumps(facts | {"version": "1.0.1"}))
    after = staged(models, tmp_path / "out")
    changed = {
        function: [name for name in after[function] if after[function][name] != files.get(name)]
        for function, files in before.items()
    }
    assert changed == {name: ["models/detector/model.json"] for name in FUNCTIONS}


def test_the_same_sources_give_the_same_bytes_whenever_and_wherever(
    sources: Path, tiny_models_folder: Path, tmp_path: Path
) -> None:
    first = staged(tiny_models_folder, tmp_path / "here")
    for path in sources.rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            os.utime(path, (1, 1))
    umask = os.umask(0o077)
    try:
        second = staged(tiny_models_folder, tmp_path / "elsewhere")
    finally:
        os.umask(umask)
    assert first == second
    modes = {entry[1] & 0o777 for entry in first["classify"].values()}
    assert modes == {0o644, 0o755}, "whoever runs the function must be able to read it"


@pytest.mark.parametrize("spec", IMAGES, ids=lambda spec: spec.function)
def test_a_context_holds_its_packages_the_runtime_and_its_graphs(
    tiny_models_folder: Path, tmp_path: Path, spec: ImageSpec
) -> None:
    context = stage_context(spec.function, models=tiny_models_folder, out=tmp_path)
    assert context == tmp_path / spec.function
    assert {path.name for path in context.iterdir()} == {
        "Dockerfile",
        "requirements.txt",
        "lambdas",
        "models",
    }
    assert {path.name for path in (context / "lambdas").iterdir()} == {
        "__init__.py",
        "shared",
        spec.function,
        *spec.packages,
    }
    graphs = {path.parent.name for path in context.rglob("model.onnx")}
    assert graphs == set(spec.graphs)
    facts = {path.parent.name for path in context.rglob("model.json")}
    assert facts == {"classifier", "detector"}
    assert list(tmp_path.iterdir()) == [context], "nothing half staged stays behind"


def test_a_report_has_its_fonts_and_schemas(tiny_models_folder: Path, tmp_path: Path) -> None:
    context = stage_context("report", models=tiny_models_folder, out=tmp_path)
    for name in ("report/fonts/DejaVuSans.ttf", "shared/record.schema.json"):
        assert (context / "lambdas" / name).is_file()


def test_what_stood_there_before_is_gone(tiny_models_folder: Path, tmp_path: Path) -> None:
    context = stage_context("detect", models=tiny_models_folder, out=tmp_path)
    (context / "lambdas/shared/removed.py").touch()
    stage_context("detect", models=tiny_models_folder, out=tmp_path)
    assert not (context / "lambdas/shared/removed.py").exists()


def test_a_bundle_that_is_not_what_it_says_is_not_staged(
    tiny_models_folder: Path, tmp_path: Path
) -> None:
    """Not even where the image would hold its facts alone."""
    models = shutil.copytree(tiny_models_folder, tmp_path / "models")
    with (models / "detector/model.onnx").open("ab") as graph:
        graph.write(b"\0")
    with pytest.raises(ModelMismatchError, match="has sha256"):
        stage_context("classify", models=models, out=tmp_path / "out")


def test_a_missing_file_is_named(sources: Path, tiny_models_folder: Path, tmp_path: Path) -> None:
    (sources / "report/requirements.txt").unlink()
    with pytest.raises(ConfigError, match=r"lambdas/report/requirements\.txt missing"):
        stage_context("report", models=tiny_models_folder, out=tmp_path)


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="'clasify'; there are classify, detect, report"):
        image_spec("clasify")


DOCKERFILES = {function: REPOSITORY / "lambdas" / function / "Dockerfile" for function in FUNCTIONS}


def test_dockerfiles_differ_in_the_functions_name_alone() -> None:
    """Docker knows no include; the recipes must not drift apart."""
    texts = {
        path.read_text().replace(f"lambdas.{function}.handler", "lambdas.FUNCTION.handler")
        for function, path in DOCKERFILES.items()
    }
    assert len(texts) == 1


@pytest.mark.parametrize("function", DOCKERFILES)
def test_a_dockerfile_ends_by_importing_its_handler_as_lambdas_user(function: str) -> None:
    text = DOCKERFILES[function].read_text()
    *_, user, check, command = [line for line in text.splitlines() if not line.startswith("#")]
    handler = image_spec(function).handler
    assert user == "USER 993:990"
    assert check == f'RUN ["python3", "-c", "import {handler.removesuffix(".handler")}"]'
    assert command == f'CMD ["{handler}"]'
    assert f"COPY models {MODELS_FOLDER}\n" in text
    assert "ARG BASE=public.ecr.aws/lambda/python:" in text


@pytest.mark.parametrize("function", DOCKERFILES)
def test_every_package_is_pinned_and_hashed(function: str) -> None:
    lock = (REPOSITORY / "lambdas" / function / "requirements.txt").read_text()
    entries = re.findall(r"^([a-z0-9].*?)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", lock, re.M)
    pins = [pin for pin, _ in entries]
    assert len(pins) == len(re.findall(r"^[a-z0-9]", lock, re.M))
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9a-z.]+( ; .*)?", pin) for pin in pins)
    names = {pin.partition("==")[0] for pin in pins}
    assert not names & {"torch", "torchvision", "timm", "moto", "streamlit"}
    assert ("onnxruntime" in names) == bool(image_spec(function).graphs)


@pytest.mark.parametrize("function", DOCKERFILES)
def test_images_and_environment_have_the_same_versions(function: str) -> None:
    """What the tests ran with is what ships."""
    environment = set(
        re.findall(r"^(\S+==\S+)", (REPOSITORY / "constraints.txt").read_text(), re.M)
    )
    known = {pin.partition("==")[0] for pin in environment}
    lock = (REPOSITORY / "lambdas" / function / "requirements.txt").read_text()
    shipped = set(re.findall(r"^(\S+==\S+)", lock, re.M))
    assert len({pin for pin in shipped if pin.partition("==")[0] in known}) >= 10
    assert {pin for pin in shipped if pin.partition("==")[0] in known} <= environment
