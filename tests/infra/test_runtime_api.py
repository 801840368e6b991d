"""The Runtime API as a runtime client sees it: over HTTP, with the calls in any order."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.runtime_api import (
    EXITED,
    MAX_EVENT_BYTES,
    OUT_OF_MEMORY,
    RESPONSE_TOO_LARGE,
    TIMED_OUT,
    InitError,
    Outcome,
    RuntimeApi,
)
from infra.runtime_http import API_PREFIX, MAX_RESPONSE_BYTES
from lambdas.shared.errors import InvalidRequestError
from tests.infra.waiting import wait_for

ARN = "arn:aws:lambda:eu-central-1:000000000000:function:classify"


class Runtime:
    """A runtime client of a few lines, on a connection that it keeps."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(address, timeout=10)

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def next(self) -> tuple[str, bytes, http.client.HTTPResponse]:
        self.connection.request("GET", API_PREFIX + "invocation/next")
        response = self.connection.getresponse()
        body = response.read()
        return response.headers.get("Lambda-Runtime-Aws-Request-Id", ""), body, response

    def post(self, path: str, body: object, **headers: str) -> int:
        chunked = isinstance(body, list)
        self.connection.request(
            "POST",
            API_PREFIX + path,
            iter(body) if chunked else body,  # type: ignore[arg-type, call-overload]
            headers,
            encode_chunked=chunked,
        )
        response = self.connection.getresponse()
        response.read()
        return response.status

    def answer(self, reply: Callable[[bytes], object]) -> int:
        request_id, event, _ = self.next()
        return self.post(f"invocation/{request_id}/response", reply(event))


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi(timeout_s=20, function_arn=ARN) as opened:
        yield opened


@pytest.fixture
def runtime(api: RuntimeApi) -> Iterator[Runtime]:
    with Runtime(api.address) as opened:
        yield opened


@pytest.fixture
def invoke(api: RuntimeApi) -> Iterator[Callable[[bytes], Callable[[], Outcome]]]:
    """Invoke in the background; the result is asked for by calling what comes back."""
    with ThreadPoolExecutor() as pool:
        yield lambda event: pool.submit(api.invoke, event).result


def test_event_goes_out_and_answer_comes_back(api, runtime, invoke) -> None:
    outcome = invoke(b'{"Records": []}')
    request_id, event, response = runtime.next()
    assert event == b'{"Records": []}'
    assert runtime.post(f"invocation/{request_id}/response", b'{"a": 1}') == 202
    assert outcome().ok
    assert outcome().payload == b'{"a": 1}'
    assert outcome().request_id == request_id
    assert response.headers["Lambda-Runtime-Invoked-Function-Arn"] == ARN
    left_s = int(response.headers["Lambda-Runtime-Deadline-Ms"]) / 1000 - time.time()
    assert 15 < left_s <= 20


def test_one_environment_serves_many_events_in_order(api, runtime, invoke) -> None:
    with ThreadPoolExecutor() as pool:
        served = pool.submit(lambda: [runtime.answer(lambda event: event * 2) for _ in range(20)])
        answers = [api.invoke(str(number).encode()).payload for number in range(20)]
        assert served.result() == [202] * 20
    assert answers == [str(number).encode() * 2 for number in range(20)]


def test_answer_in_chunks_is_put_together(runtime, invoke) -> None:
    outcome = invoke(b"{}")
    runtime.answer(lambda event: [b'{"a"', b": 1}"])
    assert outcome().payload == b'{"a": 1}'


def test_exception_of_the_function_is_an_error_with_its_type(runtime, invoke) -> None:
    outcome = invoke(b"{}")
    request_id, _, _ = runtime.next()
    body = json.dumps({"errorType": "ValueError", "errorMessage": "no", "stackTrace": []}).encode()
    assert runtime.post(f"invocation/{request_id}/error", body) == 202
    error = outcome().error
    assert error is not None
    assert (error.type, error.message) == ("ValueError", "no")
    assert outcome().payload == body


def test_error_type_is_taken_from_the_header_where_the_body_is_no_json(runtime, invoke) -> None:
    outcome = invoke(b"{}")
    request_id, _, _ = runtime.next()
    header = {"Lambda-Runtime-Function-Error-Type": "Extension.Broken"}
    runtime.post(f"invocation/{request_id}/error", b"broken", **header)
    error = outcome().error
    assert error is not None
    assert (error.type, error.message) == ("Extension.Broken", "broken")


def test_failed_start_fails_waiting_and_every_invocation(api, runtime) -> None:
    body = b'{"errorType": "Runtime.ImportModuleError", "errorMessage": "No module named x"}'
    assert runtime.post("init/error", body) == 202
    with pytest.raises(InitError, match=r"Runtime\.ImportModuleError: No module named x"):
        api.wait_until_ready(5)
    error = api.invoke(b"{}").error
    assert error is not None
    assert error.type == "Runtime.ImportModuleError"


def test_start_that_takes_too_long_is_told(api) -> None:
    with pytest.raises(TimeoutError, match=r"no event within 0\.05 s"):
        api.wait_until_ready(0.05)


