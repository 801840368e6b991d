"""The intake and the results bucket: new ones of our making, or ones that are there already."""

import json
import shlex
from dataclasses import dataclass
from typing import Any, Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.acknowledge import acknowledge
from infra.config import Settings
from infra.setting_readers import ExistingBucket

UNFINISHED_UPLOAD_DAYS: Final = 7
"""Parts of an upload that nobody finishes cost storage and are seen nowhere."""


@dataclass(frozen=True, slots=True)
class DataBucket:
    """One of the two buckets.

    Attributes:
        bucket: New or existing.
        key_arn: Of the KMS key that its objects are encrypted with; None for S3's own keys.
    """

    bucket: s3.IBucket
    key_arn: str | None


class Storage(Construct):
    """Both buckets, and one for the access logs of those that are new.

    Attributes:
        intake: Where images are dropped.
        results: Where records and reports go.
        archives: Further buckets that archive jobs read.
        switch_on_command: What an existing intake bucket still needs; None for a new one.
    """

    def __init__(self, scope: Construct, name: str, *, settings: Settings, key: kms.IKey) -> None:
        super().__init__(scope, name)
        self._settings = settings
        self._key = key
        self._access_logs: s3.Bucket | None = None
        self.intake = self._new_or_existing("Intake", settings.intake_bucket)
        self.results = self._new_or_existing("Results", settings.results_bucket)
        self.archives = tuple(
            DataBucket(
                s3.Bucket.from_bucket_name(self, f"Archive{number}", each.name), each.key_arn
            )
            for number, each in enumerate(settings.archive_buckets)
        )
        self.switch_on_command: str | None = None
        if settings.intake_bucket is None:
            _send_events(self.intake.bucket)
        else:
            self.switch_on_command = switch_on_command(settings.intake_bucket.name)

    def _new_or_existing(self, name: str, existing: ExistingBucket | None) -> DataBucket:
        if existing is not None:
            imported = s3.Bucket.from_bucket_name(self, name, existing.name)
            return DataBucket(imported, existing.key_arn)
        if self._access_logs is None:
            self._access_logs = _access_log_bucket(self, self._settings)
        bucket = s3.Bucket(
            self,
            name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._key,
            bucket_key_enabled=True,
            versioned=True,
            server_access_logs_bucket=self._access_logs,
            server_access_logs_prefix=f"{name.lower()}/",
            lifecycle_rules=[_lifecycle(self._settings)],
            **_private(self._settings),
        )
        acknowledge(
            bucket,
            {
                "HIPAA.Security-S3BucketReplicationEnabled": (
                    "Versioning keeps what is overwritten or deleted; a copy in another region is "
                    "for whoever owns the images to decide, since it may not leave the country"
                )
            },
        )
        return DataBucket(bucket, self._key.key_arn)


def switch_on_command(bucket: str) -> str:
    """One shell command that makes an existing bucket send its events to EventBridge.

    S3 replaces the whole notification configuration, so what stands there is read and kept.
    """
    name = shlex.quote(bucket)
    merge = (
        "import json, sys; found = json.loads(sys.stdin.read() or '{}'); "
        "print(json.dumps({**found, 'EventBridgeConfiguration': {}}))"
    )
    return (
        f"aws s3api put-bucket-notification-configuration --bucket {name} "
        '--notification-configuration "$(aws s3api get-bucket-notification-configuration '
        f'--bucket {name} --output json | python3 -c {json.dumps(merge)})"'
    )


def _access_log_bucket(scope: Construct, settings: Settings) -> s3.Bucket:
    bucket = s3.Bucket(
        scope,
        "AccessLogs",
        encryption=s3.BucketEncryption.S3_MANAGED,
        versioned=True,
        lifecycle_rules=[_lifecycle(settings, expiration=Duration.days(settings.access_log_days))],
        **_private(settings),
    )
    acknowledge(
        bucket,
        {
            "HIPAA.Security-S3DefaultEncryptionKMS": (
                "S3 delivers access logs only to buckets with its own keys (SSE-S3)"
            ),
            "HIPAA.Security-S3BucketLoggingEnabled": (
                "This is where access logs go; logging its own accesses would never end"
            ),
            "HIPAA.Security-S3BucketReplicationEnabled": (
                "Access logs are kept for a limited time and can be had again from nowhere else; "
                "no image or result lies here"
            ),
        },
    )
    return bucket


def _private(settings: Settings) -> dict[str, Any]:
    """What every bucket has."""
    return {
        "enforce_ssl": True,
        "minimum_tls_version": 1.2,
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        "removal_policy": RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY,
    }


def _lifecycle(settings: Settings, expiration: Duration | None = None) -> s3.LifecycleRule:
    return s3.LifecycleRule(
        abort_incomplete_multipart_upload_after=Duration.days(UNFINISHED_UPLOAD_DAYS),
        noncurrent_version_expiration=Duration.days(settings.superseded_days),
        expiration=expiration,
    )


def _send_events(bucket: s3.IBucket) -> None:
    """Native, where CDK's `event_bridge_enabled` would deploy a Lambda function to do the same."""
    events = s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
    bucket.node.default_child.notification_configuration = (
        s3.CfnBucket.NotificationConfigurationProperty(event_bridge_configuration=events)
    )
