"""The way to AWS, or to the embedded cloud: arguments, clients, and errors in plain words.

boto3 is imported when a client is first made: a laptop that only analyses folders has none.
"""

import argparse
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from cxr.local_command import DEFAULT_PORT
from lambdas.shared.errors import (
    ConfigError,
    ContractError,
    CxrError,
    InvalidRequestError,
    StorageUnavailableError,
    ThrottledError,
)

ENDPOINT_VARIABLE: Final = "AWS_ENDPOINT_URL"
"""What the AWS command line and all SDKs read as well."""

ATTEMPTS: Final = 6
"""Of each call, with back-off: what is throttled gets through within half a minute."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_ANY_REGION: Final = "us-east-1"
"""Of clouds on this machine, which have but one."""

_INSTALL: Final = "python -m pip install -e '.[aws]'"

_EXPIRED: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
_UNKNOWN_CALLER: Final = frozenset(
    {
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "AuthFailure",
        "InvalidToken",
    }
)
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AWS.SimpleQueueService.AccessDenied",
        "UnauthorizedOperation",
        "KMS.AccessDeniedException",
        "KmsAccessDenied",
        "403",
        "Forbidden",
    }
)
_ABSENT: Final = {
    "NoSuchBucket": "bucket",
    "AWS.SimpleQueueService.NonExistentQueue": "queue",
    "QueueDoesNotExist": "queue",
}
_SLOW_DOWN: Final = frozenset({"SlowDown", "RequestLimitExceeded", "LimitExceededException"})
_BUSY: Final = frozenset(
    {"RequestTimeout", "OperationAborted", "InternalError", "InternalFailure", "ServiceUnavailable"}
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which deployment is meant."""
    group = parser.add_argument_group("deployment")
    which = group.add_mutually_exclusive_group()
    which.add_argument("--env", metavar="NAME", help="environment of cdk.json (default: dev)")
    which.add_argument("--stack", metavar="NAME", help="name of the CloudFormation stack instead")
    group.add_argument("--region", metavar="NAME", help="default: that of your AWS configuration")
    group.add_argument("--profile", metavar="NAME", help="of your AWS configuration")
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--local", action="store_true", help="the cloud that `cxr local` runs on this machine"
    )
    where.add_argument(
        "--endpoint-url", metavar="URL", help=f"another cloud's (default: ${ENDPOINT_VARIABLE})"
    )


@dataclass(frozen=True)
class Cloud:
    """A cloud and who asks it.

    Attributes:
        endpoint: URL of all its services; None for AWS itself.
        region: None for that of the AWS configuration.
        profile: None for the default.
    """

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None

    @property
    def embedded(self) -> bool:
        """Whether it runs on this machine."""
        return bool(self.endpoint) and urlsplit(self.endpoint).hostname in _LOOPBACK

    @property
    def name(self) -> str:
        """What to call it on a screen: region or endpoint."""
        return self.endpoint or str(self._session.region_name)

    def client(self, service: str, *, connections: int = 10) -> Any:
        """A client of one of its services.

        Args:
            service: As boto3 names it.
            connections: Most at a time.

        Raises:
            ConfigError: boto3 is missing, or no region or profile is known.
        """
        with translated(f"connecting to {service}"):
            session = self._session
            if self._anonymous:
                from infra.local_server import make_client

                return make_client(service, str(self.endpoint))
            from botocore.config import Config

            apart = {"proxies": {}, "s3": {"addressing_style": "path"}} if self.embedded else {}
            config = Config(
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=connections,
                **apart,
            )
            return session.client(service, endpoint_url=self.endpoint, config=config)

    @property
    def _anonymous(self) -> bool:
        """The embedded cloud asks for no credentials, so nobody need have any."""
        return self.embedded and not self.profile and "AWS_ACCESS_KEY_ID" not in os.environ

    @functools.cached_property
    def _session(self) -> Any:
        try:
            import boto3
        except ImportError as error:
            raise ConfigError(f"this needs boto3, which is not installed: {_INSTALL}") from error
        # boto3 alone among the SDKs does not read AWS_REGION
        region = self.region or os.environ.get("AWS_REGION")
        with translated("reading your AWS configuration"):
            session = boto3.session.Session(profile_name=self.profile, region_name=region)
            if session.region_name is None and self.embedded:
                return boto3.session.Session(profile_name=self.profile, region_name=_ANY_REGION)
            return session


