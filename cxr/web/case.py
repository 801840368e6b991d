"""One result as the page shows it, wherever it came from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cxr.reviews import Review
from cxr.stored_results import LoadedReview
from cxr.web.assessment import FindingsFrom
from lambdas.shared.radiograph import FloatImage
from lambdas.shared.records import Record


@dataclass(frozen=True)
class Reviewing:
    """Where reviews of a result are kept.

    Attributes:
        load: Fetches the review that is there now.
        save: Writes one over the content with a tag.
    """

    load: Callable[[], LoadedReview]
    save: Callable[[Review, str | None], None]


@dataclass(frozen=True)
class Case:
    """A result to look at.

    Attributes:
        name: Of the image, for the screen.
        record: Final.
        film: (H, W) in [0, 1]; None where there is none to show.
        film_note: Where the film is not what the models saw, what it is.
        files: Fetches each further file of the result, by name.
        classifier: Facts of the bundle that made the result; None where it is not at hand.
        detector: Likewise.
        findings_from: Asks the detector; None where there is no image to show it.
        reviewing: None where no review can be kept.
        why_no_review: What to say then.
    """

    name: str
    record: Record
    film: FloatImage | None
    film_note: str | None
    files: Mapping[str, Callable[[], bytes]]
    classifier: Mapping[str, Any] | None = None
    detector: Mapping[str, Any] | None = None
    findings_from: FindingsFrom | None = None
    reviewing: Reviewing | None = None
    why_no_review: str = field(default="")

    @property
    def id(self) -> str:
        """Names the result in keys of widgets."""
        return f"{self.record['model_set']}-{self.record['image_id']}"
