"""What a stack costs at rest is counted in its template."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra import prices
from infra.cost_at_rest import Item, items, main, table
from infra.prices import Price

SMALL: dict[str, Any] = {
    "Resources": {
        "Key": {"Type": "AWS::KMS::Key", "Properties": {}},
        "A": {"Type": "AWS::CloudWatch::Alarm", "Properties": {}},
        "B": {"Type": "AWS::CloudWatch::Alarm", "Properties": {}},
        "Page": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {}},
        "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {}},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {}},
        # a gateway costs nothing
        "Gateway": {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Gateway"}},
        "Interface": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {"VpcEndpointType": "Interface", "SubnetIds": ["a", "b"]},
        },
    }
}


def usd(template: dict[str, Any], **options: Any) -> dict[str, float]:
    return {item.what: item.usd for item in items(template, **options)}


def test_bill_is_counted_in_the_template() -> None:
    assert usd(SMALL) == pytest.approx(
        {
            "customer key": 1.00,
            "alarms": 0.20,
            "dashboard": 3.00,
            # five pollers ask every 20 s: 657,000 requests in 730 h
            "asking empty queues": 0.2628,
            # two zones of one endpoint, 730 h at 0.01
            "endpoints of the VPC": 14.60,
        }
    )


def test_images_are_billed_if_their_size_is_known() -> None:
    assert usd(SMALL, image_gb=1.5)["container images"] == pytest.approx(0.15)


def test_stack_without_a_network_pays_for_none(template: dict[str, Any]) -> None:
    without = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] != "AWS::EC2::VPCEndpoint"
    }
    assert "endpoints of the VPC" not in usd({"Resources": without})


def test_table_adds_up() -> None:
    bill = [Item("keys", 2, Price(1.5, "key", "")), Item("alarms", 3, Price(0.1, "alarm", ""))]
    lines = table(bill).splitlines()
    assert [line.split()[-1] for line in lines] == ["3.00", "0.30", "3.30"]
    assert len({len(line) for line in lines}) == 1


def test_command_prints_each_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cxr-batch-trial.template.json"
    path.write_text(json.dumps(SMALL))
    assert main([str(path), "--image-gb", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"cxr-batch-trial at rest; us-east-1, list prices of {prices.AS_OF}")
    assert "container images" in printed


def test_command_says_what_to_do_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 1
    assert "make synth" in capsys.readouterr().err


def test_every_price_says_where_it_stands() -> None:
    every = [value for value in vars(prices).values() if isinstance(value, Price)]
    every += prices.LAMBDA_GB_SECOND.values()
    assert len(every) > 10
    for price in every:
        assert price.usd > 0
        assert price.unit
        assert price.source.startswith("https://aws.amazon.com/")
        assert "/pricing/" in price.source
