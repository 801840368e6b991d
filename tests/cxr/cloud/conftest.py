"""The services of the embedded cloud, deployed and empty; nothing runs in them."""

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from moto.moto_api._internal.models import moto_api_backend

import infra.local_server
from cxr import dead_letters
from cxr.aws import Cloud
from cxr.cli import main
from cxr.deployment import Deployment
from infra.local_server import LocalServer, make_client
from infra.local_template import STACK_NAME, finish_bucket, local_template
from lambdas.shared.messages import ImageMessage, ImageRef

MODEL_SET = "a" * 16

Answer = tuple[int, str, str]
"""Exit code, standard output, standard error."""


@dataclass(frozen=True)
class Place:
    """A deployed pipeline whose functions do nothing."""

    endpoint: str
    client: Callable[..., Any]
    deployment: Deployment
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> Answer:
        """A command of `cxr` that is pointed here, as a person would see it."""
        self.capsys.readouterr()
        code = main([*arguments, "--endpoint-url", self.endpoint])
        return code, *self.capsys.readouterr()

    def json(self, *arguments: str) -> dict[str, Any]:
        """What a command prints for a program."""
        return dict(json.loads(self.run(*arguments, "--json")[1]))

    def dead_letters(self, whose: str) -> str:
        return next(q.url for q in self.deployment.dead_letter_queues if q.whose == whose)

    def queue(self, stage: str) -> str:
        return next(s.queue_url for s in self.deployment.stages if s.name == stage)

    def upload(self, key: str, data: bytes = b"x") -> ImageRef:
        bucket = self.deployment.intake_bucket
        answer = self.client("s3").put_object(Bucket=bucket, Key=key, Body=data)
        self.drain("classify")  # the event; no test here is about the rule
        return ImageRef(bucket, key, answer["VersionId"], answer["ETag"].strip('"'), len(data))

    def give_up(self, whose: str, image: ImageRef, **attributes: Any) -> str:
        """Put an image's message into a dead letter queue; returns its body."""
        body = ImageMessage(image).to_body()
        self.client("sqs").send_message(
            QueueUrl=self.dead_letters(whose),
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )
        return body

    def log(self, stage: str, *lines: str | Mapping[str, Any]) -> None:
        """Write to a function's log."""
        group = next(p.log_group for p in self.deployment.log_places if p.name == stage)
        logs = self.client("logs")
        stream = f"stream-{time.monotonic_ns()}"
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        now = int(datetime.now(UTC).timestamp() * 1000)
        logs.put_log_events(
            logGroupName=group,
            logStreamName=stream,
            logEvents=[
                {
                    "timestamp": now + number,
                    "message": line if isinstance(line, str) else json.dumps(line),
                }
                for number, line in enumerate(lines)
            ],
        )

    def count(self, url: str) -> int:
        """Messages of a queue, hidden ones included."""
        found = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(found["Attributes"][name]) for name in names)

    def drain(self, stage: str) -> list[dict[str, Any]]:
        """Take all messages out of a stage's queue."""
        sqs, url = self.client("sqs"), self.queue(stage)
        taken: list[dict[str, Any]] = []
        while found := sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            taken += found
            for message in found:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return taken


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, region, profile or endpoint but those that a test gives."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="package")
def server() -> Iterator[LocalServer]:
    """One for all tests here; `place` empties it."""
    with LocalServer() as running:
        yield running


@pytest.fixture(scope="package")
def clients(server: LocalServer) -> Callable[..., Any]:
    """Makes a client of a service, once: each takes longer than a whole test."""
    return functools.cache(functools.partial(make_client, endpoint=server.endpoint))


@pytest.fixture
def place(
    no_aws: None,
    server: LocalServer,
    clients: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(infra.local_server, "make_client", lambda service, _: clients(service))
    monkeypatch.setattr(dead_letters, "WAIT_S", 0)  # moto has one server, which knows all messages
    moto_api_backend.reset()
    template = local_template(model_set=MODEL_SET)
    cloudformation = clients("cloudformation")
    cloudformation.create_stack(StackName=STACK_NAME, TemplateBody=json.dumps(template))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::S3::Bucket":
            properties = resource["Properties"]
            finish_bucket(clients("s3"), properties["BucketName"], properties)
    (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in stack["Outputs"]}
    deployment = Deployment(Cloud(server.endpoint), STACK_NAME, outputs)
    return Place(server.endpoint, clients, deployment, capsys)


@pytest.fixture
def write(tmp_path: Any) -> Callable[[Mapping[str, bytes]], Any]:
    """Write files below a folder; returns it."""

    def write_files(files: Mapping[str, bytes]) -> Any:
        for name, content in files.items():
            path = tmp_path / "scans" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "scans"

    return write_files
