"""Work with chest radiographs from a program: submit, wait, iterate.

    from cxr.client import connect

    batch = connect().submit("scans/")
    for result in batch.results(timeout_s=600):
        print(result.image_id, result.label, result.findings)

`connect()` finds the deployment of cdk.json's environment in AWS, `connect(local=True)` what
`cxr local` runs, `connect("results/")` a folder of results, for which images are analysed on this
machine. All three give the same answers in the same types; `cxr.fake_client.FakeClient` does so in
a consumer's own tests. mypy finds the types of an editable install by MYPYPATH=<checkout>.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol

from cxr.client_types import ImageResult, LocalisedFinding, Rejection
from lambdas.shared.errors import InvalidRequestError

__all__ = [
    "Client",
    "ImageResult",
    "LocalisedFinding",
    "Rejection",
    "StillPendingError",
    "Submission",
    "Submitted",
    "connect",
]

SCHEME: Final = "s3://"


class StillPendingError(TimeoutError):
    """Images had no result when the time was over; ask again for those in `pending`.

    Attributes:
        pending: What was submitted and has no result.
    """

    def __init__(self, message: str, pending: "tuple[Submitted, ...]") -> None:
        super().__init__(message)
        self.pending = pending


@dataclass(frozen=True, slots=True)
class Submitted:
    """One image that was handed in.

    Attributes:
        path: The file.
        image_id: Names it from here on, in records, events and logs; 32 hex.
    """

    path: Path
    image_id: str


class Submission(Protocol):
    """Images that were handed in together."""

    @property
    def images(self) -> tuple[Submitted, ...]:
        """All of them, sorted by path."""

    @property
    def pending(self) -> tuple[Submitted, ...]:
        """Those whose result has not been seen yet."""

    def results(self, *, timeout_s: float | None = None) -> Iterator[ImageResult]:
        """Each result as it comes; asked again, those that are left.

        Args:
            timeout_s: From the first asking; None to wait for ever.

        Raises:
            StillPendingError: The time is over, or nobody is at work on the rest.
        """

    def wait(self, *, timeout_s: float | None = None) -> tuple[ImageResult, ...]:
        """All results that have not been seen, in the order of `images`.

        Raises:
            StillPendingError: As `results`.
        """


class Client(Protocol):
    """What a program can ask."""

    def submit(self, *paths: str | Path) -> Submission:
        """Hand in files and folders (all levels); what is no image is left out.

        A file that is there already, with the same content, is not processed a second time: its
        result is the one that there is.

        Raises:
            InvalidRequestError: A path is not there, or there is no image.
            TransientError: Handing in failed; nothing is lost by doing it again.
        """

    def results(
        self,
        *,
        since: date | None = None,
        until: date | None = None,
        model_set: str | None = None,
    ) -> Iterator[ImageResult]:
        """Every result there is, in no order that means anything.

        Args:
            since: First day on which they were made, UTC.
            until: Last day.
            model_set: Of one pair of models alone; None for all.
        """

    def result(self, image_id: str, *, model_set: str | None = None) -> ImageResult | None:
        """The result of one image; None while there is none.

        Args:
            image_id: 32 hex.
            model_set: None for that of the models in use.
        """

    def result_of(self, event: Mapping[str, Any]) -> ImageResult:
        """The result that an event `Radiograph Processed` tells of.

        Args:
            event: As EventBridge gives it, or as SNS or SQS wrap it.

        Raises:
            InvalidRequestError: It is no such event.
        """


def connect(
    place: str | Path | None = None,
    *,
    local: bool = False,
    environment: str | None = None,
    stack: str | None = None,
    region: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
    models: Path | None = None,
) -> Client:
    """A client of a deployment, of the embedded cloud, of a bucket or of a folder.

    Args:
        place: None for a deployment; a folder of results, made if it is missing; or
            `s3://bucket`, for reading results without looking up a deployment.
        local: The embedded cloud that `cxr local` runs on this machine.
        environment: Of cdk.json; None for its default.
        stack: Name of the CloudFormation stack instead.
        region: None for that of the AWS configuration.
        profile: Of the AWS configuration.
        endpoint_url: Of another cloud; None for AWS, or AWS_ENDPOINT_URL.
        models: For a folder: bundles to analyse with; None for models/demo.

    Raises:
        InvalidRequestError: There is no such deployment, or arguments contradict each other.
        ConfigError: AWS cannot be asked; says what is missing.
    """
    if place is not None and not str(place).startswith(SCHEME):
        from cxr.folder_client import FolderClient

        if local or environment or stack or endpoint_url:
            raise InvalidRequestError("a folder belongs to no deployment; name one of them")
        return FolderClient(Path(place), models=models)
    from argparse import Namespace

    from cxr.aws import cloud_of
    from cxr.cloud_client import CloudClient, of_bucket, of_deployment

    options = Namespace(
        local=local,
        env=environment,
        stack=stack,
        region=region,
        profile=profile,
        endpoint_url=endpoint_url,
    )
    cloud = cloud_of(options)
    client: CloudClient = (
        of_deployment(options, cloud) if place is None else of_bucket(str(place), cloud)
    )
    return client


def collect(images: Iterable[Submitted], results: Iterable[ImageResult]) -> tuple[ImageResult, ...]:
    """Results in the order of the images; what `Submission.wait` returns."""
    by_id = {result.image_id: result for result in results}
    return tuple(by_id[image.image_id] for image in images if image.image_id in by_id)
