"""From what a person names to the versions of an image that a bucket holds."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cxr.aws import error_code, translated
from cxr.deployment import Deployment
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import image_id_of

SCHEME: Final = "s3://"

NEEDS: Final = "s3:ListBucketVersions or s3:GetObject on the bucket of images"

_IMAGE_ID: Final = re.compile(r"[0-9a-f]{32}")

_DENIED: Final = frozenset({"AccessDenied", "403", "Forbidden"})
_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound", "MethodNotAllowed", "405"})


@dataclass(frozen=True, slots=True)
class ImageVersion:
    """One version of an object; or one that is known by its id alone.

    Attributes:
        image_id: Of this version.
        at: When it was written; None where only the id is known.
        size_bytes: None where only the id is known.
        newest: Whether it is what the key stands for now.
    """

    image_id: str
    at: datetime | None = None
    size_bytes: int | None = None
    newest: bool = False


@dataclass(frozen=True, slots=True)
class NamedImage:
    """What a person named.

    Attributes:
        bucket: None where it was an image_id.
        key: None where it was an image_id.
        versions: Newest first.
        deleted_at: When the object was deleted; None if it was not.
    """

    bucket: str | None
    key: str | None
    versions: tuple[ImageVersion, ...]
    deleted_at: datetime | None = None


def find_image(s3: Any, deployment: Deployment, name: str) -> NamedImage:
    """Find the versions of an image.

    Args:
        s3: Client.
        deployment: Whose intake bucket a bare key is looked for in.
        name: `s3://bucket/key`, a key of the intake bucket with or without its prefix, or an
            image_id.

    Raises:
        InvalidRequestError: The URL has no key.
    """
    if _IMAGE_ID.fullmatch(name):
        return NamedImage(None, None, (ImageVersion(name),))
    if name.startswith(SCHEME):
        bucket, _, key = name.removeprefix(SCHEME).partition("/")
        if not bucket or not key:
            raise InvalidRequestError(f"{name!r} names no object, expected s3://bucket/key")
        return _versions(s3, bucket, key)
    found = _versions(s3, deployment.intake_bucket, name)
    if not found.versions and not name.startswith(deployment.intake_prefix):
        below = _versions(s3, deployment.intake_bucket, deployment.intake_prefix + name)
        return below if below.versions else found
    return found


def _versions(s3: Any, bucket: str, key: str) -> NamedImage:
    with translated("looking for the image", needs=NEEDS):
        try:
            listed = list(_listed(s3, bucket, key))
        except Exception as error:
            if error_code(error) not in _DENIED:
                raise
            return _current(s3, bucket, key)
    markers = [entry for kind, entry in listed if kind == "DeleteMarkers"]
    return NamedImage(
        bucket,
        key,
        tuple(_version(bucket, key, entry) for kind, entry in listed if kind == "Versions"),
        next((entry["LastModified"] for entry in markers if entry["IsLatest"]), None),
    )


def _listed(s3: Any, bucket: str, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Versions and delete markers of exactly this key, newest first."""
    found = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        entries = [
            (kind, entry)
            for kind in ("Versions", "DeleteMarkers")
            for entry in page.get(kind, ())
            if entry["Key"] == key
        ]
        found += entries
        if not entries:  # keys come in order: this one would have been first
            break
    yield from sorted(found, key=lambda pair: pair[1]["LastModified"], reverse=True)


def _current(s3: Any, bucket: str, key: str) -> NamedImage:
    """The newest version alone, where the others may not be listed."""
    try:
        head = s3.head_object(Bucket=bucket, Key=key)
    except Exception as error:
        if error_code(error) not in _ABSENT:
            raise
        return NamedImage(bucket, key, ())
    entry = {**head, "Size": head["ContentLength"], "IsLatest": True}
    return NamedImage(bucket, key, (_version(bucket, key, entry),))


def _version(bucket: str, key: str, entry: Mapping[str, Any]) -> ImageVersion:
    image = ImageRef(
        bucket=bucket,
        key=key,
        version_id=real_version(entry.get("VersionId")),
        etag=entry["ETag"].strip('"'),
    )
    return ImageVersion(
        image_id=image_id_of(bucket, key, image.version),
        at=entry["LastModified"],
        size_bytes=entry["Size"],
        newest=entry["IsLatest"],
    )


def real_version(version_id: str | None) -> str | None:
    """None for what a bucket without versioning calls its versions, as events have it."""
    return None if version_id in (None, "", "null") else version_id
