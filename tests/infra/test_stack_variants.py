"""What cdk.json may ask for besides the development environment: each synthesised and checked."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.bulk import bulk_output_names
from infra.config import load_settings
from infra.cost_at_rest import main
from infra.outputs import SWITCH_ON_EVENTS
from infra.pipeline import STAGES, output_names, upload_pattern
from infra.setting_readers import ExistingBucket
from tests.infra.synthesis import (
    REPOSITORY,
    Synthesis,
    Template,
    listed,
    of_type,
    plain,
    statements,
    synthesise,
)
from tests.infra.test_stack_checks import assert_answered, lint

pytestmark = pytest.mark.slow

README = REPOSITORY / "README.md"

FILMS_KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
FILMS = "arn:<AWS::Partition>:s3:::films"
FINDINGS = "arn:<AWS::Partition>:s3:::findings"


def variant(models: Path, folder: Path, environment: str, **changes: Any) -> Synthesis:
    settings = dataclasses.replace(load_settings(environment), models=models, **changes)
    made = synthesise(settings, folder)
    assert_answered(made)
    (template,) = made.folder.glob("*.template.json")
    assert lint(template) == []
    return made


@pytest.fixture(scope="module")
def production(tiny_models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Keeps its data, in a VPC, on the other architecture, with somebody to tell."""
    return variant(
        tiny_models_folder,
        tmp_path_factory.mktemp("production"),
        "prod",
        vpc_cidr="10.90.0.0/24",
        architecture="arm64",
        alarm_email="radiology@example.org",
        detect_all=True,
        formats="fhir",
    ).template


