"""Parse a DICOM file and decide, by its own metadata, whether it is one frontal chest radiograph.

Sources: PS3.3 C.7.6.3 (Image Pixel), C.8.11 (DX), C.8.1 (CR); PS3.5 7.1 and A (encodings).
No message quotes a patient attribute; what it quotes of others is cut and made printable.
"""

import io
import re
import zlib
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from lambdas.shared.errors import (
    MissingTagError,
    ResourceLimitError,
    UnreadableImageError,
    UnsupportedImageError,
)
from lambdas.shared.limits import MAX_EXPANSION, MAX_FILE_BYTES, MAX_FRAMES
from lambdas.shared.sniff import DICOM_PREAMBLE_BYTES

RADIOGRAPH_MODALITIES: Final = frozenset({"CR", "DX", "DR", "RG"})
"""Computed and digital radiography (PS3.3 C.7.3.1.1.1), retired RG, and DR as some vendors write
it."""

UNDECIDED_MODALITIES: Final = frozenset({"", "OT", "SC"})
"""Say nothing; then the SOP class or the body part must say that this is a chest radiograph."""

CR_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.1"
DX_FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.1.1"
FOR_PROCESSING: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray
        "1.2.840.10008.5.1.4.1.1.1.2.1",  # Mammography
        "1.2.840.10008.5.1.4.1.1.1.3.1",  # Intra-oral
    }
)

_CHEST_WORDS: Final = ("CHEST", "THORA", "TORAX", "LUNG", "PECHO", "PULM", "POUMON", "TORACE")
_NOT_ONLY_CHEST: Final = ("ABD", "PELV")
"""Within a body part that names the chest: CHESTABDOMEN and the like are no chest film."""

_LATERAL_VIEWS: Final = frozenset(
    {"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO"}
    | {"LLD", "RLD", "LLDECUB", "RLDECUB", "DECUBITUS", "OBLIQUE", "OBL", "ML", "LM", "AXIAL"}
    | {"LORDOTIC", "TANGENTIAL"}
)
"""View Position (0018,5101) as CR (C.8.1.2) and DX (C.8.11.5) define it, and as devices write it:
what is not seen from the front or the back."""

_LATERAL_TEXT: Final = re.compile(
    r"\b(LAT|LATERAL|LATERALE|LATERALIS|PROFIL|PROFILE|PERFIL|SEITLICH|OBLIQUE|DECUBITUS)\b"
)
_FRONTAL_TEXT: Final = re.compile(r"\b(PA|AP|P\.A|A\.P|FRONTAL|POSTEROANTERIOR|DV)\b")

_QUOTE_CHARACTERS: Final = 40


def parse_dicom(data: bytes) -> FileDataset:
    """Read a data set, with or without preamble and meta information.

    Raises:
        UnreadableImageError: The bytes are not a data set.
        ResourceLimitError: A deflated data set expands too much.
    """
    try:
        return pydicom.dcmread(io.BytesIO(_inflated(data)), force=True)
    except (MemoryError, ResourceLimitError):
        raise
    except Exception as error:  # pydicom raises what it meets: also RecursionError
        raise UnreadableImageError(
            f"the file starts as DICOM but its data set cannot be read ({type(error).__name__})"
            "; it is truncated or damaged, send it again from the archive",
            code="broken_file",
        ) from error


