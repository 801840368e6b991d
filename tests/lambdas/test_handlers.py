"""The real handlers, with the environment that the pipeline gives them, against moto."""

import importlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.pipeline import STAGES, Resources, stage_environment, stage_spec
from lambdas.shared import metric_names, telemetry
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.events import EVENT_SOURCE
from lambdas.shared.flow import Stage
from tests.builders import film, png

SECRET = "images/SMITH^JOHN_1950/IM 1+é.png"


class Context:
    """What Lambda hands to a handler."""

    aws_request_id = "request-1"
    function_name = "classify"
    memory_limit_in_mb = 3008
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:classify"

    def __init__(self, milliseconds: int = 300_000) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class Deployed:
    """Buckets, queues and a handler for each stage."""

    def __init__(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch, self._models = monkeypatch, models
        self._used: list[ModuleType] = []
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")
        for bucket in ("the-intake", "the-results"):
            self.s3.create_bucket(Bucket=bucket)
        self.urls = {
            stage.name: self.sqs.create_queue(QueueName=stage.name)["QueueUrl"] for stage in STAGES
        }
        self._told = self.sqs.create_queue(QueueName="told")["QueueUrl"]
        events, pattern = boto3.client("events"), {"source": [EVENT_SOURCE]}
        events.put_rule(Name="told", EventPattern=json.dumps(pattern))
        arn = "arn:aws:sqs:us-east-1:123456789012:told"
        events.put_targets(Rule="told", Targets=[{"Id": "told", "Arn": arn}])

    def handler(self, stage: Stage) -> ModuleType:
        resources = Resources("the-intake", "the-results", self.urls)
        environment = stage_environment(
            stage_spec(stage), resources, models=str(self._models), detect_all=True
        )
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        module = importlib.import_module(f"lambdas.{stage}.handler")
        module._stage.cache_clear()
        self._used.append(module)
        return module

    def close(self) -> None:
        """End the decoders' processes."""
        for module in self._used:
            if module._stage.cache_info().currsize:
                stage = module._stage()
                (stage[1].keywords["reader"] if isinstance(stage, tuple) else stage.reader).close()
                module._stage.cache_clear()

    def upload(self, key: str, data: bytes) -> str:
        etag = self.s3.put_object(Bucket="the-intake", Key=key, Body=data)["ETag"].strip('"')
        detail = {
            "bucket": {"name": "the-intake"},
            "object": {"key": key, "etag": etag, "size": len(data)},
        }
        return json.dumps({"detail-type": "Object Created", "detail": detail})

    def waiting(self, stage: Stage) -> list[str]:
        return self._bodies(self.urls[stage])

    def told(self) -> list[str]:
        """Events of ours."""
        return self._bodies(self._told)

    def _bodies(self, url: str) -> list[str]:
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]


