"""Arrows run one way, and importing a module does nothing.

Each module is imported in an interpreter of its own; then `sys.modules` says what came with it.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

PACKAGES = ("cxr", "infra", "lambdas", "training", "export")

MAY_IMPORT: dict[str, set[str]] = {
    "lambdas": {"lambdas"},
    "training": {"training", "lambdas"},
    "export": {"export", "training", "lambdas"},
    "infra": {"infra", "lambdas"},
    "cxr": {"cxr", "lambdas", "infra"},
}
"""`training` and `export` use only lambdas.shared, `cxr` of infra only pipeline and local."""

NEVER_IN_LAMBDAS = {"torch", "timm", "aws_cdk", "moto", "streamlit"}

ONE_MODULE_ONLY = {
    "onnxruntime": "lambdas/shared/onnx_model.py",
    "boto3": "lambdas/shared/storage.py",
    "aws_lambda_powertools": "lambdas/shared/telemetry.py",
    "pyarrow": "lambdas/lake/parquet.py",
}
"""Within lambdas: each of these stands in one module."""

AWS_ALONE = {
    "lambdas/shared/storage.py",
    "lambdas/shared/telemetry.py",
    "lambdas/shared/function.py",
    "lambdas/shared/listing.py",
    "lambdas/batch/job_store.py",
    "lambdas/batch/store.py",
    "lambdas/batch/plan_handler.py",
}
"""With the handlers: what inference on a laptop neither imports nor installs the libraries of."""

OF_FORMATS = {"highdicom", "fhir", "pydantic"}
"""Libraries of the `formats` extra: imported by the modules that write an optional output, which
are themselves imported only when one is asked for."""

STAGES = {"classify", "detect", "report"}

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}


def modules(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((REPOSITORY / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def on_aws_alone(path: Path) -> bool:
    """Whether a file is one of those that need the AWS libraries; a stage's work is not."""
    return relative(path) in AWS_ALONE or relative(path).endswith("/handler.py")


def imports_one_of(path: Path, libraries: set[str]) -> bool:
    return bool({name.split(".")[0] for name in imports(path)} & libraries)


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_run_one_way(package: str) -> None:
    wrong = {
        relative(path): sorted(ours - MAY_IMPORT[package])
        for path in modules(package)
        if (ours := {name.split(".")[0] for name in imports(path)} & set(PACKAGES))
        - MAY_IMPORT[package]
    }
    assert wrong == {}


STAGE_FUNCTIONS = ("lambdas.classify.classify", "lambdas.detect.detect")
"""Evaluation calls them: what ships is what is measured."""


def test_training_and_export_use_only_the_shared_runtime_and_the_stage_functions() -> None:
    allowed = ("lambdas.shared", *STAGE_FUNCTIONS)
    # the benchmark of the whole path measures the chain itself, which one module owns
    more = {"export/bench_path_ours.py": ("lambdas.batch.analyse",)}
    wrong = {
        relative(path): sorted(names)
        for path in modules("training", "export")
        if (
            names := {
                name
                for name in imports(path)
                if name.startswith("lambdas.")
                and not name.startswith((*allowed, *more.get(relative(path), ())))
            }
        )
    }
    assert wrong == {}


def test_stages_never_import_each_other() -> None:
    wrong = {
        relative(path): name
        for stage in STAGES
        for path in modules(f"lambdas/{stage}")
        for name in imports(path)
        if name.startswith("lambdas.") and name.split(".")[1] in STAGES - {stage} | {"batch"}
    }
    assert wrong == {}


def test_shared_runtime_imports_no_stage() -> None:
    wrong = {
        relative(path): name
        for path in modules("lambdas/shared")
        for name in imports(path)
        if name.startswith("lambdas.") and name.split(".")[1] in STAGES | {"batch"}
    }
    assert wrong == {}


@pytest.mark.parametrize(("library", "home"), ONE_MODULE_ONLY.items())
def test_library_has_one_home(library: str, home: str) -> None:
    users = {
        relative(path)
        for path in modules("lambdas")
        if library in {name.split(".")[0] for name in imports(path)}
    }
    assert users <= {home}


def test_libraries_of_formats_stay_with_the_formats() -> None:
    users = {relative(path) for path in modules(*PACKAGES) if imports_one_of(path, OF_FORMATS)}
    assert users == {
        "lambdas/report/dicom_codes.py",
        "lambdas/report/dicom_sr.py",
        "lambdas/report/presentation_state.py",
        "lambdas/report/fhir.py",
    }


PAGE = "cxr/web"
"""The only place for streamlit; the rest of cxr runs without it."""


def test_only_the_page_needs_streamlit() -> None:
    users = {
        relative(path)
        for path in modules(*PACKAGES)
        if "streamlit" in {name.split(".")[0] for name in imports(path)}
    }
    assert {name for name in users if not name.startswith(f"{PAGE}/")} == {"cxr/web_command.py"}


def test_no_file_is_named_for_nothing() -> None:
    named = [relative(path) for path in modules(*PACKAGES) if path.stem in FORBIDDEN_NAMES]
    assert named == []


def test_packages_are_one_line_docstrings() -> None:
    for path in modules(*PACKAGES):
        if path.name == "__init__.py":
            (only,) = ast.parse(path.read_text()).body
            assert isinstance(only, ast.Expr), relative(path)
            assert isinstance(only.value, ast.Constant), relative(path)


def test_production_imports_neither_torch_nor_a_cloud() -> None:
    """One fresh interpreter imports all of lambdas and cxr, as inference installs them."""
    names = [
        relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in modules("lambdas", "cxr")
        if not on_aws_alone(path) and not imports_one_of(path, OF_FORMATS)
        if not relative(path).startswith(f"{PAGE}/")
    ]
    code = (
        "import importlib, json, os, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "json.dump([sorted({m.split('.')[0] for m in sys.modules}),"
        " os.environ.get('ORT_DISABLE_TELEMETRY')], sys.stdout)"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    loaded, telemetry = json.loads(result.stdout)
    heavy = {"onnxruntime", "boto3", "pandas", "scipy"} | OF_FORMATS
    assert not set(loaded) & (NEVER_IN_LAMBDAS | heavy)
    assert telemetry is None, "importing a module must not change the environment"
