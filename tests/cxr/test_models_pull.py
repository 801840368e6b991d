"""`cxr models pull` against the Model Registry and S3 that moto answers for."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

from cxr import model_registry  # noqa: E402
from cxr.cli import main  # noqa: E402
from cxr.model_registry import pull_models  # noqa: E402
from lambdas.batch.analyse import Models  # noqa: E402
from lambdas.shared.errors import ConfigError, ModelMismatchError  # noqa: E402

pytestmark = pytest.mark.slow

REGION = "eu-west-1"
BUCKET = "hospital-models"


class Registry:
    """Packages as the training pipeline registers them."""

    def __init__(self, folder: Path) -> None:
        self.s3 = boto3.client("s3", region_name=REGION)
        self.sagemaker = boto3.client("sagemaker", region_name=REGION)
        place = {"LocationConstraint": REGION}
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        self.folder = folder
        for model in ("classifier", "detector"):
            self.sagemaker.create_model_package_group(ModelPackageGroupName=f"cxr-{model}")

    def register(
        self, model: str, *, archive: bytes | None = None, approval: str = "Approved"
    ) -> str:
        key = f"bundles/{model}.tar.gz"
        self.s3.put_object(
            Bucket=BUCKET, Key=key, Body=packed(self.folder / model) if archive is None else archive
        )
        container = {"Image": "image", "ModelDataUrl": f"s3://{BUCKET}/{key}"}
        created = self.sagemaker.create_model_package(
            ModelPackageGroupName=f"cxr-{model}",
            ModelApprovalStatus=approval,
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["image/png"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        )
        return str(created["ModelPackageArn"])


def packed(bundle: Path) -> bytes:
    """The archive that the pipeline's own command makes of a bundle."""
    command = ["tar", "-czf", "-", "-C", str(bundle), "."]
    return subprocess.run(command, check=True, capture_output=True).stdout


