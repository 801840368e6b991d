"""Trouble for the embedded cloud, from a seed: what queues and machines do on their worst days.

SQS may deliver a message twice, late, and after those that were sent after it; machines end in the
middle of their work. Here they do so often.
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.event_source import QueueClient
from infra.function_host import FunctionHost

MAX_DELAY_S: Final = 5


@dataclass(slots=True)
class ChaosCounts:
    """What was done.

    Attributes:
        copies: Messages that were delivered once more.
        delays: Messages that were held back while others went ahead.
        kills: Processes that were ended.
    """

    copies: int = 0
    delays: int = 0
    kills: int = 0


class TroubledQueue:
    """A queue client that sometimes gives a message twice, later, or in another order.

    A held-back message is sent again with a delay before the original is deleted: so it is never
    lost, and starts with all its receives, as a message does that was slow on its way.

    Args:
        client: Of SQS.
        chances: Decides.
        counts: Where what was done is counted.
        copied: Share of messages that come twice.
        delayed: Share of messages that are held back.
    """

    def __init__(
        self,
        client: Any,
        *,
        chances: random.Random,
        counts: ChaosCounts,
        copied: float,
        delayed: float,
    ) -> None:
        self._client = client
        self._chances = chances
        self._counts = counts
        self._copied = copied
        self._delayed = delayed
        self._lock = threading.Lock()

    def receive_message(self, **arguments: Any) -> Mapping[str, Any]:
        """ReceiveMessage; what is held back is left out."""
        answer = self._client.receive_message(**arguments)
        url = arguments["QueueUrl"]
        messages = [
            message for message in answer.get("Messages", ()) if self._goes_ahead(url, message)
        ]
        self._chances.shuffle(messages)
        return {"Messages": messages}

    def delete_message_batch(self, **arguments: Any) -> Mapping[str, Any]:
        """DeleteMessageBatch, as it is."""
        return dict(self._client.delete_message_batch(**arguments))

    def _goes_ahead(self, url: str, message: Mapping[str, Any]) -> bool:
        with self._lock:
            chance, delay_s = self._chances.random(), self._chances.randint(1, MAX_DELAY_S)
            if chance < self._copied:
                self._counts.copies += 1
            elif chance < self._copied + self._delayed:
                self._counts.delays += 1
            else:
                return True
        self._client.send_message(QueueUrl=url, MessageBody=message["Body"], DelaySeconds=delay_s)
        if chance < self._copied:
            return True
        self._client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return False


def troubled(
    seed: int, counts: ChaosCounts, *, copied: float, delayed: float
) -> Callable[[Any], QueueClient]:
    """Makes a `TroubledQueue` of each client, each with chances of its own.

    Args:
        seed: Of the chances.
        counts: Where what was done is counted.
        copied: Share of messages that come twice.
        delayed: Share of messages that are held back.
    """
    seeds = random.Random(seed)

    def wrap(client: Any) -> TroubledQueue:
        return TroubledQueue(
            client,
            chances=random.Random(seeds.random()),
            counts=counts,
            copied=copied,
            delayed=delayed,
        )

    return wrap


class Killer:
    """Ends processes at random moments, whatever they do; a context manager.

    Args:
        hosts: Whose processes.
        per_minute: Kills, on average.
        seed: Of the moments and victims.
        counts: Where what was done is counted.
    """

    def __init__(
        self, hosts: Sequence[FunctionHost], *, per_minute: float, seed: int, counts: ChaosCounts
    ) -> None:
        self._hosts = hosts
        self._mean_s = 60 / per_minute
        self._chances = random.Random(seed)
        self._counts = counts
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="killer")

    def __enter__(self) -> "Killer":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._chances.expovariate(1 / self._mean_s)):
            self._counts.kills += self._chances.choice(self._hosts).kill()
