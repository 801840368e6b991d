"""Results as records give them."""

from cxr.results import Result
from lambdas.shared.records import Source
from tests.cxr.fakes import record_of


def result(key: str, kind: str = "abnormal") -> Result:
    source = Source(bucket=None, key=key, version=None, sha256="a" * 64)
    return Result.from_record(record_of(source, kind), folder=key)
