"""What the functions need of AWS, played by moto on the loopback interface.

The pipeline's own queues, buckets, messages and variables, from `infra.pipeline`; batches are taken
and deleted by `infra.event_source`, as Lambda's poller does.
"""

import json
import logging
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import boto3
from moto.server import ThreadedMotoServer

from infra.event_source import Delivery, EventSource
from infra.pipeline import (
    STAGES,
    Resources,
    StageSpec,
    first_stage,
    stage_environment,
    stage_spec,
)
from lambdas.batch.job import BatchRequest
from lambdas.shared.bundle import load_pair
from lambdas.shared.flow import Stage
from lambdas.shared.messages import ImageRef
from tests.containers.function import REGION, FunctionContainer
from tests.containers.images import DEMO_MODELS

INTAKE: Final = "intake"
RESULTS: Final = "results"


@dataclass(frozen=True)
class Cloud:
    """Clients and names.

    Attributes:
        endpoint: Of every service.
        resources: Names, as a deployed stack has them.
        s3: Client.
        sqs: Client.
    """

    endpoint: str
    resources: Resources
    s3: Any
    sqs: Any

    def environment(self, stage: StageSpec, **options: Any) -> dict[str, str]:
        """Variables of a stage's function."""
        return self.reached() | stage_environment(stage, self.resources, **options)

    def reached(self) -> dict[str, str]:
        """Variables that lead any function to this cloud and to no other."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}

    def upload(self, key: str, data: bytes) -> None:
        """Put an image into the intake bucket, and tell the first queue, as the rule does."""
        etag = self.s3.put_object(Bucket=INTAKE, Key=key, Body=data)["ETag"].strip('"')
        event = {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {
                "bucket": {"name": INTAKE},
                "object": {"key": key, "size": len(data), "etag": etag},
            },
        }
        url = self.resources.queue_urls[first_stage().name]
        self.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event))

    def deliver(
        self, stage: Stage, function: FunctionContainer, *, batch_size: int | None = None
    ) -> Delivery:
        """Take a batch from a stage's queue through its function; None for the stage's own size."""
        url = self.resources.queue_urls[stage]
        source = EventSource(
            self.sqs,
            queue_url=url,
            queue_arn=self._arn(url),
            batch_size=batch_size or stage_spec(stage).batch_size,
        )
        delivery = source.poll(function.api.invoke, wait_s=1)
        assert delivery is not None, f"the {stage} queue is empty"
        return delivery

    def waiting(self, stage: Stage) -> int:
        """Messages in a queue that may be received now."""
        names = ["ApproximateNumberOfMessages"]
        url = self.resources.queue_urls[stage]
        asked = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return int(asked["Attributes"][names[0]])

    def results(self) -> dict[str, bytes]:
        """Every object of the results bucket, by key."""
        listed = self.s3.list_objects_v2(Bucket=RESULTS).get("Contents", [])
        return {
            entry["Key"]: self.s3.get_object(Bucket=RESULTS, Key=entry["Key"])["Body"].read()
            for entry in listed
        }

    def _arn(self, url: str) -> str:
        asked = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(asked["Attributes"]["QueueArn"])


def batch_event(keys: Sequence[str]) -> dict[str, Any]:
    """What a child of the archive's map run is given: images of the intake bucket."""
    images = tuple(ImageRef(INTAKE, key, version_id=None, etag=None) for key in keys)
    pair = load_pair(DEMO_MODELS, graphs=())
    request = BatchRequest("night", RESULTS, 1, 0, images, pair.model_set, detect_all=True)
    return {"request": asdict(request)}


@contextmanager
def loopback_cloud() -> Iterator[Cloud]:
    """A cloud with the pipeline's buckets and queues, for as long as the block runs."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        _forget_everything(endpoint)
        s3, sqs = (_client(service, endpoint) for service in ("s3", "sqs"))
        place = {"LocationConstraint": REGION}
        for bucket in (INTAKE, RESULTS):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
        urls: Mapping[Stage, str] = {
            stage.name: sqs.create_queue(
                QueueName=stage.name,
                Attributes={"VisibilityTimeout": str(stage.visibility_seconds)},
            )["QueueUrl"]
            for stage in STAGES
        }
        yield Cloud(endpoint, Resources(INTAKE, RESULTS, urls), s3, sqs)
        _forget_everything(endpoint)
    finally:
        server.stop()


def _forget_everything(endpoint: str) -> None:
    """moto keeps what there is for the whole process, and other tests use it, too."""
    request = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")
    with urllib.request.urlopen(request):
        pass


def _client(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
