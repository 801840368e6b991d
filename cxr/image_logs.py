"""What the functions' logs say of an image, and of the invocations that it was in.

Every line that is about an image names its image_id. A function that runs out of memory or time
says nothing itself; Lambda does, and names the invocation.

Source: CloudWatch Logs API, FilterLogEvents; Lambda developer guide, "Lambda log group".
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cxr.aws import error_code, translated
from cxr.deployment import Deployment, LogPlace

NEEDS: Final = "logs:FilterLogEvents and kms:Decrypt"

MOST_LINES: Final = 5_000
"""Of one search in one log group; an image that has more goes round in circles."""

FAILED: Final = "image failed; its message stays"
"""How `telemetry.fault` begins."""

LAMBDA: Final = "LAMBDA"
"""Level of a line that Lambda wrote, not the function."""

_NOT_DETAILS: Final = frozenset(
    {
        "level",
        "message",
        "timestamp",
        "service",
        "location",
        "image_id",
        "request_id",
        "xray_trace_id",
        "cold_start",
        "function_name",
        "function_arn",
        "function_memory_size",
        "function_request_id",
    }
)
"""Of Powertools' logger: shown elsewhere, or about the function."""

_FAULT: Final = re.compile(r"Task timed out|\bError: |Status: (timeout|error)")
"""In a line of Lambda's own: the invocation did not end well."""

_REPORT: Final = re.compile(
    r"Memory Size: (\d+) MB(?:\s+Max Memory Used: (\d+) MB)?.*Status: (\w+)"
    r"(?:\s+Error Type: (\S+))?",
    re.DOTALL,
)
"""In the REPORT line of an invocation that did not end well."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line.

    Attributes:
        at: When.
        stage: Whose log it stands in: a stage's, or `deployment.BATCH`.
        level: `INFO`, `WARNING`, `ERROR`, or `LAMBDA`.
        sentence: What it says.
        details: What else it says, by name.
        image_id: That it is about; None where it names none.
        request_id: Of the invocation; None where it names none.
    """

    at: datetime
    stage: str
    level: str
    sentence: str
    details: Mapping[str, Any] = field(default_factory=dict)
    image_id: str | None = None
    request_id: str | None = None

    @property
    def fault(self) -> str | None:
        """Why the image's message stayed in its queue; None where the line tells no such thing."""
        if self.level == LAMBDA:
            return self.sentence
        if self.sentence != FAILED:
            return None
        error = str(self.details.get("error", "unknown"))
        if "reason" in self.details:
            return f"{error}: {self.details['reason']}"
        trace = self.details.get("trace")
        return f"{error} at {trace[-1]}" if trace else error


class ImageLogs:
    """The logs of a deployment's functions: the stages', and that of archive jobs.

    Args:
        logs: Client.
        deployment: Which one.
    """

    def __init__(self, logs: Any, deployment: Deployment) -> None:
        self._logs = logs
        self._places = deployment.log_places

    def of_image(self, image_id: str, *, since: datetime) -> list[LogLine]:
        """Lines about an image, with the bad ends of the invocations that it was in, by time."""
        found: list[LogLine] = []
        for place in self._places:
            lines = list(self._search(place, image_id, since))
            requests = dict.fromkeys(line.request_id for line in lines if line.request_id)
            for request in requests:
                lines += self._bad_ends(place, request, since)
            found += lines
        return sorted(found, key=lambda line: line.at)

    def faults(self, stage: str, *, since: datetime) -> dict[str, list[LogLine]]:
        """Lines that say why messages stayed in a stage's queue, by image."""
        found: dict[str, list[LogLine]] = {}
        place = next(each for each in self._places if each.name == stage)
        for line in self._search(place, FAILED, since):
            if line.image_id and line.fault:
                found.setdefault(line.image_id, []).append(line)
        return found

    def _bad_ends(self, place: LogPlace, request: str, since: datetime) -> list[LogLine]:
        return [
            line
            for line in self._search(place, request, since)
            if line.level == LAMBDA and line.image_id is None
        ]

    def _search(self, place: LogPlace, words: str, since: datetime) -> Iterator[LogLine]:
        """Lines that hold these words as they stand."""
        count = 0
        with translated(f"reading the log of {place.name}", needs=NEEDS):
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=place.log_group,
                startTime=int(since.timestamp() * 1000),
                filterPattern=json.dumps(words),
            )
            try:
                for page in pages:
                    for event in page["events"]:
                        if (line := parse_line(event, place.name, words)) is not None:
                            yield line
                            count += 1
                    if count >= MOST_LINES:
                        return
            except Exception as error:
                # a log group that retention or nobody's first run has left empty
                if error_code(error) != "ResourceNotFoundException":
                    raise


def parse_line(event: Mapping[str, Any], stage: str, words: str) -> LogLine | None:
    """A line as FilterLogEvents returns it; None for what says nothing of an image.

    Args:
        event: With `timestamp` in ms and `message`.
        stage: Whose log it stands in.
        words: That were searched for: the id of the invocation, in a line of Lambda's own.
    """
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    text = str(event["message"]).strip()
    try:
        document = json.loads(text)
        sentence = str(document["message"])
    except (ValueError, KeyError, TypeError):
        if not _FAULT.search(text):
            return None
        return LogLine(at, stage, LAMBDA, _of_lambda(text, words), request_id=words)
    return LogLine(
        at=at,
        stage=stage,
        level=str(document.get("level", "INFO")),
        sentence=sentence,
        details={name: value for name, value in document.items() if name not in _NOT_DETAILS},
        image_id=document.get("image_id"),
        request_id=document.get("request_id"),
    )


def _of_lambda(text: str, request_id: str) -> str:
    """In few words: `Task timed out after 310.00 seconds`, `out of memory: used all 3008 MB`."""
    if report := _REPORT.search(text):
        size, used, status, error = report.groups()
        if int(used or 0) >= int(size):
            return f"out of memory: used all {size} MB"
        return f"ended with status {status}{f', {error}' if error else ''}"
    _, _, rest = text.rpartition(request_id)
    return " ".join(rest.split()) or text
