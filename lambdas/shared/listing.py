"""List what a bucket holds, and stream what is too large to be held."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.messages import ListedObject
from lambdas.shared.storage import GONE, error_code, s3_client, translated


class ObjectLister:
    """Lists buckets, and streams what is too large to be held."""

    def __init__(self, *, client: Any = None) -> None:
        self._s3 = client or s3_client()

    def current_objects(
        self, bucket: str, prefix: str, *, after_key: str | None
    ) -> Iterator[ListedObject]:
        """Current versions in the order of their keys, without deleted ones.

        Raises:
            TransientError: Later, perhaps; what was listed so far stands.
        """
        where: dict[str, str] = {"KeyMarker": after_key} if after_key else {}
        while True:
            with translated("listing images"):
                page = self._s3.list_object_versions(Bucket=bucket, Prefix=prefix, **where)
            for entry in page.get("Versions", []):
                if entry["IsLatest"]:
                    version = entry.get("VersionId")
                    yield ListedObject(
                        key=entry["Key"],
                        version_id=None if version in (None, "null") else version,
                        etag=entry["ETag"].strip('"'),
                        size_bytes=entry["Size"],
                    )
            if not page["IsTruncated"]:
                return
            where = {"KeyMarker": page["NextKeyMarker"]}
            if page.get("NextVersionIdMarker"):
                where["VersionIdMarker"] = page["NextVersionIdMarker"]

    def open(self, bucket: str, key: str, *, start: int = 0) -> BinaryIO:
        """An object's bytes from an offset on, as a stream that iterates over lines.

        Raises:
            InvalidRequestError: There is no such object.
        """
        span = {"Range": f"bytes={start}-"} if start else {}
        with translated("reading a list"):
            try:
                body = self._s3.get_object(Bucket=bucket, Key=key, **span)["Body"]
            except ClientError as error:
                if error_code(error) == "InvalidRange":  # the cursor stands at the end
                    return io.BytesIO()
                if error_code(error) in GONE:
                    raise InvalidRequestError(
                        f"there is no list at s3://{bucket}/{key}; name one that exists"
                    ) from error
                raise
        return io.BufferedReader(_Body(body), 1024 * 1024)


class _Body(io.RawIOBase):
    """A response's body as Python's own streams are."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the next bytes go."""
        with translated("reading a list"):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """End the connection."""
        self._body.close()
        super().close()