@pytest.fixture(scope="module")
def adopted(tiny_models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Buckets that were there before: one with a key of its own, one with S3's keys."""
    return variant(
        tiny_models_folder,
        tmp_path_factory.mktemp("adopted"),
        "dev",
        intake_bucket=ExistingBucket("films", FILMS_KEY),
        results_bucket=ExistingBucket("findings", None),
    ).template


def test_production_keeps_what_cannot_be_had_again(production: Template) -> None:
    kept = {"AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Logs::LogGroup"}
    for name, resource in production["Resources"].items():
        expected = "Retain" if resource["Type"] in kept else "Delete"
        assert resource.get("DeletionPolicy", "Delete") == expected, name
        assert resource.get("UpdateReplacePolicy", "Delete") == expected, name


def test_settings_reach_the_functions(production: Template) -> None:
    functions = of_type(production, "AWS::Lambda::Function")
    stages = {f"{stage.name.capitalize()}Function" for stage in STAGES}
    assert set(functions) == stages | {
        "ArchiveBatchFunction",
        "ArchivePlannerFunction",
        "LakeFunction",
    }
    assert all(function["Architectures"] == ["arm64"] for function in functions.values())
    for stage in stages:
        variables = functions[stage]["Environment"]["Variables"]
        assert (variables["CXR_DETECT_ALL"], variables["CXR_FORMATS"]) == ("true", "fhir")
        assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "CxrBatch/prod"


def test_alarms_are_mailed(production: Template) -> None:
    (subscription,) = of_type(production, "AWS::SNS::Subscription").values()
    assert plain(subscription) == {
        "Protocol": "email",
        "Endpoint": "radiology@example.org",
        "TopicArn": "<AlarmsTopic>",
    }


def test_network_has_no_way_out_but_the_endpoints(production: Template) -> None:
    kinds = {resource["Type"] for resource in production["Resources"].values()}
    assert not kinds & {
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::EC2::Route",
        "AWS::EC2::EIP",
    }
    for subnet in of_type(production, "AWS::EC2::Subnet").values():
        assert subnet["MapPublicIpOnLaunch"] is False


def test_every_function_is_in_both_zones(production: Template) -> None:
    subnets = {f"<{name}>" for name in of_type(production, "AWS::EC2::Subnet")}
    assert len(subnets) == 2
    for function in plain(of_type(production, "AWS::Lambda::Function")).values():
        assert set(function["VpcConfig"]["SubnetIds"]) == subnets
        assert function["VpcConfig"]["SecurityGroupIds"] == ["<NetworkFunctions.GroupId>"]


@pytest.mark.parametrize(
    ("name", "service", "actions", "resources"),
    [
        (
            "NetworkVpcObjects",
            "s3",
            {
                *("s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"),
                *("s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"),
            },
            {
                f"<Storage{bucket}.Arn>{part}"
                for bucket in ("Intake", "Results")
                for part in ("", "/*")
            },
        ),
        (
            "NetworkVpcQueues",
            "sqs",
            {"sqs:SendMessage"},
            {f"<{stage.name.capitalize()}Queue.Arn>" for stage in STAGES},
        ),
        (
            "NetworkVpcEvents",
            "events",
            {"events:PutEvents"},
            {"arn:<AWS::Partition>:events:<AWS::Region>:<AWS::AccountId>:event-bus/default"},
        ),
        ("NetworkVpcCatalogue", "glue", {"glue:BatchCreatePartition"}, {"*"}),
        (
            "NetworkVpcTraces",
            "xray",
            {"xray:PutTelemetryRecords", "xray:PutTraceSegments"},
            {"*"},
        ),
    ],
)
def test_endpoint_lets_this_pipelines_calls_pass_and_no_other(
    production: Template, name: str, service: str, actions: set[str], resources: set[str]
) -> None:
    endpoint = plain(of_type(production, "AWS::EC2::VPCEndpoint")[name])
    assert endpoint["ServiceName"] == f"com.amazonaws.<AWS::Region>.{service}"
    (statement,) = endpoint["PolicyDocument"]["Statement"]
    assert set(listed(statement["Action"])) == actions
    assert set(listed(statement["Resource"])) == resources
    assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": "<AWS::AccountId>"}}


def test_endpoints_take_what_the_functions_call(production: Template) -> None:
    """A call without an endpoint would hang until the function times out."""
    endpoints = of_type(production, "AWS::EC2::VPCEndpoint")
    passing = {
        action
        for endpoint in endpoints.values()
        for statement in endpoint["PolicyDocument"]["Statement"]
        for action in listed(statement["Action"])
    }
    # done by Lambda and its poller, or by S3 and SQS themselves, outside the network
    elsewhere = ("ec2:", "kms:", "logs:", "sqs:Receive", "sqs:Delete", "sqs:GetQueue")
    called = {
        action
        for name, statement in statements(production)
        if name.endswith(("FunctionPolicy", "ArchiveBatchPolicy", "ArchivePlannerPolicy"))
        for action in listed(statement["Action"])
        if not action.startswith(elsewhere)
    }
    assert called == passing


def test_security_groups_open_https_and_nothing_else(production: Template) -> None:
    groups = plain(of_type(production, "AWS::EC2::SecurityGroup"))
    assert set(groups) == {"NetworkFunctions", "NetworkEndpoints"}
    assert all("SecurityGroupIngress" not in group for group in groups.values())
    (outwards,) = groups["NetworkFunctions"]["SecurityGroupEgress"]
    (inwards,) = plain(of_type(production, "AWS::EC2::SecurityGroupIngress")).values()
    assert inwards["GroupId"] == "<NetworkEndpoints.GroupId>"
    assert inwards["SourceSecurityGroupId"] == "<NetworkFunctions.GroupId>"
    for rule in (outwards, inwards):
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)


def test_flows_are_logged(production: Template) -> None:
    (flow,) = plain(of_type(production, "AWS::EC2::FlowLog")).values()
    assert flow["TrafficType"] == "ALL"
    assert flow["ResourceId"] == "<NetworkVpc>"
    logs = plain(of_type(production, "AWS::Logs::LogGroup"))[flow["LogGroupName"].strip("<>")]
    assert logs["KmsKeyId"] == "<DataKey.Arn>"


def test_wildcards_of_a_network_are_known(production: Template) -> None:
    found = {
        action
        for name, statement in statements(production)
        if statement["Effect"] == "Allow"
        and name.endswith("Policy")
        and name != "ArchiveMachinePolicy"  # which runs in no network
        and "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert found == {
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
        # asked for by Lambda before any network interface exists
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    }
    assert not [
        action
        for _, statement in statements(production)
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        if "*" in action
    ]


def test_existing_buckets_are_left_as_they_are(adopted: Template) -> None:
    kinds = {resource["Type"] for resource in adopted["Resources"].values()}
    assert not {kind for kind in kinds if kind.startswith("AWS::S3::")}


