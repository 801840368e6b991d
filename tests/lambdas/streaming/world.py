"""S3, the queues and the bus in memory, where every call may kill the function that makes it.

The stages are the real ones. A message is deleted only after its stage has returned; one whose
function was killed comes again.
"""

import functools
import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lambdas.batch.analyse import Models
from lambdas.classify.stage import classify_image
from lambdas.detect.stage import detect_image
from lambdas.report.stage import ReportStage
from lambdas.shared.config import StageSettings
from lambdas.shared.flow import Stage
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import Record, result_key
from lambdas.shared.streaming import Streaming

STAGES: tuple[Stage, ...] = ("classify", "detect", "report")
MAX_RECEIVES = 5


class Killed(BaseException):
    """The function is gone, as by SIGKILL: nothing after this line of it happens."""


@dataclass
class Cloud:
    """What the stages talk to.

    Attributes:
        objects: Bytes by bucket, key and version.
        results: Bytes by key.
        queues: Bodies by stage, each with how often it was received.
        dead: Bodies that were received too often, by stage.
        told: Details of events, in order.
        calls: Names of all calls so far, in order.
        kill: Called before and after each call with its number and name; may raise `Killed`.
    """

    objects: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    results: dict[str, bytes] = field(default_factory=dict)
    first_writes: Counter[str] = field(default_factory=Counter)
    queues: dict[str, deque[tuple[str, int]]] = field(
        default_factory=lambda: {stage: deque() for stage in STAGES}
    )
    dead: dict[str, list[str]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    told: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    kill: Callable[[int, str], None] = lambda number, name: None
    faults: dict[str, list[Exception]] = field(default_factory=dict)

    def call(self, name: str, work: Callable[[], Any]) -> Any:
        """One call, before and after which the function may be killed."""
        number = len(self.calls)
        self.calls.append(name)
        self.kill(2 * number, f"before {name}")
        if faults := self.faults.get(name):
            raise faults.pop(0)
        answer = work()
        self.kill(2 * number + 1, f"after {name}")
        return answer

    # storage
    def fetch(self, image: ImageRef) -> bytes | None:
        key = (image.bucket, image.key, image.version or "")
        return self.call("fetch", lambda: self.objects.get(key))

    def record(self, model_set: str, image_id: str) -> Record | None:
        data = self.results.get(result_key(model_set, image_id, "record.json"))
        return self.call("record", lambda: json.loads(data) if data else None)

    def put(self, key: str, data: bytes) -> None:
        self.call(f"put {key.rpartition('/')[2]}", lambda: self.results.update({key: data}))

    def put_first(self, key: str, data: bytes) -> bool:
        def write() -> bool:
            if key in self.results:
                return False
            folder = key.rpartition("/")[0]
            there = {
                name.removeprefix(f"{folder}/") for name in self.results if name.startswith(folder)
            }
            assert set(json.loads(data)["outputs"].values()) <= there, "the record comes last"
            self.results[key] = data
            self.first_writes[key] += 1
            return True

        return bool(self.call("put_first record.json", write))

    def uri(self, key: str) -> str:
        return f"s3://results/{key}"

    # queues
    def send(self, url: str, body: str, *, delay_seconds: int = 0) -> None:
        self.call(f"send {url}", lambda: self.queues[url].append((body, 0)))

    # bus
    def put_event(self, detail_type: str, detail: dict[str, Any]) -> None:
        self.call("event", lambda: self.told.append(detail))

    # telemetry
    def count(self, name: str, value: float = 1) -> None:
        self.counted[name] += 1

    def about(self, image_id: str | None) -> None:
        pass

    def note(self, sentence: str, **details: str | int | float) -> None:
        self.said.append(sentence)


@dataclass(frozen=True)
class Bus:
    """The event bus of a cloud."""

    cloud: Cloud

    def put(self, detail_type: str, detail: dict[str, Any]) -> None:
        self.cloud.put_event(detail_type, detail)


class Pipeline:
    """The three stages over a cloud."""

    def __init__(
        self, cloud: Cloud, models: Models, reader: IsolatedReader, *, detect_all: bool = False
    ) -> None:
        self.cloud, self.reader = cloud, reader
        settings = StageSettings(
            stage="classify",
            models=Path(),
            results_bucket="results",
            queue_urls={stage: stage for stage in STAGES},
            event_bus="default",
            image_seconds=75,
            detect_all=detect_all,
        )
        of = {
            stage: Streaming(replace(settings, stage=stage), models.pair, cloud, cloud, cloud)
            for stage in STAGES
        }
        works = {
            "classify": functools.partial(
                classify_image, model=models.classifier, reader=reader, telemetry=cloud
            ),
            "detect": functools.partial(detect_image, model=models.detector, reader=reader),
        }
        self.streaming = of
        self._take: dict[str, Callable[[str, Callable[[], int]], None]] = {
            name: functools.partial(of[name].work_and_send, work=work)  # type: ignore[index]
            for name, work in works.items()
        } | {"report": ReportStage(of["report"], reader, Bus(cloud)).take}

    def deliver(self, stage: str, *, milliseconds: int = 300_000) -> bool:
        """Give a stage its next message; False if it was killed, or failed, or time ran out."""
        queue = self.cloud.queues[stage]
        body, received = queue.popleft()
        try:
            self._take[stage](body, lambda: milliseconds)
            self.cloud.call("delete", lambda: None)
        except (Exception, Killed) as error:
            if received + 1 >= MAX_RECEIVES:
                self.cloud.dead[stage].append(body)
            else:
                queue.append((body, received + 1))
            if not isinstance(error, Killed):
                self.cloud.said.append(f"{type(error).__name__}: {error}")
            return False
        return True

    def drain(self) -> None:
        """Deliver until every queue is empty."""
        for _ in range(500):
            waiting = [stage for stage in STAGES if self.cloud.queues[stage]]
            if not waiting:
                return
            self.deliver(waiting[0])
        raise AssertionError("messages go round and round")


def upload(cloud: Cloud, key: str, data: bytes, *, version: str | None = "v1") -> str:
    """Put an object and send its event; the event's body."""
    etag = hashlib.md5(data).hexdigest()
    cloud.objects["intake", key, version or etag] = data
    created: dict[str, Any] = {"key": key, "size": len(data), "etag": etag, "sequencer": "1"}
    if version:
        created["version-id"] = version
    body = json.dumps(
        {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": "intake"}, "object": created},
        }
    )
    cloud.queues["classify"].append((body, 0))
    return body


def results_of(cloud: Cloud) -> dict[str, Any]:
    """Every final record without what two runs may differ in, by key."""
    return {
        key: {**json.loads(data), "timings": None}
        for key, data in cloud.results.items()
        if key.endswith("record.json")
    }
