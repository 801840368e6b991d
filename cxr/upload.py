"""`cxr upload`: from files and folders to objects of a bucket. This module owns the order.

images → keys → threads that upload → manifest and summary
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console

from cxr.aws import error_code, translated
from cxr.daemon_threads import work_in_threads
from cxr.discover import Image, Omission, discover, nothing_found
from cxr.interruption import FINISH, Interruption
from cxr.keys import shown
from cxr.progress import looking
from cxr.upload_object import FAILED, IN_PLACE, REPLACED, SKIPPED, UPLOADED, Outcome, Uploader
from cxr.upload_progress import UploadProgress
from cxr.upload_target import Target
from lambdas.shared.errors import CxrError, InvalidRequestError

MOST_IN_A_ROW: Final = 20
"""Images that may fail one after the other for reasons outside of them: then the network is gone,
and the next thousand would take hours to fail as well."""


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """The arguments of the command.

    Attributes:
        paths: Files, folders, patterns.
        target: Where to.
        jobs: Files on their way at a time.
        replace: Whether to put new versions over objects with other content.
        dry_run: Whether to only look.
        quiet: Whether to show no progress.
    """

    paths: tuple[str, ...]
    target: Target
    jobs: int
    replace: bool = False
    dry_run: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class UploadSummary:
    """One upload, ended or interrupted.

    Attributes:
        target: Where to.
        dry_run: Whether nothing was written.
        in_place: Images that are there now, by name.
        skipped: Files left out on purpose, and why.
        failed: Files that should be there and are not, and why.
        pending: Images that an interruption, or `problem`, left.
        problem: Why the upload broke off; None if it did not.
        elapsed_s: From the first file to the last.
        exit_code: Of the command.
    """

    target: Target
    dry_run: bool
    in_place: tuple[Outcome, ...]
    skipped: tuple[Omission, ...]
    failed: tuple[Omission, ...]
    pending: int
    problem: str | None
    elapsed_s: float
    exit_code: int

    @property
    def counts(self) -> Counter[str]:
        """Images in place, by state."""
        return Counter(outcome.state for outcome in self.in_place)

    @property
    def sent_bytes(self) -> int:
        """Of the images that were written."""
        return sum(
            outcome.size_bytes for outcome in self.in_place if outcome.state in (UPLOADED, REPLACED)
        )


def upload(options: UploadOptions, *, s3: Any, console: Console) -> UploadSummary:
    """Run the command; what is printed at the end is the caller's.

    Args:
        options: The arguments.
        s3: Client.
        console: For progress.

    Raises:
        CxrError: Nothing can be uploaded: no image, no bucket, no credentials.
    """
    with looking(console, "Looking for images", quiet=options.quiet):
        found = discover(options.paths)
    images, doubles = _apart(found.images)
    if not images and not doubles and not found.failed:
        raise InvalidRequestError(nothing_found(options.paths, found.skipped))
    _check_bucket(s3, options.target)
    run = _Run(options, console, files=len(images), size_bytes=sum(map(_size, images)))
    with Interruption() as interruption:
        run.work(images, s3, interruption)
    failed = (*found.failed, *doubles, *run.omissions(FAILED))
    pending = len(images) - len(run.outcomes)
    exit_code = 1 if failed or run.problem else 0
    if pending and interruption.level:
        exit_code = interruption.exit_code
    return UploadSummary(
        target=options.target,
        dry_run=options.dry_run,
        in_place=tuple(
            sorted(
                (outcome for outcome in run.outcomes if outcome.state in IN_PLACE),
                key=lambda outcome: outcome.name,
            )
        ),
        skipped=_by_key((*found.skipped, *run.omissions(SKIPPED))),
        failed=_by_key(failed),
        pending=pending,
        problem=run.problem,
        elapsed_s=run.elapsed_s,
        exit_code=exit_code,
    )


class _Run:
    """The part of an upload that writes."""

    def __init__(
        self, options: UploadOptions, console: Console, *, files: int, size_bytes: int
    ) -> None:
        self._options = options
        self._display = UploadProgress(
            console, files=files, size_bytes=size_bytes, quiet=options.quiet
        )
        self._in_a_row = 0
        self.outcomes: list[Outcome] = []
        self.problem: str | None = None
        self.elapsed_s = 0.0

    def work(self, images: Sequence[Image], s3: Any, interruption: Interruption) -> None:
        """Upload until there is none left, somebody stops it, or nothing gets through."""
        options, display = self._options, self._display
        uploader = Uploader(
            s3, options.target, replace_others=options.replace, dry_run=options.dry_run
        )
        told = False
        with display:
            for outcome in work_in_threads(
                uploader.upload,
                images,
                threads=min(options.jobs, max(1, len(images))),
                stop_level=lambda: max(interruption.level, FINISH if self.problem else 0),
            ):
                if outcome is None:
                    display.tick()
                elif isinstance(outcome, Outcome):
                    self._settle(outcome)
                else:
                    self._break_off(outcome)
                if interruption.level >= FINISH and not told:
                    told = True
                    display.say("Finishing the images in hand; Ctrl-C again to stop at once")
        self.elapsed_s = display.elapsed_s

    def omissions(self, state: str) -> list[Omission]:
        """Files that ended in this state."""
        return [
            Omission(outcome.name, outcome.reason)
            for outcome in self.outcomes
            if outcome.state == state
        ]

    def _settle(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._display.count(outcome)
        self._in_a_row = self._in_a_row + 1 if outcome.outside else 0
        if self._in_a_row >= MOST_IN_A_ROW and self.problem is None:
            self.problem = f"{MOST_IN_A_ROW} images in a row failed ({outcome.reason})"

    def _break_off(self, error: Exception) -> None:
        """What fails for one file in this way fails for all."""
        if not isinstance(error, CxrError):
            raise error
        self.problem = self.problem or str(error)


def _apart(images: Sequence[Image]) -> tuple[list[Image], list[Omission]]:
    """Images with a name of their own, and those that would overwrite each other."""
    by_key: defaultdict[str, list[Image]] = defaultdict(list)
    for image in images:
        by_key[image.key].append(image)
    reason = "several files would have this key; name their folder instead, or upload them apart"
    return (
        [same[0] for same in by_key.values() if len(same) == 1],
        [Omission(key, reason) for key, same in by_key.items() if len(same) > 1],
    )


def _check_bucket(s3: Any, target: Target) -> None:
    """Fail at once, before a thousand files do."""
    with translated(f"looking for the bucket {target.bucket}"):
        try:
            s3.head_bucket(Bucket=target.bucket)
        except Exception as error:
            code = error_code(error)
            if code in ("404", "NoSuchBucket", "NotFound"):
                raise InvalidRequestError(
                    f"there is no bucket {shown(target.bucket)}; check its name"
                ) from error
            # whoever may only put objects may not ask for the bucket
            if code not in ("403", "AccessDenied", "Forbidden"):
                raise


def _by_key(omissions: Sequence[Omission]) -> tuple[Omission, ...]:
    return tuple(sorted(omissions, key=lambda omission: omission.key))


def _size(image: Image) -> int:
    try:
        return image.path.stat().st_size
    except OSError:  # its upload says why
        return 0