def archive_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def registry(tiny_models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        yield Registry(tiny_models_folder)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "models"


def nothing_left(shelf: Path) -> bool:
    return list(shelf.iterdir()) == []


def test_an_approved_pair_becomes_a_folder_named_for_its_model_set(
    registry: Registry, shelf: Path, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    arns = [registry.register("classifier"), registry.register("detector")]
    assert main(["models", "pull", *arns, "--models", str(shelf)]) == 0
    folder = shelf / models.model_set
    for part in ("classifier", "detector"):
        for name in ("model.onnx", "model.json"):
            assert (folder / part / name).read_bytes() == (
                registry.folder / part / name
            ).read_bytes()
    assert json.loads((folder / "packages.json").read_text()) == {
        "classifier": arns[0],
        "detector": arns[1],
    }
    assert [path.name for path in shelf.iterdir()] == [models.model_set]
    told = capsys.readouterr().out
    assert f'"models": "{folder}" in cdk.json' in told
    assert "To roll back: the folder before, models/demo." in told
    assert "Thresholds not valid on patients" in told
    assert main(["models", "show", str(folder)]) == 0


def test_one_package_is_paired_with_a_model_at_hand(
    registry: Registry, shelf: Path, tiny_models_folder: Path, models: Models
) -> None:
    arn = registry.register("detector")
    pulled = pull_models([arn], models=shelf, name="spring", beside=tiny_models_folder)
    assert pulled.folder == shelf / "spring"
    assert pulled.model_set == models.model_set
    assert pulled.origins == {"classifier": str(tiny_models_folder), "detector": arn}


def test_pulling_again_changes_nothing(
    registry: Registry, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arns = [registry.register("classifier"), registry.register("detector")]
    command = ["models", "pull", *arns, "--models", str(shelf), "--json"]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    before = (shelf / first["model_set"]).stat()
    assert main(command) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == first | {"was_there": True}
    assert (shelf / first["model_set"]).stat().st_ino == before.st_ino


def test_other_models_are_never_overwritten(
    registry: Registry, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arns = [registry.register("classifier"), registry.register("detector")]
    pull_models(arns, models=shelf, name="current")
    facts = json.loads((shelf / "current/classifier/model.json").read_text())
    (shelf / "current/classifier/model.json").write_text(json.dumps(facts | {"version": "0.9.0"}))
    command = ["models", "pull", *arns, "--models", str(shelf), "--name", "current"]
    assert main(command) == 2
    assert "holds other models, which stay" in capsys.readouterr().err
    assert json.loads((shelf / "current/classifier/model.json").read_text())["version"] == "0.9.0"
    assert [path.name for path in shelf.iterdir()] == ["current"]


@pytest.mark.parametrize("approval", ["PendingManualApproval", "Rejected"])
def test_an_unapproved_package_is_refused_before_its_archive_is_read(
    registry: Registry, shelf: Path, approval: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = registry.register("classifier", approval=approval)
    registry.s3.delete_object(Bucket=BUCKET, Key="bundles/classifier.tar.gz")
    command = ["models", "pull", arn, "--with", str(registry.folder), "--models", str(shelf)]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert f"is {approval}, expected Approved" in told
    assert nothing_left(shelf)


def test_an_approval_given_later_is_seen(registry: Registry, shelf: Path) -> None:
    arns = [
        registry.register("classifier", approval="PendingManualApproval"),
        registry.register("detector"),
    ]
    registry.sagemaker.update_model_package(ModelPackageArn=arns[0], ModelApprovalStatus="Approved")
    assert not pull_models(arns, models=shelf).was_there


NO_ARN = "arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/cxr-classifier"
NO_PACKAGE = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/cxr-classifier/9"


@pytest.mark.parametrize(
    ("packages", "told"),
    [
        (["models/demo"], "is not the ARN of a model package"),  # a folder
        ([NO_ARN], "list-model-packages"),  # a group: which of its versions?
        ([NO_PACKAGE], "does not exist"),
    ],
)
def test_what_names_no_package_is_refused(
    registry: Registry,
    shelf: Path,
    packages: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["models", "pull", *packages, "--with", str(registry.folder)]
    assert main([*command, "--models", str(shelf)]) == 2
    assert told in capsys.readouterr().err


def test_the_pair_must_be_complete(
    registry: Registry, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = registry.register("classifier")
    command = ["models", "pull", "--models", str(shelf), arn]
    assert main(command) == 2
    assert "the stages need a classifier and a detector" in capsys.readouterr().err
    assert main([*command, registry.register("classifier")]) == 2
    assert "both packages hold a classifier" in capsys.readouterr().err
    assert nothing_left(shelf)


def test_a_name_is_no_path(
    registry: Registry, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = registry.register("classifier")
    command = ["models", "pull", arn, "--with", "models/demo", "--models", str(shelf)]
    assert main([*command, "--name", "../elsewhere"]) == 2
    assert "is a path" in capsys.readouterr().err


def _link(name: str) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member, b""


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([(tarfile.TarInfo("model.json"), b"{}")], "model.onnx is missing"),
        # neither may lead out of the folder, nor stand for the file
        ([(tarfile.TarInfo("../model.json"), b"{}")], "model.json is missing"),
        ([_link("model.json")], "model.json is missing"),
        (
            [(tarfile.TarInfo("model.onnx"), b"a"), (tarfile.TarInfo("model.onnx"), b"b")],
            "cannot be unpacked",
        ),
    ],
)
def test_an_archive_that_is_no_bundle_is_refused(
    registry: Registry, shelf: Path, members: list[tuple[tarfile.TarInfo, bytes]], told: str
) -> None:
    arn = registry.register("classifier", archive=archive_of(*members))
    with pytest.raises(ModelMismatchError, match=told) as refused:
        pull_models([arn], models=shelf, beside=registry.folder)
    assert arn in str(refused.value)
    assert nothing_left(shelf)
    assert not (shelf.parent / "model.json").exists()


@pytest.mark.parametrize("kept", [0, 0.02, 0.5], ids=["empty", "no archive", "cut short"])
def test_a_broken_archive_is_refused(registry: Registry, shelf: Path, kept: float) -> None:
    whole = packed(registry.folder / "classifier")
    arn = registry.register("classifier", archive=whole[: round(kept * len(whole))])
    with pytest.raises(ModelMismatchError, match="cannot be unpacked"):
        pull_models([arn], models=shelf, beside=registry.folder)
    assert nothing_left(shelf)


def test_a_graph_that_is_not_the_one_described_is_refused(registry: Registry, shelf: Path) -> None:
    facts = (registry.folder / "classifier/model.json").read_bytes()
    graph = (registry.folder / "detector/model.onnx").read_bytes()
    arn = registry.register(
        "classifier",
        archive=archive_of(
            (tarfile.TarInfo("model.json"), facts), (tarfile.TarInfo("model.onnx"), graph)
        ),
    )
    with pytest.raises(ModelMismatchError, match="has sha256"):
        pull_models([arn], models=shelf, beside=registry.folder)
    assert nothing_left(shelf)


def test_a_file_beyond_the_limit_is_refused(
    registry: Registry, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_registry, "MAX_FILE_BYTES", 100)
    with pytest.raises(ModelMismatchError, match="at most 100"):
        pull_models([registry.register("classifier")], models=shelf, beside=registry.folder)
    assert nothing_left(shelf)


def test_an_archive_replaced_since_registration_is_refused(registry: Registry, shelf: Path) -> None:
    """SageMaker keeps the ETag of what was registered; moto does not, so it is put in here."""
    arn = registry.register("classifier")
    etag = registry.s3.head_object(Bucket=BUCKET, Key="bundles/classifier.tar.gz")["ETag"]

    class WithEtag:
        def describe_model_package(self, **arguments: Any) -> dict[str, Any]:
            package: dict[str, Any] = registry.sagemaker.describe_model_package(**arguments)
            (container,) = package["InferenceSpecification"]["Containers"]
            container["ModelDataETag"] = etag
            return package

    def make_client(service: str, *, region: str) -> Any:
        assert region == REGION
        return WithEtag() if service == "sagemaker" else registry.s3

    beside = registry.folder
    pull_models([arn], models=shelf, beside=beside, make_client=make_client)
    registry.s3.put_object(Bucket=BUCKET, Key="bundles/classifier.tar.gz", Body=b"another")
    with pytest.raises(ModelMismatchError, match="has been replaced"):
        pull_models([arn], models=shelf, beside=beside, make_client=make_client)


def test_a_refusal_of_aws_says_what_the_role_needs(registry: Registry, shelf: Path) -> None:
    from botocore.stub import Stubber

    client = boto3.client("sagemaker", region_name=REGION)
    with Stubber(client) as stub:
        stub.add_client_error("describe_model_package", "AccessDeniedException", "not you")
        with pytest.raises(ConfigError, match="sagemaker:DescribeModelPackage"):
            pull_models(
                [NO_PACKAGE],
                models=shelf,
                beside=registry.folder,
                make_client=lambda service, *, region: client,
            )
    assert nothing_left(shelf)
