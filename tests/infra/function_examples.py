"""Handlers that do to their process what functions do on bad days."""

import json
import logging
import multiprocessing
import os
import signal
import sys
import time
from typing import Any

STARTED = time.time()


def greet(event: dict[str, Any], context: Any) -> dict[str, Any]:
    sys.stdout.write(json.dumps({"level": "INFO", "message": f"hello {event['name']}"}) + "\n")
    logging.getLogger().warning("to standard error")
    return {"hello": event["name"], "process": os.getpid()}


def tell(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What the function sees of its surroundings."""
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109 - what the process itself says
        "path": sys.path,
        "request_id": context.aws_request_id,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "name": context.function_name,
        "log_group": context.log_group_name,
        "log_stream": context.log_stream_name,
    }


def misbehave(event: dict[str, Any], context: Any) -> Any:
    match event["do"]:
        case "raise":
            raise KeyError("no such thing")
        case "exit":
            sys.exit(3)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(600)
        case "leave a child":
            child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
            child.start()
            sys.stdout.write(f"child {child.pid}\n")
            time.sleep(600)
        case "answer what is no JSON":
            return object()
        case "answer too much":
            return "x" * 7_000_000
    return os.getpid()
