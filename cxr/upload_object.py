"""One file becomes one object, once: checked by SHA-256 at both ends, and never written twice.

look whether it is there → same content: nothing to do → put it on condition that it still is not

The condition (If-None-Match) is what makes a retry harmless: if the answer to a put got lost, the
next one finds the object, whose checksum says that it is this very file. A second version would be
processed a second time.

Source: Amazon S3 API, PutObject, HeadObject; S3 user guide, "Checking object integrity".
"""

import base64
import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BufferedReader
from typing import Any, Final

from cxr.aws import error_code, translated
from cxr.discover import Image
from cxr.image_versions import real_version
from cxr.upload_target import Target
from lambdas.shared.errors import (
    ConfigError,
    ContractError,
    InputError,
    InvalidRequestError,
    TransientError,
)
from lambdas.shared.limits import MAX_FILE_BYTES, MIB
from lambdas.shared.records import image_id_of
from lambdas.shared.sniff import RASTER_FORMATS, SNIFF_BYTES, sniff

UPLOADED, REPLACED, THERE, SKIPPED, FAILED = "uploaded", "replaced", "there", "skipped", "failed"
"""What became of a file; `THERE` is an object with its content that was there before."""

IN_PLACE: Final = frozenset({UPLOADED, REPLACED, THERE})

PAUSES_S: Final = (1.0, 5.0, 20.0)
"""Before each further attempt, each of which is several of botocore's own."""

READ_NEEDS: Final = "s3:GetObject and kms:Decrypt"
WRITE_NEEDS: Final = "s3:PutObject and kms:GenerateDataKey"

_CONTENT_TYPES: Final = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "tiff": "image/tiff",
    "dicom": "application/dicom",
}
_READABLE: Final = RASTER_FORMATS | {"dicom"}
_CHUNK_BYTES: Final = 1024 * 1024

_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_DENIED: Final = frozenset({"AccessDenied", "403", "Forbidden"})
_TAKEN: Final = frozenset({"PreconditionFailed", "412"})
_CHANGED: Final = frozenset({"BadDigest", "XAmzContentChecksumMismatch", "IncompleteBody"})

_MOST_ROUNDS: Final = 4
"""Of finding an object gone that was there, or there that was not: somebody else is at work."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        name: Of the file, below what was named.
        state: One of the five.
        reason: Why it was skipped, or failed; empty otherwise.
        key: Of the object; empty where there is none.
        size_bytes: Of the file.
        sha256: Hex digest of its bytes; None where they were not read.
        version_id: Of the object; None in a bucket without versioning, and in a dry run.
        etag: Of the object, without quotes; None in a dry run.
        outside: Whether the cause of the failure may lie outside of the file.
    """

    name: str
    state: str
    reason: str = ""
    key: str = ""
    size_bytes: int = 0
    sha256: str | None = None
    version_id: str | None = None
    etag: str | None = None
    outside: bool = False

    def image_id(self, bucket: str) -> str | None:
        """Of the object; None where there is none yet."""
        version = self.version_id or self.etag
        return image_id_of(bucket, self.key, version) if self.key and version else None


