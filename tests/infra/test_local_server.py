"""moto's server as the embedded cloud runs it: safe for threads, apart from every other cloud."""

import contextlib
import json
import resource
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.local_server import LocalServer
from lambdas.shared.errors import ConfigError
from tests.infra.waiting import wait_for


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


def test_messages_sent_while_others_are_deleted_are_not_lost(server: LocalServer) -> None:
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    senders, each = 4, 40
    seen: list[str] = []

    def send(sender: int) -> None:
        for number in range(each):
            sqs.send_message(QueueUrl=url, MessageBody=f"{sender} {number}")

    def drain() -> None:
        deadline = time.monotonic() + 60
        while len(seen) < senders * each and time.monotonic() < deadline:
            for message in receive(sqs, url, WaitTimeSeconds=1):
                seen.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    with ThreadPoolExecutor(8) as pool:
        drains = [pool.submit(drain) for _ in range(4)]
        for sent in [pool.submit(send, sender) for sender in range(senders)]:
            sent.result()
        for drained in drains:
            drained.result()
    assert sorted(seen) == sorted(f"{s} {n}" for s in range(senders) for n in range(each))
    assert receive(sqs, url) == []


def test_of_two_writers_that_want_to_be_first_one_is(server: LocalServer) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="bucket")
    rounds, writers = 10, 4
    together = threading.Barrier(writers)

    def write(writer: int) -> int:
        first = 0
        for number in range(rounds):
            together.wait(10)
            with contextlib.suppress(s3.exceptions.ClientError):
                s3.put_object(Bucket="bucket", Key=f"{number}", Body=b"x", IfNoneMatch="*")
                first += 1
        return first

    with ThreadPoolExecutor(writers) as pool:
        assert sum(pool.map(write, range(writers))) == rounds


def test_waiting_for_a_message_holds_up_nobody_and_ends_when_one_comes(
    server: LocalServer,
) -> None:
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    with ThreadPoolExecutor() as pool:
        begun = time.monotonic()
        waiting = [pool.submit(receive, sqs, url, WaitTimeSeconds=20) for _ in range(3)]
        for _ in range(5):
            sqs.list_queues()
        assert not any(future.done() for future in waiting)
        for body in "abc":
            sqs.send_message(QueueUrl=url, MessageBody=body)
        found = [message["Body"] for future in waiting for message in future.result(timeout=15)]
    assert sorted(found) == ["a", "b", "c"]
    assert time.monotonic() - begun < 15


def test_object_is_there_for_a_browser(server: LocalServer) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="a/report.pdf", Body=b"%PDF", ContentType="application/pdf")
    with urllib.request.urlopen(f"{server.endpoint}/bucket/a/report.pdf") as answer:
        assert answer.read() == b"%PDF"
        assert answer.headers["Content-Type"] == "application/pdf"
        assert "Access-Control-Allow-Origin" not in answer.headers
    with pytest.raises(urllib.error.HTTPError, match="404") as missing:
        urllib.request.urlopen(f"{server.endpoint}/bucket/b")
    missing.value.close()


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:80", ""])
def test_page_that_gives_this_machine_a_name_of_its_own_reads_nothing(
    server: LocalServer, host: str
) -> None:
    server.client("s3").create_bucket(Bucket="bucket")
    request = urllib.request.Request(f"{server.endpoint}/bucket", headers={"Host": host})
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(request)
    refused.value.close()


def test_large_object_in_many_parts_arrives_whole(server: LocalServer) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="bucket")
    parts = [bytes([number]) * 5 * 1024**2 for number in (1, 2)]
    upload = s3.create_multipart_upload(Bucket="bucket", Key="film")["UploadId"]
    named = {"Bucket": "bucket", "Key": "film", "UploadId": upload}
    tags = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**named, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": tags})
    assert s3.get_object(Bucket="bucket", Key="film")["Body"].read() == b"".join(parts)


def test_client_knows_no_other_cloud(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "a-hospital")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://192.0.2.1")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    client = server.client("s3")
    assert client.meta.endpoint_url == server.endpoint
    assert client.list_buckets()["Buckets"] == []


def test_port_that_is_taken_is_an_error_that_says_what_to_do(server: LocalServer) -> None:
    port = int(server.endpoint.rpartition(":")[2])
    with pytest.raises(ConfigError, match=rf"port {port} cannot be used .*--port"):
        LocalServer(port)


def test_nothing_is_left_for_the_next_one() -> None:
    with LocalServer() as first:
        first.client("sqs").create_queue(QueueName="queue")
        first.client("s3").create_bucket(Bucket="bucket")
    with LocalServer() as second:
        assert "QueueUrls" not in second.client("sqs").list_queues()
        assert second.client("s3").list_buckets()["Buckets"] == []
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(second.endpoint)


def test_process_is_left_as_it_was() -> None:
    from moto.sqs.models import Queue, SQSBackend

    def now() -> tuple[Any, ...]:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        return limit, Queue.wait_for_messages, SQSBackend.is_message_valid_based_on_retention_period

    before, threads = now(), threading.active_count()
    with LocalServer() as server:
        server.client("sqs").list_queues()
        assert now()[1:] != before[1:]
    assert now() == before
    wait_for(lambda: threading.active_count() <= threads)


def test_object_of_a_rule_reaches_its_queue_with_its_key_as_it_is(server: LocalServer) -> None:
    """moto swallows every error between bucket and queue, so this path is worth a look."""
    s3, sqs, events = (server.client(name) for name in ("s3", "sqs", "events"))
    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_notification_configuration(
        Bucket="bucket", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    events.put_rule(Name="rule", EventPattern=json.dumps({"source": ["aws.s3"]}))
    events.put_targets(Rule="rule", Targets=[{"Id": "1", "Arn": arn["QueueArn"]}])
    key = "images/Müller + Söhne/50% a&b.dcm"
    s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    (message,) = receive(sqs, url, WaitTimeSeconds=5)
    assert json.loads(message["Body"])["detail"]["object"]["key"] == key


def receive(sqs: Any, url: str, **options: Any) -> list[dict[str, Any]]:
    return list(sqs.receive_message(QueueUrl=url, **options).get("Messages", ()))
