"""What travels between the stages: pointers to an image, and what earlier stages found.

A message of the classify queue is EventBridge's "Object Created" event, or `ImageRequest` in our
own form, for an image that starts again. The other queues carry our own form alone. Stage values
travel here; there are no intermediate objects.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from lambdas.shared.boxes import UnitBox
from lambdas.shared.errors import ContractError
from lambdas.shared.findings import Code, Finding, Triage

MESSAGE_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One version of one object.

    Attributes:
        bucket: Name.
        key: As S3 has it: decoded, any Unicode, at most 1,024 bytes of UTF-8. May identify a
            patient: never logged.
        version_id: None in a bucket without versioning.
        etag: Without quotes; tells an overwritten object where there is no version.
        size_bytes: None where the event did not say.
    """

    bucket: str
    key: str
    version_id: str | None
    etag: str | None
    size_bytes: int | None = None

    @property
    def version(self) -> str | None:
        """Version id, else ETag: what `records.Source.version` holds."""
        return self.version_id or self.etag


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One current object of a bucket, as a listing gives it; fields as in `ImageRef`."""

    key: str
    version_id: str | None
    etag: str | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ImageMessage:
    """An image on its way.

    Attributes:
        image: Where it lies.
        model_set: Of the functions that have handled it so far; None before the first.
        sha256: Of its bytes; None before they were read, or where they were too many to read.
        triage: None before triage, and for a rejected image.
        rejection: Reason code and sentence; None unless rejected.
        findings: None unless detection was performed.
        timings: Durations in ms, by part.
    """

    image: ImageRef
    model_set: str | None = None
    sha256: str | None = None
    triage: Triage | None = None
    rejection: tuple[str, str] | None = None
    findings: tuple[Finding, ...] | None = None
    timings: Mapping[str, float] = field(default_factory=dict)

    def to_body(self) -> str:
        """As it is sent: ASCII, since SQS refuses some of the characters that a key may hold."""
        return json.dumps({"message_version": MESSAGE_VERSION, **asdict(self)})


def parse_message(body: str) -> ImageMessage:
    """Read an EventBridge event or a message of our own.

    Raises:
        ContractError: Neither; the sentence names the part, never its content.
    """
    try:
        document = json.loads(body)
        if document.get("detail-type") == "Object Created":
            return ImageMessage(_from_event(document["detail"]))
        if document["message_version"] != MESSAGE_VERSION:
            raise ContractError(
                f"message_version is {document['message_version']!r}, expected {MESSAGE_VERSION}; "
                "deploy the stages together, then redrive"
            )
        return _from_document(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # the content may hold a key: name the kind of fault alone
        raise ContractError(
            f"message is neither an S3 event nor one of the stages' ({type(error).__name__})"
        ) from None


def _from_event(detail: Mapping[str, Any]) -> ImageRef:
    """EventBridge carries the key as it is; S3's own notifications would encode it.

    Version "null" names none: where versioning is suspended every upload has it, and so only the
    ETag tells a new image from the one that it has replaced.
    """
    created = detail["object"]
    version = created.get("version-id")
    return ImageRef(
        bucket=_text(detail["bucket"]["name"]),
        key=_text(created["key"]),
        version_id=None if version in (None, "", "null") else version,
        etag=(created.get("etag") or "").strip('"') or None,
        size_bytes=created.get("size"),
    )


def _from_document(document: Mapping[str, Any]) -> ImageMessage:
    triage, findings = document["triage"], document["findings"]
    rejection = document["rejection"]
    return ImageMessage(
        image=ImageRef(**document["image"]),
        model_set=document["model_set"],
        sha256=document["sha256"],
        triage=Triage(**triage) if triage else None,
        rejection=(_text(rejection[0]), _text(rejection[1])) if rejection else None,
        findings=None if findings is None else tuple(map(_finding, findings)),
        timings=document["timings"],
    )


def _finding(document: Mapping[str, Any]) -> Finding:
    code = document["code"]
    return Finding(
        label=document["label"],
        code=Code(**code) if code else None,
        score=document["score"],
        threshold=document["threshold"],
        box=UnitBox(**document["box"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("text is missing")
    return value
