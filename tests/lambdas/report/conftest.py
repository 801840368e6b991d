"""A source in a study and the result of it, which the tests of DICOM outputs share."""

import pytest

from lambdas.batch.analyse import Analysis, Models
from lambdas.shared.isolated_reader import IsolatedReader
from tests.lambdas.report.dicom_cases import FORMATS, result, study_dicom


@pytest.fixture(scope="session")
def source() -> bytes:
    return study_dicom()


@pytest.fixture(scope="session")
def analysis(source: bytes, models: Models, reader: IsolatedReader) -> Analysis:
    made = result(source, models, reader, *FORMATS)
    assert made.record["triage"]["positive"]
    assert len(made.record["findings"]) == 2
    return made