def check_is_chest_radiograph(dataset: Dataset) -> None:
    """Let through what is, or may be, a single frontal chest radiograph for presentation.

    A blank body part or view is let through; a stated one must fit.

    Raises:
        UnsupportedImageError: The metadata says that it is something else.
    """
    modality = text(dataset, "Modality")
    if not any(keyword in dataset for keyword in _PIXEL_KEYWORDS):
        advice = (
            "no pixel data; the file is truncated, send it again from the archive"
            if modality in RADIOGRAPH_MODALITIES
            else "no image; send the radiograph itself, not a report, a directory or a recording"
        )
        raise UnsupportedImageError(
            f"this DICOM object (modality {quote(modality)}) has {advice}", code="no_pixels"
        )
    if modality not in RADIOGRAPH_MODALITIES | UNDECIDED_MODALITIES:
        raise _not_a_radiograph(modality)
    intent = text(dataset, "PresentationIntentType")
    if intent == "FOR PROCESSING" or text(dataset, "SOPClassUID") in FOR_PROCESSING:
        raise UnsupportedImageError(
            "this is the detector's raw image (FOR PROCESSING); send the processed one, "
            "FOR PRESENTATION, of the same exposure",
            code="not_for_presentation",
        )
    frames = integer(dataset, "NumberOfFrames")
    if frames is not None and frames > MAX_FRAMES:
        raise UnsupportedImageError(
            f"the object has {frames} frames; send one radiograph a file", code="multi_frame"
        )
    photometric = text(dataset, "PhotometricInterpretation")
    samples = integer(dataset, "SamplesPerPixel")
    if samples not in (None, 1) or photometric not in ("", "MONOCHROME1", "MONOCHROME2"):
        raise UnsupportedImageError(
            f"PhotometricInterpretation is {quote(photometric)} with {samples} samples a pixel, "
            "expected MONOCHROME1 or MONOCHROME2; send the original, not a colour capture",
            code="colour",
        )
    if modality in UNDECIDED_MODALITIES and not _says_chest_radiograph(dataset):
        raise _not_a_radiograph(modality)
    _check_body_part(dataset)
    _check_view(dataset)