class Uploader:
    """Uploads files; safe for several threads.

    Args:
        s3: Client.
        target: Where to.
        replace_others: Whether to put a new version over an object with other content.
        dry_run: Whether to only look.
        pause: Waits for so many seconds.
    """

    def __init__(
        self,
        s3: Any,
        target: Target,
        *,
        replace_others: bool = False,
        dry_run: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._s3 = s3
        self._target = target
        self._replace = replace_others
        self._dry_run = dry_run
        self._pause = pause

    def upload(self, image: Image) -> Outcome:
        """Upload a file, unless it is there.

        Raises:
            ConfigError: What would fail for every file: no credentials, no permission.
        """
        for pause_s in (*PAUSES_S, None):
            try:
                return self._attempt(image)
            except InputError as error:
                return Outcome(image.key, FAILED, error.message)
            except OSError as error:
                return Outcome(image.key, FAILED, f"cannot be read: {error.strerror or error}")
            except ConfigError:
                raise
            except ContractError as error:
                return Outcome(image.key, FAILED, str(error), outside=True)
            except TransientError as error:
                if pause_s is None:
                    return Outcome(image.key, FAILED, str(error), outside=True)
                self._pause(pause_s)
        raise AssertionError("the last attempt returns")

    def _attempt(self, image: Image) -> Outcome:
        with image.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            kind = sniff(file.read(SNIFF_BYTES))
            if kind not in _READABLE:
                return Outcome(image.key, SKIPPED, _why_skipped(kind), size_bytes=size)
            if size > MAX_FILE_BYTES:
                reason = f"{size / MIB:,.0f} MiB, the limit of an image is {MAX_FILE_BYTES // MIB}"
                return Outcome(image.key, FAILED, reason, size_bytes=size)
            key = self._target.key(image.key)
            digest = _digest(file)
            planned = Outcome(image.key, UPLOADED, key=key, size_bytes=size, sha256=digest.hex())
            for tried in range(_MOST_ROUNDS):
                there, may_look = self._look(key)
                if there is None:
                    condition = {"IfNoneMatch": "*"}
                elif self._same(key, there, size, digest):
                    # after a put whose answer got lost it is ours
                    state = planned.state if tried else THERE
                    return _with_version(replace(planned, state=state), there)
                elif not self._replace:
                    return _failed(
                        planned, "another image has this name there: rename it, or use --replace"
                    )
                else:
                    planned = replace(planned, state=REPLACED)
                    condition = {"IfMatch": there["ETag"]}
                if self._dry_run:
                    return planned
                file.seek(0)
                answer = self._put(key, file, digest, _CONTENT_TYPES[kind], condition)
                if answer is not None:
                    return _with_version(planned, answer)
                if not may_look:
                    return _failed(
                        planned,
                        "an image has this name there, and you may not read "
                        f"it to compare; your role needs {READ_NEEDS}",
                    )
            return _failed(
                planned,
                "somebody else writes this object; let them finish, then run "
                "the same command again",
            )

    def _look(self, key: str) -> tuple[Mapping[str, Any] | None, bool]:
        """What is known of the object, None if there seems to be none; whether one may look."""
        with translated("looking whether an image is there", needs=READ_NEEDS):
            try:
                found = self._s3.head_object(
                    Bucket=self._target.bucket, Key=key, ChecksumMode="ENABLED"
                )
            except Exception as error:
                # without s3:ListBucket an absent object is denied as well; a put finds out
                if error_code(error) in _ABSENT | _DENIED:
                    return None, error_code(error) in _ABSENT
                raise
        return dict(found), True

    def _same(self, key: str, there: Mapping[str, Any], size: int, digest: bytes) -> bool:
        """Whether an object has this content."""
        if there["ContentLength"] != size:
            return False
        known = there.get("ChecksumSHA256", "")
        # of an object in parts, which its ETag tells, it is a checksum of checksums
        if known and "-" not in known and "-" not in there["ETag"]:
            return bool(base64.b64decode(known) == digest)
        return self._read_back(key, there) == digest

    def _read_back(self, key: str, there: Mapping[str, Any]) -> bytes:
        """SHA-256 of an object that does not tell its own, such as one that others uploaded."""
        version = real_version(there.get("VersionId"))
        which = {"VersionId": version} if version else {"IfMatch": there["ETag"]}
        with translated("comparing an image that is there", needs=READ_NEEDS):
            answer = self._s3.get_object(Bucket=self._target.bucket, Key=key, **which)
            found = hashlib.sha256()
            with contextlib.closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    found.update(chunk)
        return found.digest()

    def _put(
        self,
        key: str,
        file: BufferedReader,
        digest: bytes,
        content_type: str,
        condition: Mapping[str, str],
    ) -> Mapping[str, Any] | None:
        """Write the object; None if the condition did not hold."""
        checksum = base64.b64encode(digest).decode()
        with translated("uploading", needs=WRITE_NEEDS):
            try:
                answer = self._s3.put_object(
                    Bucket=self._target.bucket,
                    Key=key,
                    Body=file,
                    ContentType=content_type,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=checksum,
                    **condition,
                )
            except Exception as error:
                code = error_code(error)
                if code in _TAKEN or (code in _ABSENT and "IfMatch" in condition):
                    return None
                if code in _CHANGED:
                    raise InvalidRequestError(
                        "it changed while it was uploaded; run the same command again"
                    ) from error
                raise
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise ContractError("S3 tells another checksum than that of what was sent")
        return dict(answer)


def _digest(file: BufferedReader) -> bytes:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").digest()


def _with_version(outcome: Outcome, answer: Mapping[str, Any]) -> Outcome:
    return replace(
        outcome,
        version_id=real_version(answer.get("VersionId")),
        etag=answer["ETag"].strip('"'),
    )


def _failed(outcome: Outcome, reason: str) -> Outcome:
    return replace(outcome, state=FAILED, reason=reason, key="")


def _why_skipped(kind: str) -> str:
    return {"empty": "empty", "unknown": "not an image"}.get(kind, f"{kind}, not an image")
