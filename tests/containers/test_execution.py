"""An execution environment is what Lambda's is, and ends as Lambda would end it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.runtime_api import EXITED, OUT_OF_MEMORY, TIMED_OUT, InitError
from tests.containers.conftest import FAULTS
from tests.containers.engine import Engine
from tests.containers.function import TMP_MB, FunctionContainer
from tests.containers.images import BuiltImage
from tests.containers.loopback import Loopback

pytestmark = pytest.mark.slow

Misbehaving = Callable[..., FunctionContainer]


def test_a_function_has_no_rights_and_what_lambda_tells_it(misbehaving: Misbehaving) -> None:
    with misbehaving("faults.environment", memory_mb=640, timeout_s=7) as function:
        function.wait_until_ready()
        outcome = function.invoke({})
    assert outcome.ok, outcome.error
    told = json.loads(outcome.payload)
    assert told["user"] == 993
    assert int(told["capabilities"], 16) == 0
    assert told["no_new_privileges"] == "1"
    assert told["tmp_mb"] == TMP_MB
    assert told["shared_memory"] is False
    assert told["memory_limit_in_mb"] == "640"
    assert 6000 < told["remaining_ms"] <= 7000
    assert told["variables"]["ORT_DISABLE_TELEMETRY"] == "1"
    assert "CI" not in told["variables"], "libraries behave themselves where they see it"


def test_the_file_system_is_read_only(misbehaving: Misbehaving) -> None:
    with misbehaving("faults.write_beside_the_code") as function:
        function.wait_until_ready()
        outcome = function.invoke({})
    assert outcome.error is not None
    assert "Read-only file system" in outcome.error.message


def test_a_time_out_ends_the_environment(misbehaving: Misbehaving) -> None:
    with misbehaving("faults.hang", timeout_s=2) as function:
        function.wait_until_ready()
        outcome = function.invoke({})
        assert outcome.error is not None
        assert outcome.error.type == TIMED_OUT
        assert "Task timed out after 2.00 seconds" in outcome.error.message
        assert 2 <= outcome.duration_s < 4
        again = function.invoke({})
    assert again.error == outcome.error, "nothing more is handed to an environment that has ended"


def test_running_out_of_memory_ends_the_environment(misbehaving: Misbehaving) -> None:
    with misbehaving("faults.devour", memory_mb=256) as function:
        function.wait_until_ready()
        outcome = function.invoke({})
    assert outcome.error is not None
    assert outcome.error.type == OUT_OF_MEMORY


def test_a_process_that_leaves_ends_the_environment(misbehaving: Misbehaving) -> None:
    with misbehaving("faults.leave") as function:
        function.wait_until_ready()
        outcome = function.invoke({})
    assert outcome.error is not None
    assert outcome.error.type == EXITED
    assert "exit status 3" in outcome.error.message


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("faults_absent.handler", "Runtime.ImportModuleError"),
        ("faults.absent", "Runtime.HandlerNotFound"),
    ],
)
def test_a_handler_that_cannot_be_imported_is_reported_at_start(
    misbehaving: Misbehaving, handler: str, kind: str
) -> None:
    with misbehaving(handler) as function, pytest.raises(InitError) as reported:
        function.wait_until_ready()
    assert reported.value.error.type == kind


def test_the_functions_own_packages_go_before_the_runtimes(
    engine: Engine, image: Callable[[str], BuiltImage], loopback: Loopback, tmp_path: Path
) -> None:
    """AWS's runtime comes with a boto3 of its own, which changes without notice."""
    (tmp_path / "__init__.py").write_text("raise ImportError('the boto3 of the runtime')")
    with FunctionContainer(
        engine,
        image("classify").name,
        memory_mb=1769,
        timeout_s=30,
        command="faults.origins",
        mounts=[FAULTS, (tmp_path, "/var/runtime/boto3")],
    ) as function:
        function.wait_until_ready()
        outcome = function.invoke({"modules": ["boto3", "botocore", "numpy", "lambdas"]})
    assert outcome.ok, outcome.error
    assert all(origin.startswith("/var/task/") for origin in json.loads(outcome.payload))


def test_an_attempt_to_reach_another_address_is_seen(
    misbehaving: Misbehaving, loopback: Loopback
) -> None:
    """What the silence of the real functions is measured with must be able to hear."""
    assert loopback.tried_to_reach() == set()
    with misbehaving("faults.call_home") as function:
        function.wait_until_ready()
        outcome = function.invoke({"address": "198.51.100.7", "name": "collector.example.com"})
    assert outcome.ok, outcome.error
    seen = loopback.tried_to_reach()
    assert "198.51.100.7" in seen
    assert len(seen) > 1, "the name server was asked"
