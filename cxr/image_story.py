"""What happened to one image: log lines of all stages, its record, or where its message lies."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cxr.aws import error_code, translated
from cxr.dead_letters import DeadLetter, looked_at
from cxr.deployment import Deployment
from cxr.image_logs import ImageLogs, LogLine
from cxr.image_versions import ImageVersion, NamedImage, find_image
from cxr.results import Result
from lambdas.shared.errors import ContractError, CxrError
from lambdas.shared.records import RECORD_FILE, RESULTS_PREFIX, result_key

MOST_DEAD: Final = 1_000
"""Messages that are looked through in each dead letter queue."""

DEFAULT_DAYS: Final = 14
"""Of logs that are searched where the time of upload is not known."""

_CLOCK: Final = timedelta(minutes=1)
"""How much earlier than the upload the logs are searched: clocks differ."""

_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_NEEDS: Final = "s3:ListBucket and s3:GetObject on the bucket of results, and kms:Decrypt"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A final record.

    Attributes:
        result: What it says.
        current: Whether the models that are deployed made it.
        finished_at: ISO 8601.
        bucket: Of results.
        folder: Key below which its files lie, ending in a slash.
        link: Where a browser finds the folder; None on AWS, where nothing is public.
    """

    result: Result
    current: bool
    finished_at: str
    bucket: str
    folder: str
    link: str | None

    @property
    def uri(self) -> str:
        """Of the folder."""
        return f"s3://{self.bucket}/{self.folder}"


@dataclass(frozen=True, slots=True)
class VersionStory:
    """One version.

    Attributes:
        version: Which one.
        lines: Of all stages, by time.
        records: One for each set of models that has seen it, the deployed one's first.
        dead: Its messages that were given up.
    """

    version: ImageVersion
    lines: tuple[LogLine, ...]
    records: tuple[StoredRecord, ...]
    dead: tuple[DeadLetter, ...]

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""
        return bool(self.version.at or self.lines or self.records or self.dead)


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to an image.

    Attributes:
        image: As it was named.
        outside: Whether its key is one that the rule does not take.
        versions: Newest first.
        more: Older versions that were left out.
        problems: What could not be asked, and why.
    """

    image: NamedImage
    outside: bool
    versions: tuple[VersionStory, ...]
    more: int
    problems: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 if nothing is known of the image."""
        return 0 if any(version.known for version in self.versions) else 1


def tell_story(
    deployment: Deployment,
    name: str,
    *,
    since: timedelta | None,
    most_versions: int,
    queues: bool,
) -> Story:
    """Gather what is known of an image; what cannot be asked is said, and the rest told.

    Args:
        deployment: Which one.
        name: As `image_versions.find_image` takes it.
        since: How far back logs are searched; None for since the upload.
        most_versions: Versions to tell of.
        queues: Whether to look through the dead letter queues.
    """
    cloud = deployment.cloud
    s3 = cloud.client("s3")
    image = find_image(s3, deployment, name)
    chosen = image.versions[:most_versions]
    problems: list[str] = []
    dead: list[DeadLetter] = []
    if queues:
        dead = _dead(cloud.client("sqs"), deployment, {v.image_id for v in chosen}, problems)
    logs = ImageLogs(cloud.client("logs"), deployment)
    model_sets = _model_sets(s3, deployment, problems)
    told = []
    for version in chosen:
        told.append(
            VersionStory(
                version=version,
                lines=_lines(logs, version, since, problems),
                records=tuple(_records(s3, deployment, model_sets, version.image_id, problems)),
                dead=tuple(letter for letter in dead if letter.image_id == version.image_id),
            )
        )
    return Story(
        image=image,
        outside=image.key is not None
        and image.bucket == deployment.intake_bucket
        and not image.key.startswith(deployment.intake_prefix),
        versions=tuple(told),
        more=len(image.versions) - len(chosen),
        problems=tuple(dict.fromkeys(problems)),
    )


def _lines(
    logs: ImageLogs, version: ImageVersion, since: timedelta | None, problems: list[str]
) -> tuple[LogLine, ...]:
    now = datetime.now(UTC)
    if since is not None:
        start = now - since
    elif version.at is not None:
        start = version.at - _CLOCK
    else:
        start = now - timedelta(days=DEFAULT_DAYS)
    try:
        return tuple(logs.of_image(version.image_id, since=start))
    except CxrError as error:
        problems.append(str(error))
        return ()


def _dead(
    sqs: Any, deployment: Deployment, image_ids: set[str], problems: list[str]
) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    for queue in deployment.dead_letter_queues:
        try:
            with looked_at(sqs, queue, most=MOST_DEAD) as letters:
                found += [letter for letter in letters if letter.image_id in image_ids]
        except CxrError as error:
            problems.append(str(error))
    return found


def _model_sets(s3: Any, deployment: Deployment, problems: list[str]) -> Sequence[str]:
    """All that have results, the deployed one first."""
    found = []
    try:
        with translated("listing the results", needs=_NEEDS):
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=deployment.results_bucket, Prefix=RESULTS_PREFIX, Delimiter="/"
            )
            for page in pages:
                found += [
                    entry["Prefix"].removeprefix(RESULTS_PREFIX).rstrip("/")
                    for entry in page.get("CommonPrefixes", ())
                ]
    except CxrError as error:
        problems.append(str(error))
    return list(dict.fromkeys([deployment.model_set, *found]))


def _records(
    s3: Any,
    deployment: Deployment,
    model_sets: Sequence[str],
    image_id: str,
    problems: list[str],
) -> Sequence[StoredRecord]:
    found = []
    for model_set in model_sets:
        try:
            record = read_record(s3, deployment, model_set, image_id)
        except CxrError as error:
            problems.append(str(error))
            break
        if record is not None:
            found.append(record)
    return found


def read_record(
    s3: Any, deployment: Deployment, model_set: str, image_id: str
) -> StoredRecord | None:
    """The record of an image under these models; None while there is none.

    Raises:
        CxrError: It cannot be read.
    """
    key = result_key(model_set, image_id, RECORD_FILE)
    bucket = deployment.results_bucket
    with translated("reading a record", needs=_NEEDS):
        try:
            content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except Exception as error:
            if error_code(error) in _ABSENT:
                return None
            raise
    folder = key.removesuffix(RECORD_FILE)
    try:
        document = json.loads(content)
        result = Result.from_record(document, folder=folder.rstrip("/"))
        finished_at = str(document["timings"]["finished_at"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"record.json of {image_id} is none ({type(error).__name__})") from None
    cloud = deployment.cloud
    return StoredRecord(
        result=result,
        current=model_set == deployment.model_set,
        finished_at=finished_at,
        bucket=bucket,
        folder=folder,
        link=f"{cloud.endpoint}/{bucket}/{folder}" if cloud.embedded else None,
    )