def cloud_of(options: argparse.Namespace) -> Cloud:
    """The cloud that the arguments mean.

    Raises:
        InvalidRequestError: The endpoint is no URL.
    """
    endpoint = options.endpoint_url or os.environ.get(ENDPOINT_VARIABLE) or None
    if options.local:
        endpoint = f"http://127.0.0.1:{DEFAULT_PORT}"
    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise InvalidRequestError(
            f"--endpoint-url {endpoint} is no URL, expected such as http://127.0.0.1:5055"
        )
    return Cloud(endpoint, options.region, options.profile)


@contextmanager
def translated(doing: str, *, needs: str = "") -> Iterator[None]:
    """Turn boto3's errors into ours: what went wrong, and what to do.

    Args:
        doing: What the call is for, such as `reading the queues`; never a key.
        needs: Actions that the caller must be allowed, for people.
    """
    try:
        yield
    except CxrError:
        raise
    except Exception as error:
        ours = _in_our_words(error, doing, needs)
        if ours is None:
            raise
        raise ours from error


def error_code(error: Exception) -> str:
    """What the service calls the error; empty where none answered."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _in_our_words(error: Exception, doing: str, needs: str) -> CxrError | None:
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    if isinstance(error, ClientError):
        return _answered(error, doing, needs)
    # a body that breaks off while it is streamed comes from below botocore
    if isinstance(error, BotoCoreError | HTTPClientError):
        return _unanswered(error, doing)
    return None


def _answered(error: Any, doing: str, needs: str) -> CxrError:
    """An error that a service answered with."""
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _EXPIRED:
        return ConfigError(
            f"{doing}: your AWS session has expired; log in again (such as `aws sso login`), "
            "then run the same command"
        )
    if code in _UNKNOWN_CALLER:
        return ConfigError(
            f"{doing}: AWS does not know these credentials ({code}); "
            "`aws sts get-caller-identity` says which are used"
        )
    if code in _DENIED:
        allowed = f"; your role needs {needs}" if needs else ""
        return ConfigError(f"{doing}: access denied ({error.operation_name}){allowed}")
    if code in _ABSENT:
        return ContractError(
            f"{doing}: the {_ABSENT[code]} does not exist; check its name, and whether the stack "
            "still stands"
        )
    if status == 429 or "Throttl" in code or code in _SLOW_DOWN:
        return ThrottledError(f"{doing}: AWS asks to slow down ({code}); try again in a minute")
    if status >= 500 or code in _BUSY:
        return StorageUnavailableError(f"{doing}: AWS answers {code}; try again in a minute")
    # the text may name an object, whose key may name a patient
    return ContractError(f"{doing}: AWS answers {code} to {error.operation_name}")


def _unanswered(error: Exception, doing: str) -> CxrError:
    """An error before any service answered."""
    from botocore import exceptions

    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return ConfigError(
            "no AWS credentials; `aws configure` or `aws sso login` provides them, --local needs "
            "none"
        )
    if isinstance(error, exceptions.NoRegionError):
        return ConfigError("no AWS region; name one with --region or AWS_REGION")
    if isinstance(error, exceptions.ProfileNotFound):
        return ConfigError(f"{error}; `aws configure list-profiles` lists them")
    expired = (
        exceptions.SSOError,
        exceptions.TokenRetrievalError,
        exceptions.CredentialRetrievalError,
    )
    if isinstance(error, expired):
        return ConfigError(
            f"{doing}: your AWS login cannot be used ({type(error).__name__}); "
            "log in again (such as `aws sso login`)"
        )
    url = error.kwargs.get("endpoint_url", "") if hasattr(error, "kwargs") else ""
    if isinstance(error, exceptions.ConnectionError) and urlsplit(url).hostname in _LOOPBACK:
        parts = urlsplit(url)
        return StorageUnavailableError(
            f"nothing answers at {parts.scheme}://{parts.netloc}; start `cxr local` in another "
            "terminal"
        )
    return StorageUnavailableError(
        f"{doing}: the connection failed ({type(error).__name__}); check the network and the region"
    )