def test_ready_when_the_first_event_is_asked_for(api, runtime, invoke) -> None:
    assert api.ready_at is None
    outcome = invoke(b"{}")
    before = time.monotonic()
    runtime.answer(lambda event: event)
    assert before <= api.wait_until_ready(5) <= time.monotonic()
    assert outcome().ok


def test_time_out_ends_the_environment() -> None:
    with RuntimeApi(timeout_s=0.1, function_arn=ARN) as api, ThreadPoolExecutor() as pool:
        outcome = pool.submit(api.invoke, b"{}")
        with Runtime(api.address) as runtime:
            request_id, _, _ = runtime.next()
            error = outcome.result().error
            assert error is not None
            assert error.type == TIMED_OUT
            assert "timed out after 0.10 seconds" in error.message
            assert outcome.result().duration_s >= 0.1
            assert runtime.post(f"invocation/{request_id}/response", b"too late") == 400
            assert runtime.next()[2].status == 500, "a process that goes on gets no further event"
        again = api.invoke(b"{}").error
        assert again is not None
        assert again.type == TIMED_OUT


def test_clock_starts_when_the_event_is_taken() -> None:
    with RuntimeApi(timeout_s=5, function_arn=ARN) as api, ThreadPoolExecutor() as pool:
        outcome = pool.submit(api.invoke, b"{}")
        wait_for(lambda: api._invocation is not None)
        begun = time.monotonic()
        wait_for(lambda: time.monotonic() - begun > 0.2)  # a slow start
        with Runtime(api.address) as runtime:
            runtime.answer(lambda event: event)
        assert outcome.result().duration_s < 0.2


def test_end_of_the_process_fails_the_running_invocation(api, runtime, invoke) -> None:
    outcome = invoke(b"{}")
    runtime.next()
    api.end(OUT_OF_MEMORY, "signal: killed")
    error = outcome().error
    assert error is not None
    assert (error.type, error.message) == (OUT_OF_MEMORY, "signal: killed")
    assert json.loads(outcome().payload)["errorType"] == OUT_OF_MEMORY


def test_event_is_not_given_to_a_connection_that_was_dropped(api, runtime, invoke) -> None:
    runtime.connection.request("GET", API_PREFIX + "invocation/next")
    api.wait_until_ready(5)
    assert runtime.connection.sock is not None
    runtime.connection.close()
    outcome = invoke(b"for the living")
    with Runtime(api.address) as living:
        assert living.answer(lambda event: event) == 202
    assert outcome().payload == b"for the living"


def test_leaving_ends_whoever_waits() -> None:
    with ThreadPoolExecutor() as pool:
        with RuntimeApi(timeout_s=20, function_arn=ARN) as api:
            runtime = Runtime(api.address)
            idle = pool.submit(runtime.next)
            api.wait_until_ready(5)
        with runtime:
            assert idle.result()[2].status == 500
    error = api.invoke(b"{}").error
    assert error is not None
    assert error.type == EXITED


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("excess", "ok"), [(0, True), (1, False)])
def test_answer_is_limited_to_lambdas_size(runtime, invoke, excess, ok, chunked) -> None:
    outcome = invoke(b"{}")
    body = b"x" * (MAX_RESPONSE_BYTES + excess)
    reply = [body[:4_000_000], body[4_000_000:]] if chunked else body
    assert runtime.answer(lambda event: reply) == (202 if ok else 413)
    assert outcome().ok is ok
    if not ok:
        error = outcome().error
        assert error is not None
        assert error.type == RESPONSE_TOO_LARGE


def test_event_is_limited_to_lambdas_size(api) -> None:
    with pytest.raises(InvalidRequestError, match="6,291,457 bytes"):
        api.invoke(b" " * (MAX_EVENT_BYTES + 1))


def test_answer_to_another_event_is_refused(runtime, invoke) -> None:
    outcome = invoke(b"{}")
    request_id, _, _ = runtime.next()
    assert runtime.post("invocation/another/response", b"{}") == 400
    assert runtime.post(f"invocation/{request_id}/response", b"[]") == 202
    assert runtime.post(f"invocation/{request_id}/response", b"[2]") == 400, "answered already"
    assert outcome().payload == b"[]"


@pytest.mark.parametrize("path", ["invocation", "extension/register", "init/unknown"])
def test_what_the_api_does_not_have_is_not_found(runtime, path) -> None:
    assert runtime.post(path, b"{}") == 404
    runtime.connection.request("GET", API_PREFIX + path)
    with runtime.connection.getresponse() as response:
        assert response.status == 404


def test_many_callers_take_turns(api, runtime, invoke) -> None:
    outcomes = [invoke(str(number).encode()) for number in range(8)]
    seen = set()

    def note(event: bytes) -> bytes:
        seen.add(event)
        return event

    for _ in range(8):
        runtime.answer(note)
    assert seen == {outcome().payload for outcome in outcomes} == set(b"0 1 2 3 4 5 6 7".split())
