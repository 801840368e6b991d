import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lambdas.shared.errors import InputError
from lambdas.shared.read import read_radiograph
from tests.builders import PATIENT_NAME, chest_dataset, dicom, film, png, saved, to_8_bit
from training.dicom_encoding import encapsulate_frame, encode_frame

FILM = film()
REFERENCE = read_radiograph(png((FILM << 4).astype(np.uint16))).pixels

LOSSLESS_SYNTAXES = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
]
LOSSY_SYNTAXES = [
    uid.JPEGExtended12Bit,
    uid.JPEGLSNearLossless,
    uid.JPEG2000,
    uid.HTJ2K,
]


@pytest.mark.parametrize("syntax", LOSSLESS_SYNTAXES, ids=lambda value: value.keyword)
def test_lossless_transfer_syntax_gives_the_same_pixels(syntax: uid.UID) -> None:
    radiograph = read_radiograph(dicom(FILM, syntax=syntax))
    assert np.abs(radiograph.pixels - REFERENCE).max() < 1e-5
    assert radiograph.facts.transfer_syntax == syntax


@pytest.mark.parametrize("syntax", LOSSY_SYNTAXES, ids=lambda value: value.keyword)
def test_lossy_transfer_syntax_gives_nearly_the_same_pixels(syntax: uid.UID) -> None:
    radiograph = read_radiograph(dicom(FILM, syntax=syntax))
    assert np.abs(radiograph.pixels - REFERENCE).mean() < 0.01


def test_8_bit_baseline_jpeg() -> None:
    data = dicom(to_8_bit(FILM), bits=8, syntax=uid.JPEGBaseline8Bit)
    assert np.abs(read_radiograph(data).pixels - REFERENCE).mean() < 0.01


@pytest.mark.parametrize(
    "syntax",
    [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian],
    ids=lambda value: value.keyword,
)
def test_file_without_preamble(syntax: uid.UID) -> None:
    radiograph = read_radiograph(dicom(FILM, syntax=syntax, preamble=False))
    assert np.abs(radiograph.pixels - REFERENCE).max() < 1e-5


def signed() -> bytes:
    return dicom(FILM.astype(np.int16) - 2048, bits=12)


def signed_with_overlay_bits() -> bytes:
    samples = (FILM.astype(np.int16) - 2048).view(np.uint16) & 0x0FFF
    samples[::7] |= 0x8000  # an overlay in the high bits, as old CR readers wrote it
    return dicom(samples, bits=12, PixelRepresentation=1)


def high_bit_at_top() -> bytes:
    return dicom((FILM << 4).astype(np.uint16), bits=12, HighBit=15)


def monochrome1() -> bytes:
    return dicom((4095 - FILM).astype(np.uint16), PhotometricInterpretation="MONOCHROME1")


def rescaled_and_windowed() -> bytes:
    return dicom(
        FILM,
        RescaleSlope="0.5",
        RescaleIntercept="-100",
        RescaleType="US",
        WindowCenter=["900", "1"],  # the second window would show nothing
        WindowWidth=["2400", "2"],
    )


def windowed_exactly() -> bytes:
    return dicom(FILM, WindowCenter="2048", WindowWidth="4096", VOILUTFunction="LINEAR_EXACT")


def modality_lut() -> bytes:
    table = (np.arange(4096) * 16).astype(np.uint16)
    return dicom(FILM, ModalityLUTSequence=lut_sequence(table, modality=True))


def voi_lut() -> bytes:
    table = (np.arange(4096) * 16).astype(np.uint16)
    return dicom(FILM, VOILUTSequence=lut_sequence(table), WindowCenter="1", WindowWidth="1")


def voi_lut_after_rescale() -> bytes:
    table = (np.arange(4096) * 16).astype(np.uint16)
    return dicom(FILM, RescaleSlope="1", RescaleIntercept="0", VOILUTSequence=lut_sequence(table))


def useless_window() -> bytes:
    """A window far above every value shows one grey; worse than no window."""
    return dicom(FILM, WindowCenter="60000", WindowWidth="10")


def malformed_window() -> bytes:
    return dicom(FILM, WindowCenter="2048", WindowWidth="0")


def lut_sequence(table: np.ndarray, *, modality: bool = False) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(table), 0, 16]
    item["LUTDescriptor"].VR = "US"
    if modality:
        item.ModalityLUTType = "US"
    item.LUTData = table.tobytes()
    item["LUTData"].VR = "OW"
    return Sequence([item])


