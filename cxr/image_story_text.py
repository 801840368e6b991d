"""What `cxr logs` says of an image."""

from typing import Any, Final

from rich.console import Console
from rich.text import Text

from cxr.deployment import BATCH
from cxr.image_logs import FAILED, LogLine
from cxr.image_story import StoredRecord, Story, VersionStory
from cxr.keys import shown
from cxr.redrive_text import given_up_by
from cxr.results import REJECTED
from lambdas.shared.records import RECORD_FILE, REPORT_FILE

LEVEL_STYLES: Final = {"WARNING": "yellow", "ERROR": "bold red", "LAMBDA": "bold red"}


def print_story(story: Story, console: Console, *, show_keys: bool) -> None:
    """Print it."""
    image = story.image
    if image.key is not None:
        _line(console, f"s3://{image.bucket}/{shown(image.key)}", style="bold")
    if image.deleted_at:
        _line(console, f"Deleted {image.deleted_at:%Y-%m-%d %H:%M:%S} UTC")
    if not image.versions:
        _line(console, "There is no such object; check bucket, key and its spelling")
    for version in story.versions:
        _print_version(version, story, console, show_keys=show_keys)
    if story.more:
        _line(console, f"and {story.more:,} older versions; --versions N tells of more")
    for problem in story.problems:
        _line(console, f"Not known: {shown(problem)}", style="yellow")


def as_json(story: Story, *, show_keys: bool) -> dict[str, Any]:
    """The story for a program."""
    image = story.image
    return {
        "bucket": image.bucket,
        "key": image.key,
        "deleted_at": image.deleted_at.isoformat() if image.deleted_at else None,
        "outside_intake_prefix": story.outside,
        "versions": [_version_json(version, show_keys) for version in story.versions],
        "older_versions": story.more,
        "problems": list(story.problems),
        "exit_code": story.exit_code,
    }


def _print_version(told: VersionStory, story: Story, console: Console, *, show_keys: bool) -> None:
    version = told.version
    if version.at is not None:
        newest = ", newest version" if version.newest else ""
        size = f"{version.size_bytes:,} bytes"
        _line(console, f"\n{version.at:%Y-%m-%d %H:%M:%S} UTC, {size}{newest}", style="bold")
    _line(console, f"Image id {version.image_id}")
    for record in told.records:
        _print_record(record, console, show_keys=show_keys)
    for letter in told.dead:
        times = "once" if letter.receives == 1 else f"{letter.receives:,} times"
        sentence = f"{given_up_by(letter.whose)}, received {times}; sends it back: cxr redrive"
        _line(console, sentence, style="red")
    if not told.records and not told.dead:
        _wrapped(console, _why_nothing(told, story))
    for line in told.lines:
        _print_log_line(line, console)


def _why_nothing(told: VersionStory, story: Story) -> str:
    if told.lines:
        return "No record yet, and not given up: on its way, or to be tried again (cxr status)"
    if story.outside:
        return "No record: the upload rule does not take keys outside of its prefix"
    if told.version.at is None:
        return "Nothing is known of it: no record, no line in the logs, no message given up"
    return (
        "No stage has seen it: it waits in the first queue (cxr status), or its event never came. "
        "Was it uploaded before the stack was deployed, or does the bucket not send its events to "
        "EventBridge? Uploading it again sends another"
    )


def _print_record(record: StoredRecord, console: Console, *, show_keys: bool) -> None:
    result = record.result
    if show_keys:
        _line(console, f"Key {shown(result.key)}")
    models = "" if record.current else f" (earlier models, {result.model_set})"
    if result.kind == REJECTED:
        _wrapped(console, f"Rejected{models}: {shown(result.rejection_message)}")
    else:
        findings = f"; {shown(result.findings_text)}" if result.findings_text else ""
        _wrapped(console, f"{shown(result.label)} {result.number_text}{models}{findings}")
    files = [RECORD_FILE, *result.files]
    if record.link and REPORT_FILE in result.files:
        _line(console, f"Report {record.link}{REPORT_FILE}")
    _line(console, f"Files  {record.uri}")
    _line(console, f"       {', '.join(files)}")


def _print_log_line(line: LogLine, console: Console) -> None:
    when = f"{line.at:%Y-%m-%d %H:%M:%S}.{line.at.microsecond // 1000:03d}"
    text = Text(f"  {when}  {line.stage:<8}  ")
    if line.level != "INFO":
        text.append(f"{line.level} ", style=LEVEL_STYLES.get(line.level, ""))
    text.append(shown(_said(line)))
    console.print(text, soft_wrap=True)


def _said(line: LogLine) -> str:
    """The sentence with its details."""
    if line.sentence == FAILED:  # an archive job has no message that could stay
        sentence = "image failed in a batch" if line.stage == BATCH else line.sentence
        return f"{sentence}: {line.fault}"
    sentence = line.sentence.removeprefix(f"{line.stage} ")
    details = ", ".join(
        f"{value:,} ms" if name == "milliseconds" else f"{name} {value}"
        for name, value in line.details.items()
    )
    return f"{sentence}, {details}" if details else sentence


def _version_json(told: VersionStory, show_keys: bool) -> dict[str, Any]:
    version = told.version
    return {
        "image_id": version.image_id,
        "at": version.at.isoformat() if version.at else None,
        "size_bytes": version.size_bytes,
        "newest": version.newest,
        "records": [_record_json(record, show_keys) for record in told.records],
        "given_up": [
            {
                "by": letter.whose,
                "sent_at": letter.sent_at.isoformat(),
                "received": letter.receives,
                "delivery_error": letter.delivery_error,
            }
            for letter in told.dead
        ],
        "lines": [
            {
                "at": line.at.isoformat(),
                "stage": line.stage,
                "level": line.level,
                "message": line.sentence,
                "details": dict(line.details),
                "request_id": line.request_id,
            }
            for line in told.lines
        ],
    }


def _record_json(record: StoredRecord, show_keys: bool) -> dict[str, Any]:
    result = record.result
    document = {
        "model_set": result.model_set,
        "deployed_models": record.current,
        "finished_at": record.finished_at,
        "status": result.status,
        "label": result.label,
        "probability": result.probability,
        "findings": [{"label": label, "score": score} for label, score in result.findings],
        "rejection_code": result.rejection_code,
        "rejection_message": result.rejection_message,
        "folder": record.uri,
        "files": [RECORD_FILE, *result.files],
    }
    return document | ({"key": result.key} if show_keys else {})


def _line(console: Console, text: str, *, style: str = "") -> None:
    """Not wrapped: ids and addresses must survive copying."""
    console.print(Text(text, style=style), soft_wrap=True)


def _wrapped(console: Console, text: str) -> None:
    console.print(Text(text))
