"""Handlers that misbehave, mounted into a function's image in the place of its own."""

import importlib
import os
import socket
import time
from pathlib import Path
from typing import Any


def hang(event: dict[str, Any], context: Any) -> None:
    """Never answers."""
    time.sleep(3600)


def devour(event: dict[str, Any], context: Any) -> None:
    """Takes memory until there is none."""
    held = []
    while True:
        held.append(b"x" * (16 << 20))


def leave(event: dict[str, Any], context: Any) -> None:
    """Ends the process."""
    os._exit(3)


def write_beside_the_code(event: dict[str, Any], context: Any) -> None:
    """The file system is read-only."""
    Path("/var/task/left-behind").write_text("x")


def call_home(event: dict[str, Any], context: Any) -> list[str]:
    """Tries an address and a name, and tells how that went."""
    errors = []
    for host in (event["address"], event["name"]):
        try:
            socket.create_connection((host, 443), timeout=5)
        except OSError as error:
            errors.append(str(error))
    return errors


def origins(event: dict[str, Any], context: Any) -> list[str | None]:
    """Files that modules are imported from."""
    return [importlib.import_module(name).__file__ for name in event["modules"]]


def environment(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What it is like in there."""
    tmp = os.statvfs("/tmp")
    return {
        "user": os.getuid(),
        "capabilities": _status("CapEff"),
        "no_new_privileges": _status("NoNewPrivs"),
        "tmp_mb": tmp.f_blocks * tmp.f_frsize >> 20,
        "shared_memory": Path("/dev/shm").exists(),
        "variables": dict(os.environ),
        "memory_limit_in_mb": context.memory_limit_in_mb,
        "remaining_ms": context.get_remaining_time_in_millis(),
    }


def _status(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