def test_rule_listens_to_the_existing_bucket(adopted: Template) -> None:
    rule = of_type(adopted, "AWS::Events::Rule")["IntakeUploads"]
    assert rule["EventPattern"] == upload_pattern("films")
    assert plain(adopted["Outputs"]["IntakeBucket"]["Value"]) == "films"


def test_functions_use_the_existing_buckets_and_their_keys(adopted: Template) -> None:
    allowed = {
        statement["Sid"]: (set(listed(statement["Action"])), set(listed(statement["Resource"])))
        for name, statement in statements(adopted)
        if name == "ReportFunctionPolicy"
    }
    assert allowed["Images"][1] == {f"{FILMS}/images/*"}
    assert allowed["MissingImages"][1] == {FILMS}
    assert allowed["Results"][1] == {f"{FINDINGS}/results/*"}
    assert allowed["ReadKeys"] == ({"kms:Decrypt"}, {FILMS_KEY})
    assert "WriteKey" not in allowed  # S3's own keys need no leave
    assert allowed["QueueKey"][1] == {"<DataKey.Arn>"}


def test_stack_says_how_to_switch_the_bucket_on(adopted: Template) -> None:
    outputs = adopted["Outputs"]
    assert set(outputs) == {*output_names(), *bulk_output_names(), SWITCH_ON_EVENTS}
    assert "--bucket films" in outputs[SWITCH_ON_EVENTS]["Value"]


@pytest.mark.parametrize(
    ("found", "left"),
    [
        # nothing set: the AWS CLI prints nothing at all
        ("", {"EventBridgeConfiguration": {}}),
        ("{}", {"EventBridgeConfiguration": {}}),
        # what others rely on stays
        (
            '{"QueueConfigurations": [{"QueueArn": "a", "Events": ["s3:ObjectCreated:*"]}]}',
            {
                "QueueConfigurations": [{"QueueArn": "a", "Events": ["s3:ObjectCreated:*"]}],
                "EventBridgeConfiguration": {},
            },
        ),
    ],
)
def test_switching_on_keeps_what_the_bucket_already_sends(
    adopted: Template, tmp_path: Path, found: str, left: dict[str, Any]
) -> None:
    """The command is run by a shell; a stand-in takes the place of the AWS CLI."""
    aws = tmp_path / "aws"
    aws.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"  get-*) printf '%s' '{found}' ;;\n"
        f"  put-*) printf '%s\\n' \"$@\" > {tmp_path}/put ;;\n"
        "esac\n"
    )
    aws.chmod(0o755)
    command = adopted["Outputs"][SWITCH_ON_EVENTS]["Value"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", command], env={"PATH": path}, check=True)
    words = (tmp_path / "put").read_text().splitlines()
    assert words[:5] == [
        "s3api",
        "put-bucket-notification-configuration",
        "--bucket",
        "films",
        "--notification-configuration",
    ]
    assert json.loads(words[5]) == left


def test_one_existing_bucket_leaves_the_other_new(tiny_models_folder: Path, tmp_path: Path) -> None:
    template = variant(
        tiny_models_folder, tmp_path, "dev", results_bucket=ExistingBucket("findings", FILMS_KEY)
    ).template
    assert set(of_type(template, "AWS::S3::Bucket")) == {"StorageIntake", "StorageAccessLogs"}
    assert set(template["Outputs"]) == {*output_names(), *bulk_output_names()}
    keys = {
        statement["Sid"]: set(listed(statement["Resource"]))
        for name, statement in statements(template)
        if name == "ReportFunctionPolicy" and "Key" in statement["Sid"]
    }
    assert keys == {
        "QueueKey": {"<DataKey.Arn>"},
        "ReadKeys": {"<DataKey.Arn>", FILMS_KEY},
        "WriteKey": {FILMS_KEY},
    }


def test_readme_shows_the_command_for_an_existing_bucket(adopted: Template) -> None:
    assert adopted["Outputs"][SWITCH_ON_EVENTS]["Value"] in README.read_text()


def test_readme_shows_what_both_environments_cost(
    synthesis: Synthesis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    production = synthesise(load_settings("prod"), tmp_path)
    assert_answered(production)
    templates = [
        str(path)
        for made in (synthesis, production)
        for path in made.folder.glob("*.template.json")
    ]
    assert main(templates) == 0
    assert f"$ .venv/bin/python -m infra.cost_at_rest\n{capsys.readouterr().out}```" in (
        README.read_text()
    )
