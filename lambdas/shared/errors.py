"""Every error this project raises on purpose.

    CxrError
      InputError             this image or request is bad; never retry
        UnreadableImageError     not an image, or broken bytes
        UnsupportedImageError    readable, but not a frontal chest radiograph for presentation
        MissingTagError          a DICOM attribute that decoding needs is absent
        ResourceLimitError       would cost more bytes, pixels, memory or time than an image may
        InvalidRequestError      the caller's request, not the image
      TransientError         the same call may work later
        StorageUnavailableError
        ThrottledError
        OutOfTimeError           the next invocation has more
      ContractError          we shipped something inconsistent; alarm
        ModelMismatchError       a bundle and its graph or digest disagree
        ConfigError
        ParityError

Class names are API: Step Functions matches them case-sensitively and without inheritance.
An `InputError` about an image becomes a rejected record; its `code` stands in that record.
"""

from typing import Final


class CxrError(Exception):
    """Anything this project raises on purpose."""


class InputError(CxrError):
    """This image or request is bad and will be bad next time; never retry.

    Args:
        message: What, value, expected, remedy: a sentence a person can act on.
        code: Reason code of the rejection, one of `REJECTION_CODES`.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        if code not in REJECTION_CODES:
            raise ContractError(f"rejection code {code!r} is not in errors.REJECTION_CODES; add it")
        self.code = code

    @property
    def message(self) -> str:
        """The sentence, without the code."""
        return str(self.args[0])


class UnreadableImageError(InputError):
    """The bytes are not an image, or are broken."""


class UnsupportedImageError(InputError):
    """The bytes are readable, but are not a frontal chest radiograph for presentation."""


class MissingTagError(InputError):
    """A DICOM attribute that decoding needs is absent."""


class ResourceLimitError(InputError):
    """The image would cost more bytes, pixels, memory or time than one image may."""


class InvalidRequestError(InputError):
    """The request is wrong, whatever the image."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="invalid_request")


class TransientError(CxrError):
    """The same call may work later."""


class StorageUnavailableError(TransientError):
    """Storage answered with a server error, or not at all."""


class ThrottledError(TransientError):
    """A service asked to slow down."""


class OutOfTimeError(TransientError):
    """Too little time is left to finish an image, so it was not begun."""


class ContractError(CxrError):
    """We shipped something inconsistent; retrying cannot help, and somebody must be told."""


class ModelMismatchError(ContractError):
    """A bundle's model.json and its model.onnx do not belong together."""


class ConfigError(ContractError):
    """Settings are missing, unknown or out of range."""


class ParityError(ContractError):
    """Two forms of one model give different answers."""


RETRYABLE: Final[tuple[type[TransientError], ...]] = (
    StorageUnavailableError,
    ThrottledError,
    OutOfTimeError,
)
"""What a retry may cure; queue handlers and the archive's state machine read this one list."""

PERMANENT: Final[tuple[type[CxrError], ...]] = (
    UnreadableImageError,
    UnsupportedImageError,
    MissingTagError,
    ResourceLimitError,
    InvalidRequestError,
    ModelMismatchError,
    ConfigError,
    ParityError,
)
"""What no retry can cure."""

REJECTION_CODES: Final[dict[str, str]] = {
    "empty_file": "the file has no bytes",
    "not_an_image": "the content is no image format we read",
    "compressed_archive": "the content is gzip, zip or another archive, not the image itself",
    "unsupported_format": "an image format that radiographs do not come in",
    "broken_file": "the content starts as an image but cannot be decoded",
    "missing_attribute": "a DICOM attribute that decoding needs is absent",
    "unsupported_transfer_syntax": "the DICOM transfer syntax has no decoder here",
    "no_pixels": "a DICOM object without an image",
    "not_a_radiograph": "the modality is not projection radiography",
    "not_for_presentation": "a detector's raw image, not yet processed for display",
    "multi_frame": "more than one frame",
    "colour": "colour, where a radiograph is grey",
    "unsupported_pixels": "a pixel layout no radiograph has",
    "other_body_part": "the body part is not the chest",
    "not_frontal": "the view is not frontal",
    "too_small": "too few pixels to assess",
    "blank_image": "all pixels have (almost) one value",
    "too_many_bytes": "the file is larger than the limit",
    "too_many_pixels": "the image has more pixels than the limit",
    "decompression_ratio": "the file expands more than the limit",
    "decode_time": "decoding took longer than the limit and was stopped",
    "decode_memory": "decoding needed more memory than the limit",
    "decoder_crashed": "the decoder died on this file",
    "invalid_request": "the request, not the image",
}
"""Reason codes of rejected records, each with what it means; part of the record's contract."""
