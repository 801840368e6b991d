"""The embedded cloud's server: moto's S3, SQS, EventBridge and the rest on one port.

moto is made for tests. What is put right while the server runs:

- Its data is not made for threads: of two requests at once, one can lose what the other wrote (a
  message sent while another is deleted), and `If-None-Match: *` can let two writers through. Here
  one request is served at a time (`local_gate`).
- SQS spells out a queue's attributes for every message it hands out, only to see whether the
  message has expired; that makes it forty times slower. Nothing expires here.
- Larger objects lie in temporary files, each of which takes a file descriptor.
- It invites pages of any origin to read what it holds.
"""

import contextlib
import logging
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self

import boto3
import botocore.session
from botocore.config import Config

from infra.local_gate import Application, Gate
from lambdas.shared.errors import ConfigError

HOST: Final = "127.0.0.1"

REGION: Final = "us-east-1"

ACCOUNT: Final = "123456789012"
"""moto's own."""

ACCESS_KEY: Final = "local"
"""Any will do: moto checks no credentials."""

OPEN_FILES: Final = 65_536
"""Asked for, up to what the system allows."""

Wrap = Callable[[Application], Application]

_POLL_S: Final = 0.05
"""How soon the server notices that it is to end."""

_APART: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ca_bundle": (None, None, None, None),
}
"""Settings of botocore that neither the environment nor a file may change."""


def make_client(service: str, endpoint: str) -> Any:
    """A client of the embedded cloud that knows no other: no profile, no credentials, no proxy.

    Args:
        service: As boto3 names it.
        endpoint: URL of the server.
    """
    session = boto3.session.Session(
        botocore_session=botocore.session.Session(session_vars=_APART),
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=ACCESS_KEY,
    )
    return session.client(
        service,
        region_name=REGION,
        endpoint_url=endpoint,
        config=Config(
            proxies={},
            max_pool_connections=64,
            read_timeout=120,
            s3={"addressing_style": "path"},
        ),
    )


class LocalServer:
    """moto's server; a context manager. One in a process, since moto's data is the process's.

    Args:
        port: To listen on; 0 for any.
        wrap: Given moto's application (WSGI), returns the one to serve; for trials.

    Attributes:
        endpoint: URL of all services.
    """

    def __init__(self, port: int = 0, *, wrap: Wrap = lambda application: application) -> None:
        self._wrap = wrap
        self._socket = _listen(port)
        self.endpoint = f"http://{HOST}:{self._socket.getsockname()[1]}"
        self._stack = contextlib.ExitStack()
        self._stack.callback(self._socket.close)

    def __enter__(self) -> Self:
        """Serve from a thread."""
        with self._stack:
            self._stack.enter_context(_many_open_files())
            server = self._stack.enter_context(_mended_server(self._socket, self._wrap))
            self._stack.callback(server.server_close)
            thread = threading.Thread(
                target=server.serve_forever, args=(_POLL_S,), daemon=True, name="moto"
            )
            thread.start()
            self._stack.callback(thread.join)
            self._stack.callback(server.shutdown)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and forget all data."""
        self._stack.close()

    def client(self, service: str) -> Any:
        """A client of this server."""
        return make_client(service, self.endpoint)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} cannot be used ({error.strerror}); another may run already: end it, or "
            "name another port with --port, 0 for any"
        ) from error
    return listener


@contextlib.contextmanager
def _mended_server(listener: socket.socket, wrap: Wrap) -> Iterator[Any]:
    """moto's application behind the gate, its faults put right; all data is new."""
    from moto.moto_api._internal.models import moto_api_backend
    from moto.moto_server import werkzeug_app
    from moto.sqs.models import Queue, SQSBackend
    from werkzeug.serving import make_server

    class Handler(werkzeug_app.MotoRequestHandler):
        """One that keeps quiet: addresses hold the objects' keys."""

        disable_nagle_algorithm = True

        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    port = listener.getsockname()[1]
    gate = Gate(
        wrap(werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)),
        hosts=frozenset({f"{HOST}:{port}", f"localhost:{port}"}),
    )
    wait_for_messages = Queue.wait_for_messages

    def wait(queue: Queue, timeout: int) -> None:
        with gate.let_others():
            wait_for_messages(queue, timeout)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:
        for owner, name, replacement in (
            (Queue, "wait_for_messages", wait),
            (SQSBackend, "is_message_valid_based_on_retention_period", lambda *_: True),
            (werkzeug_app, "DISABLE_GLOBAL_CORS", True),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, replacement)
        moto_api_backend.reset()
        stack.callback(moto_api_backend.reset)
        yield make_server(
            HOST, port, gate, threaded=True, request_handler=Handler, fd=listener.fileno()
        )


@contextlib.contextmanager
def _many_open_files() -> Iterator[None]:
    """As many as the system allows, up to OPEN_FILES; the usual limit is 1,024, macOS's 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        yield
        return
    with contextlib.suppress(ValueError, OSError):  # macOS says more than it allows
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
