"""The Lambda Runtime API: what a function's process asks for events and gives its answers to.

One `RuntimeApi` stands for one execution environment: one process, one event at a time, from its
start to its end. A time-out ends it, as in Lambda; whoever started the process then kills it, and
starts another with an API of its own. What ends by itself is told by `end`.

    with RuntimeApi(timeout_s=90, function_arn=arn) as api:
        process = start(environment={"AWS_LAMBDA_RUNTIME_API": api.address})
        api.wait_until_ready(10)
        outcome = api.invoke(event)

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, version 2018-06-01.
"""

import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from infra.runtime_http import (
    MAX_RESPONSE_BYTES,
    Event,
    RuntimeServer,
    error_payload,
    hung_up,
)
from lambdas.shared.errors import CxrError, InvalidRequestError

MAX_EVENT_BYTES: Final = 6 * 1024 * 1024
"""Of a synchronous invocation (Lambda quotas)."""

INIT_LIMIT_S: Final = 10.0
"""Lambda's limit for the init phase; a process that asks later is started once more."""

TIMED_OUT: Final = "Sandbox.Timedout"
EXITED: Final = "Runtime.ExitError"
OUT_OF_MEMORY: Final = "Runtime.OutOfMemory"
RESPONSE_TOO_LARGE: Final = "Function.ResponseSizeTooLarge"

_POLL_S: Final = 0.05
"""How soon the server notices that it is to end."""


