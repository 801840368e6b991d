"""Starts AWS's runtime client with the search path that it has in AWS's base image.

The task's folder goes first, then /opt (layers; only without PYTHONPATH), then this file's folder,
where the runtime keeps packages of its own, boto3 among them.
"""

import os
import sys

if "PYTHONPATH" not in os.environ:
    sys.path.insert(0, "/opt/python")
sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])

from awslambdaric.__main__ import main

main([os.environ["LAMBDA_TASK_ROOT"], os.environ["_HANDLER"]])
