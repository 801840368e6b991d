"""An S3 client whose calls go wrong when a test says so."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError


def answered(code: str, status: int, operation: str = "PutObject") -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )


class FaultyS3:
    """Hands every call on, and counts it.

    Args:
        s3: The client behind.
    """

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self.calls: list[str] = []
        self.before: dict[str, list[Exception | None]] = {}
        self.after: dict[str, list[Exception | None]] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        real = getattr(self._s3, name)

        def call(**options: Any) -> Any:
            self.calls.append(name)
            if (faults := self.before.get(name)) and (fault := faults.pop(0)):
                raise fault
            answer = real(**options)
            if (faults := self.after.get(name)) and (fault := faults.pop(0)):
                raise fault
            return answer

        return call

    def count(self, name: str) -> int:
        return self.calls.count(name)