@dataclass(frozen=True, slots=True)
class FunctionError:
    """Why an invocation failed.

    Attributes:
        type: The exception's name, or one of Lambda's own: `TIMED_OUT`, `EXITED` …
        message: What the runtime said; may quote what the function was given.
    """

    type: str
    message: str

    def to_payload(self) -> bytes:
        """As Lambda answers."""
        return error_payload(self.type, self.message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended.

    Attributes:
        request_id: Of this invocation.
        payload: The function's answer, or the error as JSON.
        error: None if the function answered.
        duration_s: From handing the event over to the answer; without the init phase.
    """

    request_id: str
    payload: bytes
    error: FunctionError | None
    duration_s: float

    @property
    def ok(self) -> bool:
        """Whether the function answered."""
        return self.error is None


class InitError(CxrError):
    """The process did not get as far as asking for its first event."""

    def __init__(self, error: FunctionError) -> None:
        super().__init__(f"{error.type}: {error.message}")
        self.error = error


@dataclass(slots=True)
class _Invocation:
    event: bytes
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    handed_at: float | None = None
    outcome: Outcome | None = None

    def settle(self, payload: bytes, error: FunctionError | None) -> None:
        began = self.handed_at
        seconds = 0.0 if began is None else time.monotonic() - began
        self.outcome = Outcome(self.request_id, payload, error, seconds)


class RuntimeApi:
    """One execution environment's end of the Runtime API; a context manager.

    Attributes:
        address: `host:port`, for the variable AWS_LAMBDA_RUNTIME_API.
        timeout_s: Of the function.
        function_arn: As the function sees it in its context.
        ready_at: `time.monotonic()` of the first request for an event; None before.

    Args:
        timeout_s: Of the function.
        function_arn: As the function sees it in its context.
        host: Address to listen on.
    """

    def __init__(self, *, timeout_s: float, function_arn: str, host: str = "127.0.0.1") -> None:
        self.timeout_s = timeout_s
        self.function_arn = function_arn
        self.ready_at: float | None = None
        self._changed = threading.Condition()
        self._one_at_a_time = threading.Lock()
        self._invocation: _Invocation | None = None
        self._ended: FunctionError | None = None
        self._server = RuntimeServer(host, self)
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), daemon=True, name="runtime-api"
        )

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the environment and stop listening."""
        self.end(EXITED, "the environment was shut down")
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def ended(self) -> FunctionError | None:
        """Why no event is handed out any more; None while the environment is usable."""
        return self._ended

    def wait_until_ready(self, limit_s: float = INIT_LIMIT_S) -> float:
        """Wait for the first request for an event.

        Returns:
            `time.monotonic()` of that request.

        Raises:
            InitError: The process reported that it cannot start, or has ended (`end`).
            TimeoutError: Neither within the limit.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.ready_at or self._ended, limit_s)
            if self.ready_at is not None:
                return self.ready_at
            if self._ended is not None:
                raise InitError(self._ended)
        raise TimeoutError(f"the function asked for no event within {limit_s:g} s")

    def invoke(self, event: bytes) -> Outcome:
        """Hand an event to the process and wait for its answer, as RequestResponse does.

        Waits for its turn while another invocation runs. The clock of the time-out starts when
        the process takes the event; it has `INIT_LIMIT_S` to come and take it.

        Raises:
            InvalidRequestError: The event is larger than Lambda takes.
        """
        if len(event) > MAX_EVENT_BYTES:
            raise InvalidRequestError(
                f"event has {len(event):,} bytes, Lambda takes {MAX_EVENT_BYTES:,} at most"
            )
        invocation = _Invocation(event)
        with self._one_at_a_time, self._changed:
            if self._ended is None:
                self._invocation = invocation
                self._changed.notify_all()
                self._await(invocation)
            if invocation.outcome is None:
                assert self._ended is not None
                invocation.settle(self._ended.to_payload(), self._ended)
            self._invocation = None
        assert invocation.outcome is not None
        return invocation.outcome

    def end(self, error_type: str, message: str) -> None:
        """Tell that the process has ended: the running invocation and all later ones fail.

        Args:
            error_type: `EXITED`, `OUT_OF_MEMORY` …
            message: How it ended.
        """
        with self._changed:
            self._end(FunctionError(error_type, message))

    def _await(self, invocation: _Invocation) -> None:
        """Until there is an outcome, the environment has ended, or time is up."""
        self._changed.wait_for(lambda: invocation.handed_at or self._ended, INIT_LIMIT_S)
        if invocation.handed_at is None:
            self._end(FunctionError(EXITED, f"took no event within {INIT_LIMIT_S:g} s"))
            return
        rest = invocation.handed_at + self.timeout_s - time.monotonic()
        self._changed.wait_for(lambda: invocation.outcome or self._ended, max(0.0, rest))
        if invocation.outcome is None:
            self._end(
                FunctionError(
                    TIMED_OUT,
                    f"RequestId: {invocation.request_id} Error: "
                    f"Task timed out after {self.timeout_s:.2f} seconds",
                )
            )

    def _end(self, error: FunctionError) -> None:
        if self._ended is None:
            self._ended = error
        self._changed.notify_all()

    def take(self, connection: socket.socket) -> Event | None:
        """The next event, for the process on this connection; called by the server."""

        def waiting() -> bool:
            return self._invocation is not None and self._invocation.handed_at is None

        with self._changed:
            if self.ready_at is None and self._ended is None:
                self.ready_at = time.monotonic()
            self._changed.notify_all()
            self._changed.wait_for(lambda: waiting() or self._ended)
            if self._ended is not None or hung_up(connection):
                return None
            invocation = self._invocation
            assert invocation is not None
            invocation.handed_at = time.monotonic()
            self._changed.notify_all()
        return Event(invocation.request_id, invocation.event, self.timeout_s, self.function_arn)

    def answer(self, request_id: str, payload: bytes) -> int:
        """The function's answer; called by the server."""
        if len(payload) > MAX_RESPONSE_BYTES:
            message = (
                "Response payload size exceeded maximum allowed payload size "
                f"({MAX_RESPONSE_BYTES} bytes)."
            )
            error = FunctionError(RESPONSE_TOO_LARGE, message)
            self._settle(request_id, error.to_payload(), error)
            return 413
        return self._settle(request_id, payload, None)

    def fail(self, request_id: str, payload: bytes, error_type: str, message: str) -> int:
        """The function's error; called by the server."""
        return self._settle(request_id, payload, FunctionError(error_type, message))

    def _settle(self, request_id: str, payload: bytes, error: FunctionError | None) -> int:
        """202 if the answer was awaited, else 400."""
        with self._changed:
            current = self._invocation
            if (
                self._ended is not None
                or current is None
                or current.handed_at is None
                or current.request_id != request_id
                or current.outcome is not None
            ):
                return 400
            current.settle(payload, error)
            self._changed.notify_all()
            return 202
