"""Parts of the studies that figures are given for: sex, age band, view."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from training.studies import Study

AGE_BANDS: Final = ((0, 39), (40, 59), (60, 79), (80, 150))
"""Years, both ends included."""

NOT_RECORDED: Final = "not recorded"


def age_band(age: int | None) -> str | None:
    """Such as `60 to 79`; None where the age is unknown or out of range."""
    for low, high in AGE_BANDS:
        if age is not None and low <= age <= high:
            if high == AGE_BANDS[-1][1]:
                return f"{low} and over"
            return f"{low} to {high}" if low else f"under {high + 1}"
    return None


_ATTRIBUTES: Final[dict[str, Callable[[Study], str | None]]] = {
    "sex": lambda study: study.sex,
    "age": lambda study: age_band(study.age),
    "view": lambda study: study.view,
}


def subgroups(studies: Sequence[Study]) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    """Attribute, value and (N,) membership of every part that has a study.

    Each attribute's values come in order (the youngest first), unknown ones last.
    """
    for attribute, value_of in _ATTRIBUTES.items():
        values = [value_of(study) or NOT_RECORDED for study in studies]

        def order(value: str) -> tuple[bool, bool, str]:
            return value == NOT_RECORDED, not value.startswith("under"), value

        for value in sorted(set(values), key=order):
            yield attribute, value, np.asarray([own == value for own in values])
