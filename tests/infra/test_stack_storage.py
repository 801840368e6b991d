"""Buckets: private, encrypted, versioned, logged; what moto would not enforce."""

import pytest

from infra.config import Settings
from tests.infra.synthesis import Statement, Template, listed, of_type, plain, statements

DATA_BUCKETS = ("StorageIntake", "StorageResults")
BUCKETS = (*DATA_BUCKETS, "StorageAccessLogs")


def policy_of(template: Template, bucket: str) -> list[Statement]:
    return [statement for name, statement in statements(template) if name == f"{bucket}Policy"]


def test_there_are_two_data_buckets_and_one_for_access_logs(template: Template) -> None:
    assert set(of_type(template, "AWS::S3::Bucket")) == set(BUCKETS)


@pytest.mark.parametrize("name", BUCKETS)
def test_bucket_is_private_and_versioned(template: Template, name: str) -> None:
    bucket = of_type(template, "AWS::S3::Bucket")[name]
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.mark.parametrize("name", BUCKETS)
def test_bucket_is_reached_by_tls_alone(template: Template, name: str) -> None:
    denied = [
        statement["Condition"]
        for statement in policy_of(template, name)
        if statement["Effect"] == "Deny"
        and statement["Action"] == "s3:*"
        and statement["Principal"] == {"AWS": "*"}
        and statement["Resource"] == [f"<{name}.Arn>", f"<{name}.Arn>/*"]
    ]
    assert {"Bool": {"aws:SecureTransport": "false"}} in denied
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied


@pytest.mark.parametrize("name", DATA_BUCKETS)
def test_images_and_results_are_encrypted_with_the_customer_key(
    template: Template, name: str
) -> None:
    bucket = plain(of_type(template, "AWS::S3::Bucket")[name])
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {
            "BucketKeyEnabled": True,
            "ServerSideEncryptionByDefault": {
                "SSEAlgorithm": "aws:kms",
                "KMSMasterKeyID": "<DataKey.Arn>",
            },
        }
    ]


def test_access_logs_have_the_keys_of_s3_as_they_must(template: Template) -> None:
    bucket = of_type(template, "AWS::S3::Bucket")["StorageAccessLogs"]
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    ]
    assert "LoggingConfiguration" not in bucket


@pytest.mark.parametrize(
    ("name", "prefix"), [("StorageIntake", "intake/"), ("StorageResults", "results/")]
)
def test_accesses_are_logged_and_only_s3_may_write_the_logs(
    template: Template, name: str, prefix: str
) -> None:
    bucket = plain(of_type(template, "AWS::S3::Bucket")[name])
    assert bucket["LoggingConfiguration"] == {
        "DestinationBucketName": "<StorageAccessLogs>",
        "LogFilePrefix": prefix,
    }
    allowed = [
        statement
        for statement in policy_of(template, "StorageAccessLogs")
        if statement["Effect"] == "Allow"
    ]
    assert {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"<StorageAccessLogs.Arn>/{prefix}*",
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"<{name}.Arn>"},
            "StringEquals": {"aws:SourceAccount": "<AWS::AccountId>"},
        },
    } in allowed
    assert len(allowed) == len(DATA_BUCKETS)


@pytest.mark.parametrize("name", DATA_BUCKETS)
def test_what_is_superseded_or_never_finished_goes_and_nothing_else(
    template: Template, settings: Settings, name: str
) -> None:
    (rule,) = of_type(template, "AWS::S3::Bucket")[name]["LifecycleConfiguration"]["Rules"]
    assert rule == {
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        "NoncurrentVersionExpiration": {"NoncurrentDays": settings.superseded_days},
    }


def test_access_logs_go_after_a_while(template: Template, settings: Settings) -> None:
    bucket = of_type(template, "AWS::S3::Bucket")["StorageAccessLogs"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == settings.access_log_days


def test_only_the_intake_bucket_sends_events(template: Template) -> None:
    sending = {
        name: bucket["NotificationConfiguration"]
        for name, bucket in of_type(template, "AWS::S3::Bucket").items()
        if "NotificationConfiguration" in bucket
    }
    assert sending == {"StorageIntake": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}}


def test_no_lambda_function_manages_a_bucket(template: Template) -> None:
    """CDK would add some for events and for emptying; each would need wide permissions."""
    functions = of_type(template, "AWS::Lambda::Function").values()
    assert {function["PackageType"] for function in functions} == {"Image"}  # all of them ours
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert not [kind for kind in kinds if kind.startswith("Custom::")]


def test_development_lets_its_data_go(template: Template) -> None:
    for resource in template["Resources"].values():
        assert resource.get("DeletionPolicy", "Delete") == "Delete"


def test_no_statement_lets_the_public_in(template: Template) -> None:
    open_to_all = [
        (name, statement)
        for name, statement in statements(template)
        if statement["Effect"] == "Allow"
        and "*" in listed(statement.get("Principal", {}).get("AWS", []))
    ]
    assert open_to_all == []
