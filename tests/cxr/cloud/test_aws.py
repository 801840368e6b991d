"""What a person is told when AWS cannot be asked."""

import argparse
import builtins
import json
from typing import Any

import pytest

from cxr.aws import Cloud, add_arguments, cloud_of, translated
from cxr.cli import main
from cxr.deployment import stack_name
from infra.local_template import STACK_NAME
from lambdas.shared.errors import (
    ConfigError,
    ContractError,
    CxrError,
    InvalidRequestError,
    StorageUnavailableError,
    ThrottledError,
)
from tests.cxr.cloud.conftest import Place


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def answered(code: str, status: int = 400, text: str = "images/SMITH^JOHN.dcm") -> Exception:
    from botocore.exceptions import ClientError

    response: Any = {
        "Error": {"Code": code, "Message": text},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "GetObject")


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (answered("ExpiredToken"), ConfigError, "session has expired; log in again"),
        (answered("ExpiredTokenException"), ConfigError, "session has expired; log in again"),
        (answered("InvalidClientTokenId", 403), ConfigError, "does not know these credentials"),
        (
            answered("AccessDenied", 403),
            ConfigError,
            r"access denied \(GetObject\); your role needs s3:GetObject",
        ),
        (answered("KMS.AccessDeniedException"), ConfigError, "access denied"),
        (answered("SlowDown", 503), ThrottledError, "asks to slow down"),
        (answered("ThrottlingException"), ThrottledError, "asks to slow down"),
        (answered("InternalError", 500), StorageUnavailableError, "AWS answers InternalError"),
        (answered("NoSuchBucket", 404), ContractError, "the bucket does not exist; check its name"),
        (answered("Surprise"), ContractError, "AWS answers Surprise to GetObject"),
    ],
    ids=lambda value: getattr(value, "response", {}).get("Error", {}).get("Code", ""),
)
def test_answers_become_sentences_without_the_key(
    error: Exception, kind: type[CxrError], sentence: str
) -> None:
    with (
        pytest.raises(kind, match=sentence) as caught,
        translated("reading an image", needs="s3:GetObject"),
    ):
        raise error
    assert type(caught.value) is kind
    assert str(caught.value).startswith("reading an image: ")
    assert "SMITH" not in str(caught.value)


def test_what_is_no_fault_of_aws_goes_on_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), translated("reading an image"):
        raise ZeroDivisionError
    with pytest.raises(InvalidRequestError, match="ours"), translated("reading an image"):
        raise InvalidRequestError("ours")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--region", "eu-west-1"], 2, "no AWS credentials; `aws configure` or `aws sso login`"),
        ([], 2, "no AWS region; name one with --region or AWS_REGION"),
        (["--profile", "x"], 2, "`aws configure list-profiles` lists them"),
        (["--env", "x"], 2, "no environment 'x' among context.environments; choose from dev, prod"),
        (["--endpoint-url", "127.0.0.1:5055"], 2, "is no URL, expected such as http://127.0"),
        (
            ["--endpoint-url", "http://127.0.0.1:9"],
            1,
            "nothing answers at http://127.0.0.1:9; start `cxr local` in another terminal",
        ),
        (["--env", "dev", "--stack", "x"], 2, "not allowed with argument --env"),
        (["--local", "--endpoint-url", "http://x"], 2, "not allowed with argument --local"),
    ],
    ids=["credentials", "region", "profile", "env", "url", "nobody there", "stacks", "clouds"],
)
@pytest.mark.usefixtures("no_aws")
def test_what_is_missing_is_one_sentence(
    arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.usefixtures("no_aws")
def test_missing_boto3_names_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.split(".")[0] in ("boto3", "botocore"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    for where in (["--local"], ["--region", "eu-west-1"]):
        assert main(["status", *where]) == 2
        assert "pip install -e '.[aws]'" in capsys.readouterr().err


def test_stack_that_is_not_there(place: Place) -> None:
    code, out, err = place.run("status", "--stack", "cxr-batch-dev")
    assert (code, out) == (2, "")
    assert err.startswith("cxr status: there is no stack cxr-batch-dev at http://127.0.0.1:")
    assert "`make deploy` makes it" in err
    code, out, _ = place.run("status", "--stack", "cxr-batch-dev", "--json")
    assert json.loads(out)["exit_code"] == code == 2


def test_stack_of_another_version(place: Place) -> None:
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"IntakeBucket": {"Value": "x"}},
    }
    place.client("cloudformation").create_stack(
        StackName="other", TemplateBody=json.dumps(template)
    )
    code, _, err = place.run("status", "--stack", "other")
    assert code == 2
    assert "the stack other is CREATE_COMPLETE and has no output AlarmTopic, " in err
    assert err.endswith("it is another version's, or not deployed to the end: `make deploy`\n")


@pytest.mark.usefixtures("no_aws")
def test_stack_is_the_environments_or_the_embedded_clouds() -> None:
    for arguments, name in (
        ((), "cxr-batch-dev"),
        (("--env", "prod"), "cxr-batch-prod"),
        (("--stack", "mine"), "mine"),
        (("--local",), STACK_NAME),
        (("--local", "--env", "prod"), "cxr-batch-prod"),
    ):
        chosen = options(*arguments)
        assert stack_name(chosen, cloud_of(chosen)) == name


@pytest.mark.usefixtures("no_aws")
def test_endpoint_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    assert cloud_of(options()) == Cloud("http://localhost:4566")
    assert cloud_of(options("--local")).endpoint == "http://127.0.0.1:5055"


@pytest.mark.parametrize(
    ("endpoint", "embedded"),
    [
        ("http://127.0.0.1:5055", True),
        ("http://localhost:5055", True),
        ("http://[::1]:5055", True),
        ("https://s3.example.org", False),
        ("http://127.0.0.1.example.org", False),  # somebody else's machine
        (None, False),
    ],
)
def test_only_this_machine_is_embedded(endpoint: str | None, embedded: bool) -> None:
    assert Cloud(endpoint).embedded is embedded


@pytest.mark.usefixtures("no_aws")
def test_embedded_cloud_is_asked_without_anybodys_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key(cloud: Cloud) -> str:
        return str(cloud.client("sqs")._request_signer._credentials.access_key)

    assert key(Cloud("http://127.0.0.1:5055")) == "local"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    assert key(Cloud("http://127.0.0.1:4566")) == "mine"


@pytest.mark.usefixtures("no_aws")
def test_region_comes_from_where_other_programs_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert Cloud().name == "eu-central-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert Cloud().name == "eu-west-1"
    assert Cloud(region="us-west-2").name == "us-west-2"
