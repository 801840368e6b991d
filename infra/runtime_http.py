"""The Runtime API on the wire: requests of a function's process, as an `Environment` sees them.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, version 2018-06-01.
"""

import json
import secrets
import select
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple, Protocol

API_PREFIX: Final = "/2018-06-01/runtime/"

MAX_RESPONSE_BYTES: Final = 6_291_556
"""Lambda's own error message gives this number: 6 MiB and 100 bytes."""

UNKNOWN_ERROR: Final = "Unhandled"

_OK: Final = b'{"status":"OK"}'


class Event(NamedTuple):
    """What a process is to work on.

    Attributes:
        request_id: Of this invocation.
        body: The event.
        timeout_s: Of the function.
        function_arn: As it was invoked.
    """

    request_id: str
    body: bytes
    timeout_s: float
    function_arn: str


class Environment(Protocol):
    """Whom the requests are for."""

    def take(self, connection: socket.socket) -> Event | None:
        """The next event; None if there will be none."""

    def answer(self, request_id: str, payload: bytes) -> int:
        """Take the function's answer; the HTTP status of having taken it."""

    def fail(self, request_id: str, payload: bytes, error_type: str, message: str) -> int:
        """Take the function's error; the HTTP status of having taken it."""

    def end(self, error_type: str, message: str) -> None:
        """The process cannot start."""


class RuntimeServer(ThreadingHTTPServer):
    """Listens for one process.

    Args:
        host: Address to listen on, at any port.
        environment: Whom the requests are for.
    """

    daemon_threads = True

    def __init__(self, host: str, environment: Environment) -> None:
        super().__init__((host, 0), _Handler)
        self.environment = environment

    def handle_error(self, request: object, client_address: object) -> None:
        """A process that is killed drops its connection; that is no error of ours."""


def hung_up(connection: socket.socket) -> bool:
    """Whether the other end is gone: an event given to it would be lost without a word."""
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def error_payload(error_type: str, message: str) -> bytes:
    """As Lambda describes an error."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # runtime clients keep the connection
    disable_nagle_algorithm = True  # else about 40 ms a round trip
    wbufsize = -1
    server: RuntimeServer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: paths hold request ids, and nobody reads them."""

    def do_GET(self) -> None:
        if self.path != API_PREFIX + "invocation/next":
            return self._refuse(404, "NotFound")
        event = self.server.environment.take(self.connection)
        if event is None:
            # "Container error. Non-recoverable state. Runtime should exit promptly."
            self.close_connection = True
            return self._refuse(500, "Runtime.Ended")
        trace = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
        return self._reply(
            200,
            event.body,
            {
                "Lambda-Runtime-Aws-Request-Id": event.request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + event.timeout_s) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": event.function_arn,
                "Lambda-Runtime-Trace-Id": f"{trace};Parent={secrets.token_hex(8)};Sampled=0",
            },
        )

    def do_POST(self) -> None:
        body = self._body()
        environment = self.server.environment
        match self.path.removeprefix(API_PREFIX).split("/"):
            case ["init", "error"]:
                environment.end(*self._error(body))
                return self._reply(202, _OK)
            case ["invocation", request_id, "response"]:
                status = environment.answer(request_id, body)
            case ["invocation", request_id, "error"]:
                status = environment.fail(request_id, body, *self._error(body))
            case _:
                return self._refuse(404, "NotFound")
        if status == 202:
            return self._reply(status, _OK)
        return self._refuse(
            status, "InvalidRequestID" if status == 400 else "RequestEntityTooLarge"
        )

    def _error(self, body: bytes) -> tuple[str, str]:
        """Type and message, from the body, else from the header that comes with it."""
        header = self.headers.get("Lambda-Runtime-Function-Error-Type") or UNKNOWN_ERROR
        try:
            document = json.loads(body)
            return str(document.get("errorType") or header), str(document.get("errorMessage") or "")
        except (ValueError, AttributeError):
            return header, body.decode("utf-8", "replace")

    def _body(self) -> bytes:
        """All of it, of which no more is kept than is needed to see that it is too large."""
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self._read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body = (body + self._read(size))[: MAX_RESPONSE_BYTES + 1]
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return body

    def _read(self, size: int) -> bytes:
        kept = self.rfile.read(min(size, MAX_RESPONSE_BYTES + 1))
        rest = size - len(kept)
        while rest > 0 and (passed := self.rfile.read(min(rest, 65_536))):
            rest -= len(passed)
        return kept

    def _refuse(self, code: int, error_type: str) -> None:
        self._reply(code, error_payload(error_type, ""))

    def _reply(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
