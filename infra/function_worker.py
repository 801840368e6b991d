"""The process that a function runs in: asks the Runtime API for events, calls the handler.

    AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001 python -m infra.function_worker MODULE.HANDLER

Stands where AWS's own runtime client stands in the images, with the standard library alone, so
that handlers run on any machine. `function_host` starts it.
"""

import http.client
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.runtime_http import API_PREFIX

Handler = Callable[[dict[str, Any], "LambdaContext"], Any]

_GONE: Final = (ConnectionError, http.client.HTTPException)
"""The other end of the Runtime API has gone, and with it whoever wanted answers."""


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """What a handler is told of its invocation.

    Attributes are named by AWS: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html.

    Attributes:
        aws_request_id: Of this invocation.
        invoked_function_arn: As it was invoked.
        deadline_ms: Since the epoch; the invocation ends here.
        function_name: Of the function.
        function_version: Always `$LATEST` here.
        memory_limit_in_mb: Text, as AWS has it.
        log_group_name: Where its output goes.
        log_stream_name: Of this environment.
        identity: Of a mobile application; none here.
        client_context: Of a mobile application; none here.
    """

    aws_request_id: str
    invoked_function_arn: str
    deadline_ms: int
    function_name: str
    function_version: str
    memory_limit_in_mb: str
    log_group_name: str
    log_stream_name: str
    identity: None = None
    client_context: None = None

    @classmethod
    def from_headers(
        cls, headers: Mapping[str, str], environ: Mapping[str, str]
    ) -> "LambdaContext":
        """From what the Runtime API sent with the event, and the process's environment."""
        return cls(
            aws_request_id=headers["Lambda-Runtime-Aws-Request-Id"],
            invoked_function_arn=headers["Lambda-Runtime-Invoked-Function-Arn"],
            deadline_ms=int(headers["Lambda-Runtime-Deadline-Ms"]),
            function_name=environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
            function_version=environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
            memory_limit_in_mb=environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", ""),
            log_group_name=environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
            log_stream_name=environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
        )

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


def serve(handler_name: str, address: str) -> int:
    """Load the handler and answer events until the Runtime API is gone.

    Args:
        handler_name: Dotted name of the handler, module first.
        address: Of the Runtime API, `host:port`.

    Returns:
        Exit code of the process.
    """
    api = http.client.HTTPConnection(address)
    try:
        module, _, name = handler_name.rpartition(".")
        handler: Handler = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever it is, whoever invokes must learn of it
        _post(api, "init/error", _document(error))
        return 1
    while True:
        api.request("GET", API_PREFIX + "invocation/next")
        response = api.getresponse()
        event = response.read()
        if response.status != http.client.OK:
            return 0
        headers = dict(response.getheaders())
        context = LambdaContext.from_headers(headers, os.environ)
        os.environ["_X_AMZN_TRACE_ID"] = headers["Lambda-Runtime-Trace-Id"]
        path, body = _answer(handler, event, context)
        _post(api, f"invocation/{context.aws_request_id}/{path}", body)


def _answer(handler: Handler, event: bytes, context: LambdaContext) -> tuple[str, bytes]:
    try:
        return "response", json.dumps(handler(json.loads(event), context)).encode()
    except Exception as error:  # an exception of the function is an answer, not the end
        document = _document(error)
        sys.stdout.write(document.decode() + "\n")
        return "error", document


def _document(error: Exception) -> bytes:
    """As AWS's runtime client describes an exception; one line."""
    trace = traceback.format_exception(error)[1:]
    kind = type(error).__name__
    return json.dumps({"errorType": kind, "errorMessage": str(error), "stackTrace": trace}).encode()


def _post(api: http.client.HTTPConnection, path: str, body: bytes) -> None:
    """Refused answers, too late or too large, are the API's business."""
    api.request("POST", API_PREFIX + path, body, {"Content-Type": "application/json"})
    api.getresponse().read()


if __name__ == "__main__":
    try:
        code = serve(sys.argv[1], os.environ["AWS_LAMBDA_RUNTIME_API"])
    except _GONE:
        code = 0
    sys.exit(code)
