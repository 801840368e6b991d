from pathlib import Path

import pytest

from cxr import machine


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable: 67108864 kB\n")  # 64 GiB
    return tmp_path


def test_one_worker_for_each_processor(cgroup: Path) -> None:
    assert machine.worker_count(100) == 8


def test_no_more_workers_than_images_and_at_least_one(cgroup: Path) -> None:
    assert machine.worker_count(3) == 3
    assert machine.worker_count(0) == 1


@pytest.mark.parametrize(
    ("quota", "workers"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("400000 100000", 4)],
)
def test_a_containers_quota_counts(cgroup: Path, quota: str, workers: int) -> None:
    (cgroup / "cpu.max").write_text(quota)
    assert machine.worker_count(100) == workers


def test_memory_limits_the_workers(cgroup: Path) -> None:
    (cgroup / "meminfo").write_text(f"MemAvailable: {3_000_000} kB\n")
    assert machine.worker_count(100) == 3
    (cgroup / "memory.max").write_text(f"{2 * 1024**3}\n")
    (cgroup / "memory.current").write_text(f"{1024**3}\n")
    assert machine.worker_count(100) == 1


def test_a_system_that_says_nothing_is_trusted(cgroup: Path) -> None:
    (cgroup / "meminfo").unlink()
    assert machine.available_memory_bytes() is None
    assert machine.worker_count(100) == 8
