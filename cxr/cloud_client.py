"""The client of a cloud, AWS or embedded: images into the intake bucket, results from the other."""

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date
from pathlib import Path
from typing import Any, Final

from cxr.aws import Cloud, error_code, translated
from cxr.client import SCHEME, StillPendingError, Submitted, collect
from cxr.client_types import ImageResult, parse_result
from cxr.deployment import find_deployment, stack_name
from cxr.discover import Image
from cxr.event_message import read_address
from cxr.keys import shown
from cxr.patience import Patience
from cxr.record_source import BucketSource, parse_bucket_place
from cxr.submitted_files import find_images
from cxr.upload_object import FAILED, SKIPPED, Outcome, Uploader
from cxr.upload_target import Target
from lambdas.lake.bucket import READERS
from lambdas.lake.layout import Scope
from lambdas.shared.errors import InvalidRequestError, StorageUnavailableError
from lambdas.shared.records import RECORD_FILE, RESULTS_PREFIX

UPLOADS: Final = 8
"""Files on their way at a time."""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 10.0
"""Between two rounds of asking for what is pending; each round takes one request for each."""

_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})


class CloudClient:
    """See `cxr.client.Client`.

    Args:
        s3: boto3's client, with room for `READERS` connections.
        results_bucket: Name.
        prefix: Of results in it, up to and with `results/`.
        model_set: Of the models in use; None if it is not known.
        intake: Bucket and prefix for images; None for reading alone.
        patience: Made of a time to wait; another one in tests.
    """

    def __init__(
        self,
        s3: Any,
        *,
        results_bucket: str,
        prefix: str = RESULTS_PREFIX,
        model_set: str | None = None,
        intake: tuple[str, str] | None = None,
        patience: Callable[[float | None], Patience] = Patience,
    ) -> None:
        self._s3 = s3
        self._bucket = results_bucket
        self._prefix = prefix
        self._model_set = model_set
        self._intake = intake
        self._patience = patience

    def submit(self, *paths: str | Path) -> "CloudSubmission":
        """Upload images; see `Client.submit`."""
        if self._intake is None or self._model_set is None:
            raise InvalidRequestError(
                "this client reads a bucket of results; connect() to the deployment to submit"
            )
        uploader = Uploader(self._s3, Target(*self._intake), replace_others=True)
        images = find_images(paths)
        with ThreadPoolExecutor(UPLOADS) as threads:
            outcomes = list(threads.map(uploader.upload, images))
        submitted = tuple(
            self._submitted(image, outcome)
            for image, outcome in zip(images, outcomes, strict=True)
            if outcome.state != SKIPPED
        )
        if not submitted:
            raise InvalidRequestError(f"no images in {', '.join(map(shown, paths))}")
        return CloudSubmission(self, submitted, patience=self._patience)

    def results(
        self,
        *,
        since: date | None = None,
        until: date | None = None,
        model_set: str | None = None,
    ) -> Iterator[ImageResult]:
        """Every result; see `Client.results`."""
        source = BucketSource(self._s3, self._bucket, self._prefix)
        for key, content in source.contents(Scope(model_set, since=since, until=until)):
            result = self._parsed(key, content)
            day = result.finished_at.astimezone(UTC).date()
            if (since is None or day >= since) and (until is None or day <= until):
                yield result

    def result(self, image_id: str, *, model_set: str | None = None) -> ImageResult | None:
        """One image's result; see `Client.result`."""
        chosen = model_set or self._model_set
        if chosen is None:
            raise InvalidRequestError("name the model_set: this client knows of no deployment")
        key = f"{self._prefix}{chosen}/{image_id}/{RECORD_FILE}"
        return self._fetched(self._bucket, key)

    def result_of(self, event: Mapping[str, Any]) -> ImageResult:
        """An event's result; see `Client.result_of`."""
        address = read_address(event)
        key = f"{address.prefix}{address.model_set}/{address.image_id}/{RECORD_FILE}"
        found = self._fetched(address.bucket, key)
        if found is None:
            raise InvalidRequestError("the event tells of a record that is not there any more")
        return found

    def _submitted(self, image: Image, outcome: Outcome) -> Submitted:
        image_id = outcome.image_id(self._intake[0]) if self._intake else None
        if outcome.state == FAILED or image_id is None:
            kind = StorageUnavailableError if outcome.outside else InvalidRequestError
            raise kind(f"{shown(image.path)} was not uploaded: {outcome.reason}")
        return Submitted(image.path, image_id)

    def _fetched(self, bucket: str, key: str) -> ImageResult | None:
        try:
            content = self._get(bucket, key)
        except FileNotFoundError:
            return None
        return self._parsed(key, content, bucket=bucket)

    def _parsed(self, key: str, content: bytes, *, bucket: str | None = None) -> ImageResult:
        place = bucket or self._bucket
        folder = key.removesuffix(RECORD_FILE)
        return parse_result(
            content,
            address=f"{SCHEME}{place}/{key}",
            read=functools.partial(self._beside, place, folder),
        )

    def _beside(self, bucket: str, folder: str, name: str) -> bytes:
        try:
            return self._get(bucket, folder + name)
        except FileNotFoundError:
            raise InvalidRequestError(f"{name} is not in the bucket any more") from None

    def _get(self, bucket: str, key: str) -> bytes:
        """Content of an object; FileNotFoundError if there is none."""
        with translated("reading a result", needs="s3:GetObject and s3:ListBucket"):
            try:
                return bytes(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            except Exception as error:
                if error_code(error) not in _ABSENT:
                    raise
        raise FileNotFoundError


class CloudSubmission:
    """See `cxr.client.Submission`."""

    def __init__(
        self,
        client: CloudClient,
        images: tuple[Submitted, ...],
        *,
        patience: Callable[[float | None], Patience],
    ) -> None:
        self._client = client
        self._patience = patience
        self._pending = {image.image_id: image for image in images}
        self.images = images

    @property
    def pending(self) -> tuple[Submitted, ...]:
        """Without a result so far."""
        return tuple(self._pending.values())

    def results(self, *, timeout_s: float | None = None) -> Iterator[ImageResult]:
        """Ask for what is pending, round after round."""
        patience, pause_s = self._patience(timeout_s), FIRST_PAUSE_S
        with ThreadPoolExecutor(READERS) as threads:
            while self._pending:
                asked = list(self._pending)
                for image_id, found in zip(
                    asked, threads.map(self._client.result, asked), strict=True
                ):
                    if found is not None:
                        del self._pending[image_id]
                        yield found
                if self._pending and not patience.wait(pause_s):
                    raise StillPendingError(
                        f"{len(self._pending)} of {len(self.images)} images have no result after "
                        f"{timeout_s:g} s; `cxr status` says where they are. If models were "
                        "deployed meanwhile, connect again",
                        self.pending,
                    )
                pause_s = min(LONGEST_PAUSE_S, pause_s * 1.5)

    def wait(self, *, timeout_s: float | None = None) -> tuple[ImageResult, ...]:
        """All that were pending."""
        return collect(self.images, self.results(timeout_s=timeout_s))


def of_deployment(options: argparse.Namespace, cloud: Cloud) -> CloudClient:
    """The client of a deployment.

    Raises:
        InvalidRequestError: There is no such deployment.
    """
    found = find_deployment(cloud, stack_name(options, cloud))
    return CloudClient(
        cloud.client("s3", connections=READERS),
        results_bucket=found.results_bucket,
        model_set=found.model_set,
        intake=(found.intake_bucket, found.intake_prefix),
    )


def of_bucket(address: str, cloud: Cloud) -> CloudClient:
    """A client that reads a bucket of results.

    Raises:
        InvalidRequestError: The address names no bucket.
    """
    place = parse_bucket_place(address)
    return CloudClient(
        cloud.client("s3", connections=READERS),
        results_bucket=place.bucket,
        prefix=place.prefix,
        model_set=place.model_set,
    )
