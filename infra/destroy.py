"""Delete a deployed stack: `make destroy`, or

    python -m infra.destroy [ENVIRONMENT] [--yes]

Buckets that the deployed template lets go of are emptied first, since CloudFormation deletes no
full bucket. What the template keeps (prod: buckets, key, logs) and what the stack never made
(buckets that were there before) is left untouched, whatever cdk.json says today.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from infra.config import load_settings
from lambdas.shared.errors import CxrError, InvalidRequestError, StorageUnavailableError

ATTEMPTS: Final = 3
"""Access logs keep coming for a while, and fill a bucket that has just been emptied."""

_BUCKET: Final = "AWS::S3::Bucket"
_KEPT_POLICIES: Final = frozenset({"Retain", "RetainExceptOnCreate"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What deleting a stack does.

    Attributes:
        stack: Its name.
        emptied: Buckets whose objects, in all versions, are deleted with it.
        kept: Type and name of each resource that outlives it.
    """

    stack: str
    emptied: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]


def plan(cloudformation: Any, stack: str) -> Plan:
    """Read from the deployed stack itself what would go and what would stay.

    Raises:
        InvalidRequestError: There is no such stack.
    """
    try:
        template = cloudformation.get_template(StackName=stack)["TemplateBody"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise InvalidRequestError(
            f"there is no stack {stack} in this account and region; "
            "AWS_PROFILE and AWS_REGION choose another"
        ) from error
    kept, emptied = [], []
    for name, kind, physical in _resources(cloudformation, stack):
        policy = template["Resources"].get(name, {}).get("DeletionPolicy", "Delete")
        if policy in _KEPT_POLICIES:
            kept.append((kind, physical))
        elif kind == _BUCKET:
            emptied.append(physical)
    return Plan(stack, tuple(emptied), tuple(kept))


def destroy(plan: Plan, *, cloudformation: Any, s3: Any, say: Callable[[str], None]) -> None:
    """Empty the buckets that go, then delete the stack and wait for it.

    Args:
        plan: As `plan` returned it.
        cloudformation: Client.
        s3: Client.
        say: Told what is going on.

    Raises:
        StorageUnavailableError: The stack still stands.
    """
    for attempt in range(1, ATTEMPTS + 1):
        for bucket in plan.emptied:
            count = empty(s3, bucket)
            say(f"{bucket}: {count:,} versions of objects deleted")
        say(f"Deleting {plan.stack}, attempt {attempt} of {ATTEMPTS}; a VPC can take half an hour")
        cloudformation.delete_stack(StackName=plan.stack)
        try:
            cloudformation.get_waiter("stack_delete_complete").wait(StackName=plan.stack)
        except WaiterError as error:
            say(f"Not deleted: {error}")
            continue
        say(f"Deleted {plan.stack}")
        return
    raise StorageUnavailableError(
        f"{plan.stack} still stands; its events in the CloudFormation console say why. "
        "Run the same command again once that is mended"
    )


def empty(s3: Any, bucket: str) -> int:
    """Delete every version of every object; how many there were, 0 where the bucket is gone."""
    count = 0
    try:
        while found := _first_versions(s3, bucket):
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
            if failed := answer.get("Errors"):
                raise StorageUnavailableError(
                    f"{bucket}: {len(failed)} objects cannot be deleted ({failed[0]['Code']})"
                )
            count += len(found)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Say what would be deleted, ask, delete; 0 once the stack is gone."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.destroy", description="Delete a deployed stack."
    )
    parser.add_argument("environment", nargs="?", help="of cdk.json; default: the one it names")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    chosen = parser.parse_args(arguments)
    try:
        settings = load_settings(chosen.environment)
        cloudformation, s3 = boto3.client("cloudformation"), boto3.client("s3")
        doomed = plan(cloudformation, settings.stack_name)
        _say(_announcement(doomed))
        if not chosen.yes and input(f"Type {settings.environment} to go on: ") != (
            settings.environment
        ):
            _say("Nothing was deleted.")
            return 1
        destroy(doomed, cloudformation=cloudformation, s3=s3, say=_say)
    except (CxrError, BotoCoreError, ClientError) as error:
        message = error.message if isinstance(error, InvalidRequestError) else str(error)
        sys.stderr.write(f"{message}\n")
        return 1
    return 0


def _first_versions(s3: Any, bucket: str) -> list[dict[str, str]]:
    """At most 1,000, which is as many as one request deletes."""
    page = s3.list_object_versions(Bucket=bucket, MaxKeys=1000)
    return [
        {"Key": version["Key"], "VersionId": version["VersionId"]}
        for kind in ("Versions", "DeleteMarkers")
        for version in page.get(kind, ())
    ]


def _resources(cloudformation: Any, stack: str) -> Iterator[tuple[str, str, str]]:
    """Logical id, type and name of what the stack has made."""
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        for resource in page["StackResourceSummaries"]:
            if resource.get("PhysicalResourceId"):
                yield (
                    resource["LogicalResourceId"],
                    resource["ResourceType"],
                    resource["PhysicalResourceId"],
                )


def _announcement(doomed: Plan) -> str:
    lines = [f"This deletes the stack {doomed.stack}, and messages still in its queues."]
    lines += [f"  with everything in  s3://{bucket}" for bucket in doomed.emptied]
    lines += [f"  but keeps           {kind} {name}" for kind, name in doomed.kept]
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
