"""Where images are uploaded to: bucket, prefix, and the key of each.

Source: Amazon S3 user guide, "Naming Amazon S3 objects".
"""

from dataclasses import dataclass
from typing import Final

from cxr.keys import shown
from lambdas.shared.errors import InvalidRequestError

SCHEME: Final = "s3://"

MAX_KEY_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Target:
    """A place in a bucket.

    Attributes:
        bucket: Name.
        prefix: Ends in a slash unless it is empty.
    """

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        """As it is shown."""
        return f"{SCHEME}{self.bucket}/{self.prefix}"

    def key(self, name: str) -> str:
        """Key of an image.

        Args:
            name: Path of the file below what was named, with `/` between its parts.

        Raises:
            InvalidRequestError: S3 takes no such key; the sentence names no file.
        """
        key = self.prefix + name
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            raise InvalidRequestError("its name is not UTF-8, as keys must be; rename it") from None
        if size > MAX_KEY_BYTES:
            raise InvalidRequestError(
                f"its key would have {size:,} bytes, S3 takes {MAX_KEY_BYTES:,}; shorten its path"
            )
        return key


def parse_target(url: str) -> Target:
    """Read `s3://bucket/prefix`; the prefix is a folder whether it ends in a slash or not.

    Raises:
        InvalidRequestError: It names no bucket.
    """
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    if not url.startswith(SCHEME) or not bucket:
        raise InvalidRequestError(
            f"{shown(url)!r} names no bucket, expected such as s3://bucket/images/"
        )
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    return Target(bucket, prefix)


def check_processed(target: Target, intake_prefix: str) -> None:
    """Refuse a place whose objects nothing processes.

    Raises:
        InvalidRequestError: It is outside of the prefix that the upload rule takes.
    """
    if not target.prefix.startswith(intake_prefix):
        raise InvalidRequestError(
            f"{shown(target.uri)} lies outside of {intake_prefix}, so nothing uploaded there is "
            f"processed; upload to {SCHEME}{target.bucket}/{intake_prefix}, or add --anyway"
        )
