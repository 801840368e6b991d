"""What every request to the embedded cloud passes before moto sees it.

- One at a time: moto's data is not made for threads.
- From this machine's own programs: images lie here, and a page in the browser may send requests to
  any address that it knows or has a name for (DNS rebinding). Other hosts' names are refused, and
  moto is kept from inviting other origins (CORS).
- A person who follows a link signs nothing; reading is allowed without.
"""

import contextlib
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_SIGNED: Final = (
    "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=none"
)
"""moto looks whether there is a signature, not at it."""


class Gate:
    """Stands before an application.

    Args:
        application: moto's.
        hosts: What the Host header may be.
    """

    def __init__(self, application: Application, *, hosts: frozenset[str]) -> None:
        self._application = application
        self._hosts = hosts
        self._turn = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (WSGI)."""
        if environ.get("HTTP_HOST") not in self._hosts:
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This address is for programs of this machine alone.\n"]
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            environ.setdefault("HTTP_AUTHORIZATION", _SIGNED)
        environ["wsgi.input"] = io.BytesIO(_body(environ))  # a slow sender holds up nobody
        with self._turn:
            answer = self._application(environ, start_response)
            try:
                return [b"".join(answer)]
            finally:
                if hasattr(answer, "close"):
                    answer.close()

    @contextlib.contextmanager
    def let_others(self) -> Iterator[None]:
        """Give up the turn, and wait for another; called by a request in its turn."""
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()


def _body(environ: Environ) -> bytes:
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        return bytes(stream.read())
    return bytes(stream.read(int(environ.get("CONTENT_LENGTH") or 0)))
