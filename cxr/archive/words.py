"""How archive jobs are put into words and numbers, on a screen as in a report."""

from typing import Final

from cxr.progress import duration
from lambdas.batch.job import Job

CEILING: Final = "a ceiling on cost metered at these prices, not on the AWS bill"

NOT_METERED: Final = "Storage, KMS, logs and data transfer are not metered."

ENDED: Final = {
    "starting": "starting",
    "running": "running",
    "stopping": "stopping after this wave",
    "interrupted": "interrupted",
    "done": "done",
    "budget": "ended by its budget",
    "stopped": "stopped",
    "failed": "ended: too many images failed",
}
"""What the statuses of `follow.Snapshot` mean."""


def usd(amount: float) -> str:
    """`0.0123 USD`, `12.30 USD`, `1,234 USD`: never fewer than three digits that count."""
    if amount >= 1000:
        return f"{amount:,.0f} USD"
    if amount >= 1:
        return f"{amount:.2f} USD"
    return f"{amount:.4f} USD"


def time_text(seconds: float) -> str:
    """A duration that is only roughly known."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    if seconds < 72 * 3600:
        return duration(seconds)
    return f"{seconds / 86400:.1f} days"


def size_text(size_bytes: int) -> str:
    """`3.2 GB`; decimal, as S3 is billed."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def count_text(count: int, what: str = "image") -> str:
    """`1 image`, `2,000 images`."""
    plural = "es" if what.endswith(("ch", "s")) else "s"
    return f"{count:,} {what}" + ("" if count == 1 else plural)


def spend_text(spent_usd: float, job: Job) -> str:
    """What was spent, and of what."""
    if job.max_cost_usd is None:
        return f"{usd(spent_usd)}, no limit"
    return f"{usd(spent_usd)} of {usd(job.max_cost_usd)} ({spent_usd / job.max_cost_usd:.0%})"
