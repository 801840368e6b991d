"""The event says what became of an image, and cannot say whose it is."""

import json

import jsonschema
import pytest

from lambdas.shared.errors import ContractError
from lambdas.shared.events import EVENT_VERSION, event_validator, processed_event
from tests.lambdas.report.cases import PATIENT_KEY, analysed, film, rejected

ANALYSED = analysed(film(), probability=0.87)
REJECTED = rejected()


def uri(record, *, bucket="results-bucket", prefix="results"):
    return f"s3://{bucket}/{prefix}/{record['model_set']}/{record['image_id']}/record.json"


def test_an_analysed_image_is_told_with_its_label_and_its_record():
    assert processed_event(ANALYSED, record_uri=uri(ANALYSED)) == {
        "schema_version": "1.0.0",
        "image_id": ANALYSED["image_id"],
        "model_set": ANALYSED["model_set"],
        "status": "analysed",
        "label": "Abnormal",
        "positive": True,
        "record": uri(ANALYSED),
    }


def test_a_negative_image_is_told_as_well():
    record = analysed(film(), probability=0.2)
    event = processed_event(record, record_uri=uri(record))
    assert (event["label"], event["positive"]) == ("Normal", False)


def test_a_rejected_image_is_told_without_its_sentence():
    event = processed_event(REJECTED, record_uri=uri(REJECTED))
    assert (event["status"], event["label"], event["positive"]) == ("rejected", None, None)
    assert REJECTED["rejection"]["message"] not in json.dumps(event)


@pytest.mark.parametrize(
    "record_uri",
    [
        f"s3://results-bucket/results/{PATIENT_KEY}/record.json",  # a key in place of digests
        uri(ANALYSED, prefix="results/SMITH^JOHN"),  # a key besides them
        uri(ANALYSED, bucket="SMITH^JOHN"),  # no name of a bucket
        uri(ANALYSED) + f"?{PATIENT_KEY}",  # something appended
        uri(REJECTED | {"image_id": "0" * 32}),  # another image's record
        uri(ANALYSED).removeprefix("s3://"),  # no address
    ],
)
def test_an_address_that_could_name_a_patient_is_refused_without_being_quoted(record_uri):
    with pytest.raises(ContractError, match=r"\$\.record") as caught:
        processed_event(ANALYSED, record_uri=record_uri)
    assert "SMITH" not in str(caught.value)


def test_a_label_is_needed_exactly_where_the_image_was_analysed():
    event = processed_event(ANALYSED, record_uri=uri(ANALYSED))
    validator = event_validator()
    assert validator.is_valid(event)
    assert not validator.is_valid(event | {"label": None})
    assert not validator.is_valid(event | {"status": "rejected"})
    assert not validator.is_valid(event | {"key": PATIENT_KEY})


def test_the_schema_is_one_and_has_the_version_that_events_carry():
    schema = event_validator().schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:cxr-batch:event:{EVENT_VERSION}"
    assert schema["properties"]["schema_version"]["const"] == EVENT_VERSION
