"""Bring approved models from the SageMaker Model Registry into a folder of their own.

A package's archive holds model.onnx and model.json, as `training.submit pipeline` registers it. The
new folder appears whole or not at all, and none that exists is touched: rolling back is naming the
folder before.

Sources: SageMaker API, DescribeModelPackage; S3 API, GetObject (If-Match).
"""

import contextlib
import functools
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from cxr.analyser import load_pair
from cxr.aws import Cloud, error_code, translated
from cxr.keys import shown
from cxr.models_description import describe_models
from lambdas.shared.bundle import (
    BUNDLE_TASKS,
    FACTS_FILE,
    GRAPH_FILE,
    load_bundle,
    model_set,
)
from lambdas.shared.errors import CxrError, InvalidRequestError, ModelMismatchError

ORIGIN_FILE: Final = "packages.json"
"""Beside the bundles: which package, or folder, each came from."""

_ACTIONS: Final = (
    "sagemaker:DescribeModelPackage, s3:GetObject and, for an encrypted bucket, kms:Decrypt"
)
_ABSENT: Final = frozenset({"NoSuchKey", "NoSuchBucket", "ValidationException", "ResourceNotFound"})
_REPLACED: Final = frozenset({"PreconditionFailed", "412"})

MAX_FILE_BYTES: Final = 4 * 1024**3
"""Of one file in an archive; an image holds 10 GB, and an archive may unpack to anything."""

_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:sagemaker:(?P<region>[a-z0-9-]{9,16}):\d{12}:model-package/(?P<name>\S+)"
)
_FOLDERS: Final = {task: folder for folder, task in BUNDLE_TASKS.items()}
_CHUNK_BYTES: Final = 1024 * 1024


class MakeClient(Protocol):
    """Makes a client of boto3."""

    def __call__(self, service: str, *, region: str) -> Any:
        """The client of a service."""
        ...


@dataclass(frozen=True, slots=True)
class Pulled:
    """What has been brought.

    Attributes:
        folder: Holds the bundles `classifier` and `detector`.
        model_set: Names results made with this pair.
        origins: Package ARN or folder, by bundle.
        was_there: Whether the folder held this very pair before.
    """

    folder: Path
    model_set: str
    origins: dict[str, str]
    was_there: bool


def pull_models(
    packages: Sequence[str],
    *,
    models: Path,
    name: str | None = None,
    beside: Path | None = None,
    make_client: MakeClient | None = None,
) -> Pulled:
    """Bring one or two approved packages into a new folder below `models`.

    Args:
        packages: ARNs of model packages: of the classifier, the detector, or both.
        models: Folder of model folders.
        name: Of the new folder; None for the model set's.
        beside: Folder that the other bundle is copied from, where one package is given.
        make_client: None for boto3's own.

    Raises:
        InvalidRequestError: An ARN is none, a package is not approved, or the pair is incomplete.
        ModelMismatchError: What a package holds is no bundle, or not the one that it says.
        ConfigError: AWS does not know who asks, or refuses.
        TransientError: AWS does not answer.
    """
    regions = {arn: _region(arn) for arn in packages}
    if (len(regions), beside is None) not in {(1, False), (2, True)}:
        raise InvalidRequestError(
            "the stages need a classifier and a detector; give the ARNs of both packages, or one "
            "and --with DIR, to take the other from models that you have"
        )
    if name is not None and Path(name).name != name:
        raise InvalidRequestError(f"--name {shown(name)!r} is a path; give one folder's name")
    models.mkdir(parents=True, exist_ok=True)
    with _scratch_folder(models) as scratch:
        origins: dict[str, str] = {}
        for arn, region in regions.items():
            folder = _bring(arn, scratch, functools.partial(make_client or _client, region=region))
            if folder in origins:
                raise InvalidRequestError(
                    f"both packages hold a {folder}; give one classifier and one detector"
                )
            origins[folder] = arn
        if beside is not None:
            _complete(scratch, origins, beside)
        return _settle(scratch, models, name, origins)


def _bring(arn: str, scratch: Path, client: Callable[[str], Any]) -> str:
    """Unpack one package; returns the name of its bundle's folder."""
    with _reading(f"model package {arn}"):
        package = client("sagemaker").describe_model_package(ModelPackageName=arn)
    url, etag = _approved_archive(arn, package)
    bucket, _, key = url.removeprefix("s3://").partition("/")
    # approval was of these bytes: an archive put in their place since is another model
    condition = {"IfMatch": etag} if etag else {}
    unpacked = scratch / "package"
    with tempfile.TemporaryFile(dir=scratch) as archive:
        with _reading(f"archive {url} of model package {arn}"):
            body = client("s3").get_object(Bucket=bucket, Key=key, **condition)["Body"]
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                archive.write(chunk)
        archive.seek(0)
        _unpack(arn, archive, unpacked)
    try:
        bundle = load_bundle(unpacked)
    except CxrError as error:
        raise ModelMismatchError(f"model package {arn} holds no usable bundle: {error}") from error
    folder = _FOLDERS[bundle.task]
    if not (scratch / folder).exists():
        unpacked.rename(scratch / folder)
    return folder