@pytest.fixture
def deployed(tiny_models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        made = Deployed(tiny_models_folder, monkeypatch)
        yield made
        made.close()


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """What the functions print: log lines and metrics, as CloudWatch would get them."""
    stream = io.StringIO()
    telemetry.logger.handlers[0].setStream(stream)  # it holds the stdout of its import

    def lines() -> list[dict[str, Any]]:
        printed = capsys.readouterr()
        assert printed.err == ""
        return [json.loads(line) for line in (stream.getvalue() + printed.out).splitlines()]

    return lines


def sqs_event(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "receiptHandle": "r",
                "body": body,
                "attributes": {},
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:q",
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def failed(answer: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_image_goes_through_all_stages(
    deployed: Deployed, output: Callable[[], list[dict[str, Any]]]
) -> None:
    bodies = [deployed.upload(SECRET, png(film()))]
    for stage, following in (("classify", "detect"), ("detect", "report"), ("report", None)):
        answer = deployed.handler(stage).handler(sqs_event(*bodies), Context())  # type: ignore[arg-type]
        assert failed(answer) == []
        bodies = deployed.waiting(following) if following else []  # type: ignore[arg-type]
    keys = [entry["Key"] for entry in deployed.s3.list_objects_v2(Bucket="the-results")["Contents"]]
    assert {key.rpartition("/")[2] for key in keys} == {
        "record.json",
        "report.pdf",
        "thumbnail.jpg",
    }
    lines = output()
    assert "SMITH" not in json.dumps(lines) + "".join(keys)
    (told,) = map(json.loads, deployed.told())
    assert told["detail"]["record"] == f"s3://the-results/{keys[0].rpartition('/')[0]}/record.json"
    assert "SMITH" not in json.dumps(told)
    emitted = {
        metric["Name"]
        for line in lines
        for metrics in line.get("_aws", {}).get("CloudWatchMetrics", [])
        for metric in metrics["Metrics"]
    }
    assert emitted == {
        metric_names.PROBABILITY,
        metric_names.ABNORMAL,
        metric_names.IMAGE_MILLISECONDS,
        metric_names.IMAGES_ANALYSED,
    }
    image_id = keys[0].split("/")[2]
    for ending in (" begun", " done"):
        told = [line for line in lines if line.get("message", "").endswith(ending)]
        assert [line["image_id"] for line in told] == [image_id] * 3


def test_one_bad_message_fails_alone(
    deployed: Deployed, output: Callable[[], list[dict[str, Any]]]
) -> None:
    good = deployed.upload("images/a.png", png(film()))
    answer = deployed.handler("classify").handler(
        sqs_event(good, '{"key": "SMITH"}', good), Context()
    )
    assert failed(answer) == ["message-1"]
    assert len(deployed.waiting("detect")) == 2
    assert "SMITH" not in json.dumps(output())


def test_message_without_time_goes_back_unread(deployed: Deployed) -> None:
    body = deployed.upload("images/a.png", png(film()))
    answer = deployed.handler("classify").handler(sqs_event(body, body), Context(10_000))
    assert failed(answer) == ["message-0", "message-1"]
    assert deployed.waiting("detect") == []


def test_text_of_foreign_errors_is_not_logged(
    output: Callable[[], list[dict[str, Any]]],
) -> None:
    def one(body: str, milliseconds_left: object) -> None:
        telemetry.about("0" * 32)
        raise KeyError(body)

    answer = telemetry.queue_handler(one)(sqs_event("SMITH^JOHN"), Context())
    assert failed(answer) == ["message-0"]
    (line,) = output()
    assert (line["error"], line["image_id"], line["level"]) == ("KeyError", "0" * 32, "ERROR")
    assert "SMITH" not in json.dumps(line)
    assert any("test_handlers.py" in place for place in line["trace"])


def test_what_aws_refused_is_logged_by_its_name_alone(
    deployed: Deployed, output: Callable[[], list[dict[str, Any]]]
) -> None:
    def one(body: str, milliseconds_left: object) -> None:
        deployed.s3.get_bucket_policy(Bucket="the-intake")

    assert failed(telemetry.queue_handler(one)(sqs_event("{}"), Context())) == ["message-0"]
    (line,) = output()
    assert (line["error"], line["aws_code"]) == ("ClientError", "NoSuchBucketPolicy")


def test_function_with_unknown_formats_does_not_start(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = deployed.handler("report")
    monkeypatch.setenv("CXR_FORMATS", "dicom-st")
    monkeypatch.setattr(module.IsolatedReader, "start", lambda reader: None)
    with pytest.raises(InvalidRequestError, match="'dicom-st'"):
        module._stage()


@pytest.mark.parametrize("stage", ["classify", "detect", "report"])
def test_importing_a_handler_does_nothing(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXR_STAGE", raising=False)
    monkeypatch.delitem(sys.modules, f"lambdas.{stage}.handler", raising=False)
    module = importlib.import_module(f"lambdas.{stage}.handler")
    assert module._stage.cache_info().currsize == 0