@pytest.mark.parametrize(
    "make",
    [
        signed,
        signed_with_overlay_bits,
        high_bit_at_top,
        monochrome1,
        rescaled_and_windowed,
        windowed_exactly,
        modality_lut,
        voi_lut,
        voi_lut_after_rescale,
        useless_window,
        malformed_window,
    ],
)
def test_one_film_however_it_is_stored(make) -> None:
    assert np.abs(read_radiograph(make()).pixels - REFERENCE).max() < 0.005


def test_sigmoid_window_bends_the_contrast_but_keeps_its_order() -> None:
    data = dicom(FILM, WindowCenter="1800", WindowWidth="1500", VOILUTFunction="SIGMOID")
    pixels = read_radiograph(data).pixels
    order = np.argsort(REFERENCE, axis=None)[::997]
    assert (np.diff(pixels.ravel()[order]) >= -1e-5).all()
    assert np.abs(pixels - REFERENCE).mean() > 0.02


def test_padding_is_dark_and_leaves_the_rest_alone() -> None:
    padded = FILM.copy()
    padded[:, :60] = 4095
    plain = FILM.copy()
    plain[:, :60] = 0
    data = dicom(padded, PixelPaddingValue=4095, PixelPaddingRangeLimit=4095)
    assert np.abs(read_radiograph(data).pixels - read_radiograph(dicom(plain)).pixels).max() < 0.02


@pytest.mark.parametrize("border", [0, 4095])
def test_collimation_does_not_set_the_contrast(border: int) -> None:
    """A third of the image within shutters, black or white, and still the same greys inside."""
    shuttered = np.full((480, 420), border, np.uint16)
    shuttered[80:400, 70:350] = FILM
    inside = read_radiograph(dicom(shuttered)).pixels[80:400, 70:350]
    assert np.abs(inside - REFERENCE).mean() < 0.01


def test_jpeg2000_of_a_large_film_is_decoded_at_half_size() -> None:
    large = np.kron(FILM, np.ones((9, 9), np.uint16))
    radiograph = read_radiograph(dicom(large, syntax=uid.JPEG2000Lossless))
    native = read_radiograph(dicom(large))
    assert radiograph.facts.height_px == large.shape[0]
    assert radiograph.pixels.shape == native.pixels.shape
    assert np.abs(radiograph.pixels - native.pixels).mean() < 0.01


def test_jpeg2000_signed_at_half_size() -> None:
    large = np.kron(FILM, np.ones((9, 9), np.uint16)).astype(np.int16) - 2048
    radiograph = read_radiograph(dicom(large, syntax=uid.JPEG2000Lossless))
    assert np.abs(radiograph.pixels - read_radiograph(dicom(large)).pixels).mean() < 0.01


def test_native_pixels_under_a_compressed_transfer_syntax() -> None:
    """Some archives decompress and leave the old transfer syntax in the meta information."""
    dataset = chest_dataset(FILM)
    data = saved(dataset)
    data = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    assert np.abs(read_radiograph(data).pixels - REFERENCE).max() < 1e-5


def test_facts_are_those_of_the_file() -> None:
    facts = read_radiograph(dicom(FILM, PixelSpacing=[0.15, 0.14])).facts
    assert (facts.view, facts.patient_orientation) == ("PA", ("L", "F"))
    assert facts.pixel_spacing_mm == (0.15, 0.14)
    assert facts.bits_stored == 12


