"""A data set in S3: the same studies as on disk, and nothing fetched that is not needed."""

import pytest

from lambdas.shared.errors import StorageUnavailableError
from tests.training.builders import REPORTS_NAME, published
from training import sources
from training.data import load_dataset
from training.errors import MissingPartError
from training.explore_images import FilmJob, read_film
from training.prepare import prepare
from training.prepared import load_pixels

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

PREFIX = "gold/padchest-gr"


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A bucket that holds the fixture, an archive part, and the requests made to it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(
            Bucket="hospital", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        sources._s3_client.cache_clear()
        yield client
        sources._s3_client.cache_clear()


def _upload(client, files, folder):
    root = files.write(folder, zipped=True)
    for path in root.rglob("*"):
        if path.is_file():
            key = f"{PREFIX}/{path.relative_to(root).as_posix()}"
            client.upload_file(str(path), "hospital", key)
    client.put_object(
        Bucket="hospital", Key=f"{PREFIX}/Padchest_GR_files/PadChest_GR.zip.001", Body=b"PK"
    )
    return root


def _watch():
    """Requests for objects from now on: key and range."""
    requests = []

    def note(params, **_):
        requests.append((params["url_path"].rpartition("/")[2], params["headers"].get("Range")))

    sources._s3_client().meta.events.register("before-call.s3.GetObject", note)
    return requests


def test_the_studies_are_those_on_disk_and_only_ends_of_images_are_fetched(bucket, tmp_path):
    files = published()
    root = _upload(bucket, files, tmp_path)
    requests = _watch()
    dataset = load_dataset(f"s3://hospital/{PREFIX}/")
    local = load_dataset(root)
    assert [s.study_id for s in dataset.studies] == [s.study_id for s in local.studies]
    assert [s.boxes for s in dataset.studies] == [s.boxes for s in local.studies]
    first = dataset.studies[0]
    assert first.image == f"s3://hospital/{PREFIX}/PadChest_GR/{first.image_id}"
    whole = {name for name, part in requests if part is None}
    assert whole == {REPORTS_NAME, "master_table.csv.zip"}
    assert {(name, part) for name, part in requests if part} == {
        (name, "bytes=-12") for name in files.images
    }


def test_without_the_image_check_no_image_is_touched(bucket, tmp_path):
    _upload(bucket, published(), tmp_path)
    requests = _watch()
    load_dataset(f"s3://hospital/{PREFIX}", check_images=False)
    assert {name for name, _ in requests} == {REPORTS_NAME, "master_table.csv.zip"}


def test_bad_images_in_s3_are_excluded(bucket, tmp_path):
    files = published()
    truncated, missing, empty = (files.reports[i]["ImageID"] for i in range(3))
    files.images[truncated] = files.images[truncated][:-9]
    del files.images[missing]
    files.images[empty] = b""
    _upload(bucket, files, tmp_path)
    dataset = load_dataset(f"s3://hospital/{PREFIX}")
    reasons = {exclusion.image_id: exclusion.reason for exclusion in dataset.exclusions}
    assert set(reasons) == {truncated, missing, empty}
    assert "missing" in reasons[missing]
    assert "truncated" in reasons[truncated]


def test_preparing_from_s3_gives_the_same_pixels_and_resumes_by_etag(bucket, tmp_path):
    root = _upload(bucket, published(), tmp_path / "data")
    from_s3 = prepare(f"s3://hospital/{PREFIX}", tmp_path / "s3")
    from_disk = prepare(root, tmp_path / "disk")
    for one, other in zip(from_s3.studies, from_disk.studies, strict=True):
        assert (load_pixels(one) == load_pixels(other)).all()
    requests = _watch()
    prepare(f"s3://hospital/{PREFIX}", tmp_path / "s3")
    assert not [name for name, part in requests if name.endswith(".png") and part is None]


def test_an_image_in_s3_is_explored(bucket, tmp_path):
    _upload(bucket, published(), tmp_path)
    study = load_dataset(f"s3://hospital/{PREFIX}").studies[0]
    film = read_film(FilmJob(study.image_id, study.image))
    assert (film.error, film.width_px, film.height_px) == ("", 208, 240)


def test_a_prefix_without_the_data_set_and_a_missing_bucket_are_named(bucket):
    with pytest.raises(
        MissingPartError, match="s3://hospital/elsewhere/ holds no grounded_reports"
    ):
        load_dataset("s3://hospital/elsewhere")
    with pytest.raises(StorageUnavailableError, match="s3://nowhere/"):
        load_dataset("s3://nowhere")