def text(dataset: Dataset, keyword: str) -> str:
    """An attribute as upper-case text without padding; empty where absent or unreadable."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a malformed value says nothing
        return ""
    return "" if value is None else str(value).strip(" \0").upper()


def integer(dataset: Dataset, keyword: str) -> int | None:
    """An attribute as an integer; None where absent.

    Raises:
        UnreadableImageError: The value is no integer.
    """
    try:
        value = dataset.get(keyword)
        return None if value in (None, "") else int(value)
    except Exception as error:
        raise UnreadableImageError(
            f"{keyword} is no integer; the file is damaged, send it again from the archive",
            code="broken_file",
        ) from error


def required_integer(dataset: Dataset, keyword: str) -> int:
    """An attribute that pixels cannot be decoded without.

    Raises:
        MissingTagError: It is absent.
        UnreadableImageError: The value is no integer.
    """
    value = integer(dataset, keyword)
    if value is None:
        raise MissingTagError(
            f"{keyword} is missing, and pixels cannot be decoded without it; "
            "send the file again from the archive",
            code="missing_attribute",
        )
    return value


def quote(value: str) -> str:
    """A value fit for a message: printable, short, in quotation marks; `blank` where empty."""
    if not value:
        return "blank"
    printable = "".join(character if character.isprintable() else "?" for character in value)
    cut = printable[:_QUOTE_CHARACTERS]
    return f"'{cut}…'" if len(printable) > _QUOTE_CHARACTERS else f"'{cut}'"


_PIXEL_KEYWORDS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def _not_a_radiograph(modality: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"Modality is {quote(modality)}, expected a chest radiograph (CR or DX); "
        "route only those here",
        code="not_a_radiograph",
    )


def _says_chest_radiograph(dataset: Dataset) -> bool:
    """Whether SOP class or body part say what the modality leaves open."""
    return text(dataset, "SOPClassUID") in (CR_IMAGE, DX_FOR_PRESENTATION) or _names_chest(
        text(dataset, "BodyPartExamined")
    )


def _check_body_part(dataset: Dataset) -> None:
    part = text(dataset, "BodyPartExamined") or _first_meaning(dataset, "AnatomicRegionSequence")
    if part and not _names_chest(part):
        raise UnsupportedImageError(
            f"the body part is {quote(part)}, expected the chest; route only chest images here",
            code="other_body_part",
        )


def _names_chest(part: str) -> bool:
    plain = part.replace("Ó", "O").replace("Á", "A")
    return any(word in plain for word in _CHEST_WORDS) and not any(
        word in plain for word in _NOT_ONLY_CHEST
    )


def _check_view(dataset: Dataset) -> None:
    """View Position decides; where it is blank, the view code, the orientation, then free text."""
    position = text(dataset, "ViewPosition")
    if position:
        compact = re.sub(r"[^A-Z]", "", position)
        lateral = compact in _LATERAL_VIEWS or bool(_LATERAL_TEXT.search(position))
        source = f"ViewPosition is {quote(position)}"
    else:
        lateral, source = _lateral_by_other_attributes(dataset)
    if lateral:
        raise UnsupportedImageError(
            f"{source}, expected a frontal view (PA or AP); send the frontal image of the study",
            code="not_frontal",
        )


def _lateral_by_other_attributes(dataset: Dataset) -> tuple[bool, str]:
    """Whether attributes other than View Position say lateral, and which does."""
    meaning = _first_meaning(dataset, "ViewCodeSequence")
    if meaning:
        frontal = "ANTERIOR" in meaning and "POSTERIOR" in meaning and "OBLIQUE" not in meaning
        frontal = frontal or "ANTERO-POSTERIOR" in meaning or "POSTERO-ANTERIOR" in meaning
        if not frontal and re.search(r"LATERAL|OBLIQUE|AXIAL|TANGENTIAL", meaning):
            return True, f"the view code means {quote(meaning)}"
        return False, ""
    orientation = patient_orientation(dataset)
    if orientation and {orientation[0][:1], orientation[1][:1]} & {"A", "P"}:
        return True, f"PatientOrientation is {quote('/'.join(orientation))}, a view from the side"
    for keyword in ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription"):
        words = text(dataset, keyword).replace("_", " ")
        if _LATERAL_TEXT.search(words) and not _FRONTAL_TEXT.search(words):
            return True, f"{keyword} names a lateral or oblique view"
    return False, ""


def patient_orientation(dataset: Dataset) -> tuple[str, str] | None:
    """Patient Orientation (0020,0020): direction of the rows, of the columns; None where blank."""
    try:
        value = dataset.get("PatientOrientation")
        parts = [str(part).strip().upper() for part in value] if value else []
    except Exception:  # a malformed value says nothing
        return None
    if len(parts) != 2 or not all(re.fullmatch(r"[APRLHF]{1,3}", part) for part in parts):
        return None
    return parts[0], parts[1]


def _first_meaning(dataset: Dataset, keyword: str) -> str:
    """Code Meaning of the first item of a code sequence, upper case; empty where there is none."""
    try:
        items: Any = dataset.get(keyword) or []
        return text(items[0], "CodeMeaning") if len(items) else ""
    except Exception:  # a malformed sequence says nothing
        return ""


def _inflated(data: bytes) -> bytes:
    """The file itself; a deflated data set is expanded here, where its size can be bounded.

    pydicom would inflate without bound. PS3.5 A.5: all after the meta information is one raw
    deflate stream.
    """
    syntax, start = _transfer_syntax(data)
    if syntax != DeflatedExplicitVRLittleEndian:
        return data
    limit = min(MAX_FILE_BYTES, MAX_EXPANSION * len(data))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    expanded = inflater.decompress(data[start:], limit)
    if inflater.unconsumed_tail:
        raise ResourceLimitError(
            f"the deflated data set expands beyond {limit} bytes; no radiograph does, "
            "check how the file was made",
            code="decompression_ratio",
        )
    # a valid stream again, but stored without compression
    deflater = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    return data[:start] + deflater.compress(expanded) + deflater.flush()


def _transfer_syntax(data: bytes) -> tuple[str, int]:
    """Transfer Syntax UID of a file with preamble, and where its data set starts; PS3.10 7.1.

    Group 0002 is always explicit VR little endian. Empty where there is none.
    """
    syntax, position = "", DICOM_PREAMBLE_BYTES + 4
    while data[position : position + 2] == b"\x02\x00" and position + 12 <= len(data):
        element = int.from_bytes(data[position + 2 : position + 4], "little")
        if data[position + 4 : position + 6] in (b"OB", b"UN"):
            length = int.from_bytes(data[position + 8 : position + 12], "little")
            position += 12
        else:
            length = int.from_bytes(data[position + 6 : position + 8], "little")
            position += 8
        if element == 0x0010:
            syntax = data[position : position + length].rstrip(b" \0").decode("ascii", "replace")
        position += length
    return syntax, position
