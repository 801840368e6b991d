"""A private network for the functions: no way in, and no way out but to the services they call.

Lambda fetches images, ships logs and reads queues from its own network, and S3 and SQS call KMS
themselves; so there is an endpoint for what the code calls, and one for its traces.
"""

from typing import Any, Final

from aws_cdk import Aws
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.acknowledge import acknowledge
from infra.config import Settings
from infra.log_groups import encrypted_log_group
from infra.permissions import XRAY_ACTIONS, Reach

ZONES: Final = 2
"""Fewest that outlive the loss of one; an interface endpoint is paid for by zone."""

OBJECT_ACTIONS: Final = (
    *("s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"),
    *("s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"),
)
"""All that any of the functions does; what each may do on which bucket, its own role says."""

HTTPS: Final = ec2.Port.tcp(443)


class Network(Construct):
    """VPC of isolated subnets, endpoints that serve this stack's resources alone, flow logs.

    Attributes:
        placement: Arguments that put a function into it.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        cidr: str,
        settings: Settings,
        reach: Reach,
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, name)
        self._vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(cidr),
            max_azs=ZONES,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Functions", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED
                )
            ],
            restrict_default_security_group=False,
        )
        acknowledge(
            self._vpc,
            {
                "HIPAA.Security-VPCDefaultSecurityGroupClosed": (
                    "Nothing is in the default group, the subnets have no route outwards, and "
                    "closing it takes a Lambda function that may change security groups"
                )
            },
        )
        self._log_flows(settings, key)
        functions = self._group("Functions", "Functions: HTTPS outwards, nothing inwards")
        # S3's gateway is reached at public addresses; beyond the endpoints there is no route
        functions.add_egress_rule(ec2.Peer.any_ipv4(), HTTPS, "To the endpoints")
        self._connect(functions, reach)
        self.placement: dict[str, Any] = {
            "vpc": self._vpc,
            "vpc_subnets": ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            "security_groups": [functions],
        }

    def _group(self, name: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, name, vpc=self._vpc, description=description, allow_all_outbound=False
        )

    def _connect(self, functions: ec2.SecurityGroup, reach: Reach) -> None:
        """Endpoints for S3, SQS, EventBridge, Glue and X-Ray."""
        buckets = (
            reach.intake.bucket,
            reach.results.bucket,
            *(archive.bucket for archive in reach.archives),
        )
        self._vpc.add_gateway_endpoint(
            "Objects", service=ec2.GatewayVpcEndpointAwsService.S3
        ).add_to_policy(
            _through(
                list(OBJECT_ACTIONS),
                [
                    arn
                    for bucket in buckets
                    for arn in (bucket.bucket_arn, f"{bucket.bucket_arn}/*")
                ],
            )
        )
        endpoints = self._group("Endpoints", "Interface endpoints: HTTPS from the functions")
        endpoints.add_ingress_rule(functions, HTTPS, "From the functions")
        services = ec2.InterfaceVpcEndpointAwsService
        queue_arns = [queue.queue_arn for queue in reach.queues.values()]
        for name, service, policy in (
            ("Queues", services.SQS, _through(["sqs:SendMessage"], queue_arns)),
            ("Events", services.EVENTBRIDGE, _through(["events:PutEvents"], [reach.event_bus_arn])),
            ("Catalogue", services.GLUE, _through(["glue:BatchCreatePartition"], ["*"])),
            ("Traces", services.XRAY, _through(list(XRAY_ACTIONS), ["*"])),
        ):
            self._vpc.add_interface_endpoint(
                name, service=service, security_groups=[endpoints], open=False
            ).add_to_policy(policy)

    def _log_flows(self, settings: Settings, key: kms.IKey) -> None:
        group = encrypted_log_group(self, "Flows", settings=settings, key=key)
        policy = iam.ManagedPolicy(
            self,
            "FlowLogPolicy",
            description="What the VPC's flow log may do",
            statements=[
                iam.PolicyStatement(
                    actions=[
                        "logs:CreateLogStream",
                        "logs:DescribeLogStreams",
                        "logs:PutLogEvents",
                    ],
                    resources=[group.log_group_arn],
                )
            ],
        )
        role = iam.Role(
            self,
            "FlowLogRole",
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            ),
            managed_policies=[policy],
        )
        self._vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(
                group, role.without_policy_updates()
            ),
        )


def _through(actions: list[str], resources: list[str]) -> iam.PolicyStatement:
    """What an endpoint lets pass, whoever asks from this account."""
    return iam.PolicyStatement(
        principals=[iam.AnyPrincipal()],
        actions=actions,
        resources=resources,
        conditions={"StringEquals": {"aws:PrincipalAccount": Aws.ACCOUNT_ID}},
    )
