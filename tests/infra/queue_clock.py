"""The queues' clock under moto: a test moves it on instead of waiting for a visibility timeout."""

import moto.sqs.models
import pytest
from moto.core.utils import unix_time_millis


class QueueClock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        monkeypatch.setattr(moto.sqs.models, "unix_time_millis", self.now_ms)

    def now_ms(self) -> float:
        return float(unix_time_millis()) + self.ahead_s * 1000

    def advance(self, seconds: float) -> None:
        self.ahead_s += seconds