def _approved_archive(arn: str, package: dict[str, Any]) -> tuple[str, str | None]:
    """URL and, where the registry knows it, ETag of an approved package's archive."""
    approval = package.get("ModelApprovalStatus", "unset")
    if approval != "Approved":
        raise InvalidRequestError(
            f"model package {arn} is {approval}, expected Approved; let it be reviewed, and "
            "approved in the Model Registry, then pull again"
        )
    status = package.get("ModelPackageStatus", "unset")
    if status != "Completed":
        raise InvalidRequestError(f"model package {arn} is {status}, expected Completed")
    containers = package.get("InferenceSpecification", {}).get("Containers", [])
    url = containers[0].get("ModelDataUrl", "") if len(containers) == 1 else ""
    if not url.startswith("s3://"):
        raise ModelMismatchError(
            f"model package {arn} names no archive in S3; register one container whose "
            f"ModelDataUrl is a .tar.gz with {GRAPH_FILE} and {FACTS_FILE}"
        )
    return url, containers[0].get("ModelDataETag")


def _unpack(arn: str, archive: IO[bytes], folder: Path) -> None:
    """Take a bundle's two files out, and nothing else: no path in the archive is followed."""
    folder.mkdir()
    try:
        with tarfile.open(fileobj=archive, mode="r|gz") as members:
            for member in members:
                name = member.name.removeprefix("./")
                if name not in (FACTS_FILE, GRAPH_FILE) or not member.isfile():
                    continue
                if member.size > MAX_FILE_BYTES:
                    raise ModelMismatchError(
                        f"model package {arn}: {name} has {member.size} bytes, at most "
                        f"{MAX_FILE_BYTES} are taken"
                    )
                content = members.extractfile(member)
                if content is not None:
                    with (folder / name).open("xb") as target:
                        shutil.copyfileobj(content, target, _CHUNK_BYTES)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ModelMismatchError(
            f"the archive of model package {arn} cannot be unpacked ({type(error).__name__}: "
            f"{error}); it must be a .tar.gz with {GRAPH_FILE} and {FACTS_FILE}"
        ) from error


def _complete(scratch: Path, origins: dict[str, str], beside: Path) -> None:
    """Copy the bundle that no package has brought."""
    for bundle in load_pair(beside):
        folder = _FOLDERS[bundle.task]
        if folder not in origins:
            (scratch / folder).mkdir()
            for file in (FACTS_FILE, GRAPH_FILE):
                shutil.copyfile(bundle.folder / file, scratch / folder / file)
            origins[folder] = str(beside)


def _settle(scratch: Path, models: Path, name: str | None, origins: dict[str, str]) -> Pulled:
    """Check the pair as it will be used, then give it its name."""
    description = describe_models(scratch)
    problems = [
        f"{model['task']}: {model['graph_problem']}"
        for model in description["models"]
        if model["graph_problem"] is not None
    ]
    if problems:
        raise ModelMismatchError("the models cannot be used: " + "; ".join(problems))
    made = description["model_set"]
    folder = models / (name or made)
    pulled = Pulled(folder=folder, model_set=made, origins=dict(origins), was_there=False)
    if folder.exists():
        if model_set(*load_pair(folder)) != made:
            raise InvalidRequestError(
                f"{shown(str(folder))} holds other models, which stay; choose another --name"
            )
        return Pulled(folder=folder, model_set=made, origins=dict(origins), was_there=True)
    (scratch / ORIGIN_FILE).write_text(json.dumps(origins, indent=2, sort_keys=True) + "\n")
    scratch.chmod(0o755)
    scratch.rename(folder)
    return pulled


@contextlib.contextmanager
def _scratch_folder(models: Path) -> Iterator[Path]:
    """A folder beside the new one, so that a rename moves it; gone afterwards if still there."""
    scratch = Path(tempfile.mkdtemp(prefix=".pull-", dir=models))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    """Errors of boto3 in our words; what is not there, or not any more, is the request's fault."""
    with translated(f"reading {what}", needs=_ACTIONS):
        try:
            yield
        except Exception as error:
            code = error_code(error)
            if code in _REPLACED:
                raise ModelMismatchError(
                    f"{what} has been replaced since the package was registered; register it anew"
                ) from error
            if code in _ABSENT:
                raise InvalidRequestError(f"{what} does not exist ({code})") from error
            raise


def _region(arn: str) -> str:
    found = _ARN.fullmatch(arn)
    if found is None:
        raise InvalidRequestError(
            f"{shown(arn)!r} is not the ARN of a model package, expected "
            "arn:aws:sagemaker:REGION:ACCOUNT:model-package/GROUP/VERSION; `aws sagemaker "
            "list-model-packages --model-package-group-name GROUP` lists them"
        )
    return found["region"]


def _client(service: str, *, region: str) -> Any:
    return Cloud(region=region).client(service)
