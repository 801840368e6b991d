"""What a deployed stack costs while no image arrives, counted in its own template.

    python -m infra.cost_at_rest                       the templates that `make synth` has written
    python -m infra.cost_at_rest TEMPLATE --image-gb 1.2   with the container images' storage

Stored images, results and logs come on top: they are the user's, and cost what S3 and CloudWatch
Logs take for them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.prices import (
    ALARM_MONTH,
    AS_OF,
    DASHBOARD_MONTH,
    ENDPOINT_HOUR,
    HOURS_A_MONTH,
    IMAGE_GB_MONTH,
    KMS_KEY_MONTH,
    REGION,
    SECONDS_A_MONTH,
    SQS_REQUEST,
    Price,
)

IDLE_POLLERS: Final = 5
LONG_POLL_S: Final = 20
"""Lambda asks an empty queue by five pollers, each of which waits 20 s for a message."""

POLLS_A_MONTH: Final = IDLE_POLLERS * SECONDS_A_MONTH // LONG_POLL_S


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the bill.

    Attributes:
        what: As a person would say it.
        count: Units of `price` a month.
        price: Of one unit.
    """

    what: str
    count: float
    price: Price

    @property
    def usd(self) -> float:
        """A month."""
        return self.count * self.price.usd


def items(template: Mapping[str, Any], *, image_gb: float | None = None) -> Iterator[Item]:
    """What in a CloudFormation template is paid for by time.

    Args:
        template: As synthesised.
        image_gb: What the container images take in the registry; None leaves them out.
    """
    resources = list(template["Resources"].values())

    def of(kind: str) -> list[Mapping[str, Any]]:
        return [resource["Properties"] for resource in resources if resource["Type"] == kind]

    yield Item("customer key", len(of("AWS::KMS::Key")), KMS_KEY_MONTH)
    yield Item("alarms", len(of("AWS::CloudWatch::Alarm")), ALARM_MONTH)
    yield Item("dashboard", len(of("AWS::CloudWatch::Dashboard")), DASHBOARD_MONTH)
    queues = len(of("AWS::Lambda::EventSourceMapping"))
    yield Item("asking empty queues", queues * POLLS_A_MONTH, SQS_REQUEST)
    zones = sum(
        len(endpoint["SubnetIds"])
        for endpoint in of("AWS::EC2::VPCEndpoint")
        if endpoint["VpcEndpointType"] == "Interface"
    )
    if zones:
        yield Item("endpoints of the VPC", zones * HOURS_A_MONTH, ENDPOINT_HOUR)
    if image_gb is not None:
        yield Item("container images", image_gb, IMAGE_GB_MONTH)


def table(bill: Sequence[Item]) -> str:
    """The bill as aligned text."""
    lines = [
        f"{item.what:<22}{item.count:>12,.10g} x {item.price.unit:<26}{item.usd:>8.2f}"
        for item in bill
    ]
    total = sum(item.usd for item in bill)
    return "\n".join([*lines, f"{'USD a month':<63}{total:>8.2f}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the bill of each template; 1 if there is none."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.cost_at_rest", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument(
        "templates", nargs="*", type=Path, help="default: cdk.out/*/*.template.json"
    )
    parser.add_argument("--image-gb", type=float, help="size of the container images in ECR")
    chosen = parser.parse_args(arguments)
    templates = chosen.templates or sorted(Path("cdk.out").glob("*/*.template.json"))
    if not templates:
        sys.stderr.write("no template in cdk.out; run `make synth` first\n")
        return 1
    for path in templates:
        bill = list(items(json.loads(path.read_text()), image_gb=chosen.image_gb))
        stack = path.name.removesuffix(".template.json")
        sys.stdout.write(f"{stack} at rest; {REGION}, list prices of {AS_OF}\n{table(bill)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
