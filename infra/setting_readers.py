"""What each setting of cdk.json may be, and the value that it is read as."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from lambdas.report.formats import FORMATS, parse_formats
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.flow import Stage
from lambdas.shared.passthrough import PASSTHROUGH_TAGS, parse_passthrough

REPOSITORY: Final = Path(__file__).parents[1]

Architecture = Literal["x86_64", "arm64"]

LOG_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""What CloudWatch Logs can keep (PutRetentionPolicy)."""

MEMORY_MB: Final = range(128, 10_241)
"""Lambda quotas, function memory."""

CONCURRENCY: Final = range(2, 1_001)
"""Range of an SQS event source's MaximumConcurrency."""

VPC_PREFIXES: Final = range(16, 28)
"""Of a VPC from /16; at /27 two subnets still hold 11 addresses each."""

MAP_CHILDREN: Final = range(1, 1_001)
"""Executions of a map run at a time; more would take all of an account's usual Lambda quota."""

BUCKET_OBJECT: Final = (
    '{"name": "a-bucket", "key_arn": "arn:aws:kms:…:key/…" or null for S3\'s own keys}'
)
"""How a bucket is named that is there already."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class ExistingBucket:
    """A bucket that is there already; its settings stay as they are, and so do its contents.

    Attributes:
        name: Of a bucket in the account and region of the stack.
        key_arn: Of the KMS key that it encrypts with; None where it uses S3's own keys.
    """

    name: str
    key_arn: str | None


class UnexpectedValueError(ValueError):
    """A setting is not what it may be; the message says what was expected."""


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UnexpectedValueError("true or false")
    return value


def _folder(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise UnexpectedValueError("a folder, such as models/demo")
    return REPOSITORY / value


def _choice(*choices: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if isinstance(value, bool) or value not in choices:
            raise UnexpectedValueError(f"one of {', '.join(map(str, choices))}")
        return value

    return read


def _whole(allowed: range) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
            raise UnexpectedValueError(f"a whole number from {allowed[0]:,} to {allowed[-1]:,}")
        return value

    return read


def _by_stage(allowed: range) -> Callable[[Any], dict[Stage, int]]:
    stages = get_args(Stage)
    one = _whole(allowed)

    def read(value: Any) -> dict[Stage, int]:
        try:
            if isinstance(value, Mapping) and set(value) <= set(stages):
                return {stage: one(value[stage]) for stage in stages if stage in value}
        except UnexpectedValueError:
            pass
        raise UnexpectedValueError(
            f"an object with {', '.join(stages)} or some of them, each "
            f"from {allowed[0]:,} to {allowed[-1]:,}"
        )

    return read


def _formats(value: Any) -> str:
    try:
        if isinstance(value, str):
            parse_formats(value)
            return value
    except InvalidRequestError:
        pass
    raise UnexpectedValueError(f'"" or some of {",".join(sorted(FORMATS))}')


def _passthrough(value: Any) -> str:
    try:
        if isinstance(value, str):
            parse_passthrough(value)
            return value
    except InvalidRequestError:
        pass
    raise UnexpectedValueError(f'"" or some of {",".join(PASSTHROUGH_TAGS)}')


def _optional_text(pattern: re.Pattern[str], expected: str) -> Callable[[Any], str | None]:
    def read(value: Any) -> str | None:
        if value is None or (isinstance(value, str) and pattern.fullmatch(value)):
            return value
        raise UnexpectedValueError(f"{expected}, or null")

    return read


def _network(value: Any) -> str | None:
    if value is None:
        return None
    try:
        network = ipaddress.IPv4Network(value)
        if network.is_private and network.prefixlen in VPC_PREFIXES:
            return str(network)
    except (ValueError, TypeError):
        pass
    raise UnexpectedValueError(
        f"private addresses from /{VPC_PREFIXES[0]} to /{VPC_PREFIXES[-1]}, "
        "such as 10.90.0.0/24, or null"
    )


def _bucket(value: Any) -> ExistingBucket | None:
    if value is None:
        return None
    if isinstance(value, Mapping) and set(value) == {"name", "key_arn"}:
        name, key_arn = value["name"], value["key_arn"]
        right_key = key_arn is None or (isinstance(key_arn, str) and _KEY_ARN.fullmatch(key_arn))
        if isinstance(name, str) and _BUCKET.fullmatch(name) and right_key:
            return ExistingBucket(name, key_arn)
    raise UnexpectedValueError(f"{BUCKET_OBJECT}, or null")


def _buckets(value: Any) -> tuple[ExistingBucket, ...]:
    if not isinstance(value, list):
        raise UnexpectedValueError(f"a list of {BUCKET_OBJECT}")
    found = []
    for entry in value:
        bucket = _bucket(entry)
        if bucket is None:
            raise UnexpectedValueError(f"a list of {BUCKET_OBJECT}, without null")
        found.append(bucket)
    if len({bucket.name for bucket in found}) < len(found):
        raise UnexpectedValueError("a list that names each bucket once")
    return tuple(found)


READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "models": _folder,
    "architecture": _choice(*get_args(Architecture)),
    "keep_data": _flag,
    "log_days": _choice(*LOG_DAYS),
    "superseded_days": _whole(range(1, 3_651)),
    "access_log_days": _whole(range(1, 3_651)),
    "memory_mb": _by_stage(MEMORY_MB),
    "max_concurrency": _by_stage(CONCURRENCY),
    "detect_all": _flag,
    "formats": _formats,
    "passthrough": _passthrough,
    "alarm_age_minutes": _whole(range(1, 5_761)),
    "alarm_email": _optional_text(_EMAIL, "an e-mail address"),
    "vpc_cidr": _network,
    "intake_bucket": _bucket,
    "results_bucket": _bucket,
    "archive_buckets": _buckets,
    "archive_concurrency": _whole(MAP_CHILDREN),
}
"""How each setting is read from JSON."""
