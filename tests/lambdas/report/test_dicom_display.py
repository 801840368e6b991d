"""The look of an image in a presentation state: numbers alone, malformed ones left out."""

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from lambdas.report.dicom_context import read_context
from lambdas.report.dicom_display import Display
from tests.builders import dicom
from tests.lambdas.report.dicom_cases import STUDY, study_dicom


def display(**attributes: Any) -> Display:
    with pydicom.config.disable_value_validation():
        return read_context(study_dicom(**attributes)).display


def lut(values: list[int], *, first: int = 0, bits: int = 16, **attributes: Any) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "OW", np.asarray(values, "<u2").tobytes())
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def numbers(item: Dataset) -> list[int]:
    return np.frombuffer(item.LUTData, "<u2").tolist()


def test_size_and_polarity() -> None:
    plain = display()
    assert (plain.columns, plain.rows, plain.inverse) == (280, 320, False)
    assert (len(plain.modality), plain.voi) == (0, None)
    assert display(PhotometricInterpretation="MONOCHROME1").inverse


def test_rescale_and_first_window() -> None:
    shown = display(
        RescaleSlope="0.5",
        RescaleIntercept="-100",
        RescaleType="SMITH^JOHN",
        WindowCenter=["924", "40"],
        WindowWidth=["2048", "400"],
        WindowCenterWidthExplanation=["SMITH^JOHN", "SOFT"],
    )
    assert (shown.modality.RescaleSlope, shown.modality.RescaleIntercept) == (0.5, -100)
    assert shown.modality.RescaleType == "US"
    assert shown.voi is not None
    assert (shown.voi.WindowCenter, shown.voi.WindowWidth) == (924, 2048)
    assert "SMITH" not in str(shown)


def test_tables_lose_their_explanations() -> None:
    values = [0, 256, 65535]
    shown = display(
        ModalityLUTSequence=[lut(values, ModalityLUTType="SMITH", LUTExplanation="SMITH")],
        VOILUTSequence=[lut(values, first=7, LUTExplanation="SMITH")],
    )
    (modality,), (voi,) = shown.modality.ModalityLUTSequence, shown.voi.VOILUTSequence
    assert numbers(modality) == numbers(voi) == values
    assert list(voi.LUTDescriptor) == [3, 7, 16]
    assert "SMITH" not in str(shown)


def test_table_of_bytes_is_spread_over_words() -> None:
    item = lut([], bits=8)
    item.LUTDescriptor = [3, 0, 8]
    item.LUTData = bytes([1, 2, 255, 0])  # three entries and a padding byte
    shown = display(VOILUTSequence=[item])
    assert numbers(shown.voi.VOILUTSequence[0]) == [1, 2, 255]


def test_table_of_an_implicit_file() -> None:
    data = dicom(syntax=ImplicitVRLittleEndian, VOILUTSequence=[lut([5, 6, 7, 8])], **STUDY)
    assert numbers(read_context(data).display.voi.VOILUTSequence[0]) == [5, 6, 7, 8]


def test_table_in_the_other_order_of_bytes_is_left_out() -> None:
    data = dicom(syntax=ExplicitVRBigEndian, VOILUTSequence=[lut([5, 6, 7, 8])], **STUDY)
    assert read_context(data).display.voi is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": "100"},
        {"WindowCenter": "100", "WindowWidth": "0"},
        {"WindowCenter": "100", "WindowWidth": "0.5"},  # LINEAR needs at least 1
        {"WindowCenter": "100", "WindowWidth": "50", "VOILUTFunction": "CUBIC"},
        {"VOILUTSequence": []},
        {"VOILUTSequence": [Dataset()]},
        {"VOILUTSequence": [lut([1, 2], bits=32)]},
    ],
)
def test_malformed_window_is_left_out(attributes: dict[str, Any]) -> None:
    assert display(**attributes).voi is None


def test_functions_of_a_window() -> None:
    for function in ("SIGMOID", "LINEAR_EXACT"):
        shown = display(WindowCenter="100", WindowWidth="0.5", VOILUTFunction=function)
        assert shown.voi.VOILUTFunction == function
    assert "VOILUTFunction" not in display(WindowCenter="1", WindowWidth="5").voi


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": "0", "RescaleIntercept": "1"},
        {"RescaleIntercept": "1"},
        {"ModalityLUTSequence": [lut([1, 2], bits=4)]},
    ],
)
def test_malformed_modality_lut_is_left_out(attributes: dict[str, Any]) -> None:
    assert len(display(**attributes).modality) == 0


@pytest.mark.parametrize(
    ("attributes", "ratio"),
    [
        ({}, (1, 1)),
        ({"PixelSpacing": ["0.2", "0.1"]}, (2, 1)),  # rows twice as far apart: high pixels
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": ["3", "4"]}, (3, 4)),
        ({"PixelSpacing": ["0.139", "0.1390000001"]}, (1, 1)),
        ({"PixelSpacing": ["0", "0.1"]}, (1, 1)),
        ({"PixelSpacing": ["900", "0.1"]}, (1, 1)),
    ],
)
def test_shape_of_a_pixel(attributes: dict[str, Any], ratio: tuple[int, int]) -> None:
    assert display(**attributes).aspect_ratio == ratio


def test_what_is_kept_can_be_written() -> None:
    shown = display(VOILUTSequence=[lut([1, 2, 3])], RescaleSlope="1", RescaleIntercept="0")
    stream = io.BytesIO()
    state = FileDataset(stream, {})
    state.update({element.tag: element for element in shown.modality})
    state.SoftcopyVOILUTSequence = [shown.voi]
    state.save_as(stream, implicit_vr=False, little_endian=True)
    again = pydicom.dcmread(io.BytesIO(stream.getvalue()), force=True)
    assert again.SoftcopyVOILUTSequence[0].VOILUTSequence[0].LUTDescriptor == [3, 0, 16]
