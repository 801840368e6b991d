#!/bin/sh
# As the AWS base image: the one argument is the handler; the runtime client finds it on sys.path.
export PYTHONPATH="${PYTHONPATH:+${PYTHONPATH}:}${LAMBDA_RUNTIME_DIR}"
exec python3 -m awslambdaric "$1"
