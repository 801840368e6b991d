"""Functions in processes of their own: started, timed out, killed and started again."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.function_host import Function, FunctionHost
from infra.runtime_api import EXITED, RESPONSE_TOO_LARGE, TIMED_OUT, FunctionError, Outcome
from tests.infra.waiting import wait_for

ARN = "arn:aws:lambda:eu-central-1:000000000000:function:example"

Lines = list[tuple[str, str]]


@pytest.fixture
def lines() -> Lines:
    """What functions printed: log stream and line."""
    return []


Host = Callable[..., FunctionHost]


@pytest.fixture
def host(lines: Lines) -> Iterator[Host]:
    hosts: list[FunctionHost] = []

    def start(handler: str, timeout_s: float = 60, **environment: str) -> FunctionHost:
        function = Function(
            name="example",
            arn=ARN,
            handler=handler if "." in handler else f"tests.infra.function_examples.{handler}",
            timeout_s=timeout_s,
            memory_mb=512,
            log_group="/aws/lambda/example",
            environment=environment,
        )
        hosts.append(FunctionHost(function, lambda *line: lines.append(line)))
        return hosts[-1]

    yield start
    for opened in hosts:
        opened.close()


def call(host: FunctionHost, **event: Any) -> Outcome:
    return host.invoke(json.dumps(event).encode())


def error_of(outcome: Outcome) -> FunctionError:
    assert outcome.error is not None
    return outcome.error


def is_running(pid: int) -> bool:
    """A process that ended and waits to be counted is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_warm_process_answers_again(host: Host, lines: Lines) -> None:
    example = host("greet")
    first, second = (json.loads(call(example, name=name).payload) for name in ("a", "é"))
    assert (first["hello"], second["hello"]) == ("a", "é")
    assert first["process"] == second["process"] != os.getpid()
    assert example.starts == 1
    example.close()
    assert len({stream for stream, _ in lines}) == 1
    printed = [line for _, line in lines]
    assert '{"level": "INFO", "message": "hello a"}' in printed
    assert "to standard error" in printed
    assert sum(line.startswith("REPORT RequestId: ") for line in printed) == 2


def test_function_sees_lambdas_environment_and_nothing_of_ours(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "PYTHONPATH"):
        monkeypatch.setenv(name, "ours")
    seen = json.loads(call(host("tell", timeout_s=20, CXR_STAGE="classify")).payload)
    environment = seen["environment"]
    assert environment["CXR_STAGE"] == "classify"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == seen["name"] == "example"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == seen["memory"] == "512"
    assert seen["log_group"] == "/aws/lambda/example"
    assert "$LATEST" in seen["log_stream"]
    assert seen["arn"] == ARN
    assert len(seen["request_id"]) == 36
    assert 10_000 < seen["remaining_ms"] <= 20_000
    assert "ours" not in environment.values()
    assert seen["folder"] == environment["TMPDIR"]
    assert not any(entry in ("", seen["folder"]) for entry in seen["path"])


def test_folder_for_temporary_files_goes_with_the_process(host: Host) -> None:
    example = host("tell")
    folder = Path(json.loads(call(example).payload)["folder"])
    assert folder.is_dir()
    example.close()
    assert not folder.exists()


def test_exception_is_an_answer_and_the_process_goes_on(host: Host, lines: Lines) -> None:
    example = host("misbehave")
    before = call(example, do="nothing").payload
    outcome = call(example, do="raise")
    assert error_of(outcome) == FunctionError("KeyError", "'no such thing'")
    assert "function_examples.py" in "".join(json.loads(outcome.payload)["stackTrace"])
    assert call(example, do="nothing").payload == before
    assert any('"errorType": "KeyError"' in line for _, line in lines)


@pytest.mark.parametrize(
    ("deed", "kind", "message"),
    [
        ("exit", EXITED, "exit status 3"),
        ("die", EXITED, "signal: SIGKILL"),  # as the kernel does when memory is out
        ("hang", TIMED_OUT, "timed out after 2.00 seconds"),
    ],
)
def test_end_of_the_process_is_an_error_and_the_next_event_finds_a_fresh_one(
    host: Host, lines: Lines, deed: str, kind: str, message: str
) -> None:
    example = host("misbehave", timeout_s=2)
    before = call(example, do="nothing").payload
    error = error_of(call(example, do=deed))
    assert error.type == kind
    assert message in error.message
    after = call(example, do="nothing")
    assert after.ok
    assert after.payload != before
    assert example.starts == 2
    assert any(kind in line and message in line for _, line in lines)


@pytest.mark.parametrize(
    ("deed", "kind"),
    [("answer what is no JSON", "TypeError"), ("answer too much", RESPONSE_TOO_LARGE)],
)
def test_answer_that_lambda_cannot_take_is_an_error(host: Host, deed: str, kind: str) -> None:
    example = host("misbehave")
    assert error_of(call(example, do=deed)).type == kind
    assert call(example, do="nothing").ok
    assert example.starts == 1


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("tests.infra.no_such_module.handler", "ModuleNotFoundError"),
        ("tests.infra.function_examples.no_such_handler", "AttributeError"),
    ],
)
def test_handler_that_cannot_be_loaded_is_an_error_each_time(
    host: Host, handler: str, kind: str
) -> None:
    example = host(handler)
    assert error_of(call(example)).type == kind
    assert error_of(call(example)).type == kind
    assert example.starts == 2


def test_kill_ends_the_invocation_in_hand(host: Host) -> None:
    example = host("misbehave")
    call(example, do="nothing")
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(call, example, do="hang")
        wait_for(lambda: example._sandbox and example._sandbox.api._invocation)
        assert example.kill()
        error = error_of(hanging.result(timeout=10))
    assert (error.type, "SIGKILL" in error.message) == (EXITED, True)


def test_kill_while_idle_costs_no_event(host: Host) -> None:
    example = host("misbehave")
    call(example, do="nothing")
    sandbox = example._sandbox
    assert sandbox is not None
    assert example.kill()
    wait_for(lambda: sandbox.api.ended)
    assert call(example, do="nothing").ok


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks the kernel of Linux")
def test_what_the_process_started_ends_with_it(host: Host, lines: Lines) -> None:
    example = host("misbehave")
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(call, example, do="leave a child")
        wait_for(lambda: any("child" in line for _, line in lines), limit_s=30)
        child = int(next(line for _, line in lines if line.startswith("child")).split()[1])
        assert is_running(child)
        example.close()
        assert error_of(hanging.result(timeout=10)).type == EXITED
    wait_for(lambda: not is_running(child))


def test_closed_host_starts_nothing(host: Host) -> None:
    example = host("greet")
    example.close()
    assert not example.kill()
    with pytest.raises(RuntimeError, match="closed"):
        call(example, name="a")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks the kernel of Linux")
def test_peak_memory_is_that_of_the_process(host: Host) -> None:
    example = host("greet")
    assert example.peak_memory_bytes() is None
    call(example, name="a")
    peak = example.peak_memory_bytes()
    assert peak is not None
    assert 5_000_000 < peak < 500_000_000


def test_hosts_leave_no_thread_behind(host: Host) -> None:
    before = threading.active_count()
    example = host("greet")
    call(example, name="a")
    assert threading.active_count() > before
    example.close()
    wait_for(lambda: threading.active_count() <= before)
