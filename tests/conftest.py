"""Fixtures that many tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdas.batch.analyse import Models, load_models
from lambdas.shared.isolated_reader import IsolatedReader
from tests.builders import tiny_models

REPOSITORY = Path(__file__).parents[1]

SHARED_DATA = Path(os.environ.get("CXR_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
"""Real radiographs and DICOM files kept beside the checkout, never in it."""


SECONDS_EACH = (
    "containers/",
    "cxr/archive/",
    "cxr/client/",
    "cxr/cloud/",
    "cxr/test_local_command",
    "cxr/test_results_command",
    "cxr/test_web_command",
    "cxr/web/",
    "infra/test_archive_",
    "infra/test_build_images",
    "infra/test_cost_at_rest",
    "infra/test_deployed_template",
    "infra/test_destroy",
    "infra/test_function_host",
    "infra/test_lake",
    "infra/test_local",
    "infra/test_notice",
    "infra/test_runtime_api",
    "infra/test_stack_",
    "lambdas/batch/test_batch_handlers",
    "lambdas/lake/test_bucket",
    "lambdas/lake/test_step",
    "lambdas/test_handlers",
    "lambdas/test_storage",
)
"""Beginnings of the paths of tests that start processes, servers or pages, or synthesise the stack:
one by one they are quick, all together they would take `make check` far beyond two minutes."""


def takes_seconds(path: Path) -> bool:
    return path.relative_to(REPOSITORY / "tests").as_posix().startswith(SECONDS_EACH)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files of slow tests alone are not even imported where none is wanted: that took seconds."""
    unwanted = config.option.markexpr == "not slow" and collection_path.suffix == ".py"
    return True if unwanted and takes_seconds(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if takes_seconds(item.path):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real images at {SHARED_DATA}; set CXR_TEST_DATA to a folder that has them")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def models(tiny_models_folder: Path) -> Models:
    return load_models(tiny_models_folder, threads=1)


@pytest.fixture(scope="session")
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader() as opened:
        yield opened
