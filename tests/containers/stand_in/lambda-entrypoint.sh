#!/bin/sh
# As in the AWS base image: the one argument is the handler.
export _HANDLER="$1"
exec python3 /var/runtime/bootstrap.py
