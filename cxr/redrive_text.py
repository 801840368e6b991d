"""What `cxr redrive` says: what was given up and why, and what became of it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cxr.deployment import RULE
from cxr.keys import shown
from cxr.redrive import Failure, Moved, Survey
from cxr.status_table import UNKNOWN, age_text
from infra.pipeline import first_stage

MOST_ROWS: Final = 10
"""Messages shown of each queue; `--json` has all that were looked at."""


def messages(count: int) -> str:
    """`1 message`, `2,000 messages`."""
    return "1 message" if count == 1 else f"{count:,} messages"


def print_surveys(surveys: Sequence[Survey], console: Console, *, show_keys: bool) -> None:
    """Print what lies in the queues."""
    for found in surveys:
        if found.count:
            _print_survey(found, console, show_keys=show_keys)
    if not any(found.count for found in surveys):
        _line(console, "Nothing was given up.")


def print_moved(moved: Sequence[Moved], console: Console) -> None:
    """Print what was moved, and what was not."""
    for each in moved:
        _line(console, f"{given_up_by(each.whose)}: {messages(each.count)} sent back")
        if each.twice:
            _line(
                console,
                f"  {messages(each.twice)} could not be deleted and will be sent twice, which does"
                " no harm",
            )
        if each.problem:
            _line(console, f"  {each.problem}; run the same command again", style="bold red")
        if each.going_on:
            _line(console, "  SQS goes on by itself; the same command follows it")
    if any(each.count for each in moved):
        _line(console, "cxr status shows whether they come back.")


def as_json(
    surveys: Sequence[Survey], moved: Sequence[Moved], *, show_keys: bool, exit_code: int
) -> dict[str, Any]:
    """Both for a program."""
    done = {each.whose: each for each in moved}
    return {
        "queues": [
            {
                "queue": found.queue.whose,
                "messages": found.count,
                "moved": done[found.queue.whose].count if found.queue.whose in done else 0,
                "problem": done[found.queue.whose].problem if found.queue.whose in done else None,
                "logs": found.silent,
                "looked_at": [_message(failure, show_keys) for failure in found.failures],
            }
            for found in surveys
        ],
        "messages": sum(found.count for found in surveys),
        "moved": sum(each.count for each in moved),
        "exit_code": exit_code,
    }


def _print_survey(found: Survey, console: Console, *, show_keys: bool) -> None:
    whose = found.queue.whose
    home = first_stage().name if whose == RULE else whose
    _line(
        console,
        f"{given_up_by(whose)}: {messages(found.count)}, to the queue of {home}",
        style="bold",
    )
    reasons = Counter((failure.reason, failure.advice) for failure in found.failures)
    for (reason, advice), count in reasons.most_common():
        console.print(Padding(Text(f"{count:,} x {shown(reason)}"), (0, 0, 0, 2)))
        console.print(Padding(Text(advice, style="dim"), (0, 0, 0, 6)))
    if found.silent:
        _line(console, f"  The logs cannot be asked why: {shown(found.silent)}", style="yellow")
    if not found.failures:
        _line(console, "  None can be looked at: they are in somebody else's hands; try again soon")
        return
    console.print(_table(found, show_keys=show_keys))
    if found.count > MOST_ROWS:
        _line(console, f"  and {found.count - MOST_ROWS:,} more; --json lists more of them")


def _table(found: Survey, *, show_keys: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Image id" + (", key" if show_keys else ""), overflow="fold")
    for title in ("Age", "Received", "Failures"):
        table.add_column(title, justify="right", no_wrap=True)
    for failure in found.failures[:MOST_ROWS]:
        letter = failure.letter
        name = letter.image_id or "none"
        if show_keys and letter.image:
            name += f"\n{shown(letter.image.key)}"
        age_s = max(0.0, (found.at - letter.sent_at).total_seconds())
        failures = str(failure.attempts) if failure.attempts else UNKNOWN
        table.add_row(Text(name), age_text(age_s), str(letter.receives), failures)
    return table


def _message(failure: Failure, show_keys: bool) -> dict[str, Any]:
    letter = failure.letter
    document: dict[str, Any] = {
        "image_id": letter.image_id,
        "sent_at": letter.sent_at.isoformat(),
        "received": letter.receives,
        "failed": failure.attempts,
        "reason": failure.reason,
        "advice": failure.advice,
    }
    if show_keys and letter.image:
        document |= {"bucket": letter.image.bucket, "key": letter.image.key}
    return document


def given_up_by(whose: str) -> str:
    """Who gave a message up."""
    return "Not delivered by the upload rule" if whose == RULE else f"Given up by {whose}"


def _line(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