@pytest.mark.parametrize(
    "attributes",
    [
        {"BodyPartExamined": None},
        {"BodyPartExamined": "THORAX"},
        {"BodyPartExamined": "CHEST PORTABLE"},
        {"ViewPosition": None},
        {"ViewPosition": ""},
        {"ViewPosition": "AP"},
        {"PresentationIntentType": None},
        {"Modality": "CR"},
        {"Modality": "OT"},  # the SOP class says DX, the body part says chest
        {"Modality": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"PatientOrientation": None},
        {"ViewPosition": "", "SeriesDescription": "CHEST PA AND LATERAL"},  # names the study
        {"ViewPosition": "PA", "SeriesDescription": "LATERAL"},  # the attribute outranks free text
        {"NumberOfFrames": "1"},
    ],
)
def test_frontal_chest_radiograph_is_let_through(attributes: dict[str, str]) -> None:
    assert read_radiograph(dicom(FILM, **attributes)).pixels.shape == FILM.shape


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"Modality": "CT"}, "not_a_radiograph"),
        ({"Modality": "MG"}, "not_a_radiograph"),
        ({"Modality": "OT", "BodyPartExamined": None, "SOPClassUID": "1.2.3"}, "not_a_radiograph"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "not_for_presentation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, "not_for_presentation"),
        ({"NumberOfFrames": "3"}, "multi_frame"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"BodyPartExamined": "HAND"}, "other_body_part"),
        ({"BodyPartExamined": "CHESTABDOMEN"}, "other_body_part"),
        ({"ViewPosition": "LL"}, "not_frontal"),
        ({"ViewPosition": "LATERAL"}, "not_frontal"),
        ({"ViewPosition": "RAO"}, "not_frontal"),
        ({"ViewPosition": "", "PatientOrientation": ["A", "F"]}, "not_frontal"),
        ({"ViewPosition": "", "SeriesDescription": "Chest Lat"}, "not_frontal"),
        ({"PixelData": None}, "no_pixels"),
        ({"Rows": None}, "missing_attribute"),
        ({"BitsAllocated": None}, "missing_attribute"),
        ({"BitsAllocated": 12}, "unsupported_pixels"),
        ({"Rows": 330}, "broken_file"),  # more rows than there are pixels
        ({"Rows": 60000, "Columns": 60000}, "too_many_pixels"),
        ({"Rows": 100, "Columns": 100}, "too_small"),
    ],
)
def test_anything_else_is_rejected_with_its_reason(
    attributes: dict[str, object], code: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_radiograph(dicom(FILM, **attributes))
    assert caught.value.code == code
    assert PATIENT_NAME not in caught.value.message
    assert ";" in caught.value.message  # what is wrong; what to do


def test_lateral_by_view_code() -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "R-10236", "SRT", "left lateral"
    with pytest.raises(InputError) as caught:
        read_radiograph(dicom(FILM, ViewPosition="", ViewCodeSequence=Sequence([item])))
    assert caught.value.code == "not_frontal"


def test_other_body_part_by_its_code() -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "T-D8700", "SRT", "Hand"
    with pytest.raises(InputError) as caught:
        read_radiograph(dicom(FILM, BodyPartExamined="", AnatomicRegionSequence=Sequence([item])))
    assert caught.value.code == "other_body_part"


def test_unknown_transfer_syntax_names_itself() -> None:
    data = dicom(FILM, syntax=uid.JPEGLSLossless)
    data = data.replace(b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.99")
    with pytest.raises(InputError, match="convert the file") as caught:
        read_radiograph(data)
    assert caught.value.code == "unsupported_transfer_syntax"


def test_codestream_that_contradicts_the_attributes_is_not_decoded() -> None:
    data = dicom(FILM, syntax=uid.JPEG2000Lossless, Rows=300)
    with pytest.raises(InputError, match="the codestream has 280 x 320") as caught:
        read_radiograph(data)
    assert caught.value.code == "broken_file"


COMPRESSED = [syntax for syntax in LOSSLESS_SYNTAXES + LOSSY_SYNTAXES if syntax.is_compressed]


@pytest.mark.parametrize("part", [0.3, 0.7, 0.98])
@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda value: value.keyword)
def test_half_a_codestream_is_never_taken_for_an_image(syntax: uid.UID, part: float) -> None:
    """libjpeg and OpenJPH fill what is missing with grey and say nothing."""
    if syntax.is_deflated:
        data = dicom(FILM, syntax=syntax)
        half = data[: int(len(data) * part)]
    else:
        frame = encode_frame(FILM, syntax, bits=12)
        dataset = chest_dataset(FILM)
        encapsulate_frame(dataset, frame[: int(len(frame) * part)])
        half = saved(dataset, syntax=syntax)
    with pytest.raises(InputError) as caught:
        read_radiograph(half)
    assert caught.value.code == "broken_file"


def test_half_an_8_bit_jpeg() -> None:
    frame = encode_frame(to_8_bit(FILM), uid.JPEGBaseline8Bit, bits=8)
    dataset = chest_dataset(to_8_bit(FILM), bits=8)
    encapsulate_frame(dataset, frame[: len(frame) // 2])
    with pytest.raises(InputError, match="cannot be decoded"):
        read_radiograph(saved(dataset, syntax=uid.JPEGBaseline8Bit))


def test_truncated_file() -> None:
    with pytest.raises(InputError) as caught:
        read_radiograph(dicom(FILM)[:40_000])
    assert caught.value.code == "broken_file"
