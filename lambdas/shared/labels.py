"""The labels of the project's own models and the public concepts behind them.

A bundle carries its labels and codes itself (model.json); this table is what training and export
fill them from. A label has a code only where a source names the same concept; a broader or a
contradicted code is worse than none. Of several, the first in this order is taken, because results
leave as DICOM and FHIR: SNOMED CT (`SCT`), DICOM's own (`DCM`), UMLS (`UMLS`).

Sources:
    SCT and DCM: DICOM PS3.16, context groups 242 (normal, abnormal) and 6102 (chest findings), as
        in pydicom's concept dictionary; pleural effusion from context group 645. Scoliosis from a
        public FHIR test set that quotes SNOMED CT.
    UMLS: the concepts that PadChest's authors gave their labels (Bustos et al. 2020), as published
        with github.com/auriml/Rx-thorax-automatic-captioning.

Laminar atelectasis is read as SNOMED CT's plate-like atelectasis, its synonym in radiology.
Cardiomegaly has a UMLS concept because public sources contradict each other on its SNOMED CT code.
None: only a broader concept was found (apical pleural thickening, vascular hilar enlargement), or
only narrower ones (aortic elongation).
"""

from typing import Final

from lambdas.shared.findings import Code

NORMAL: Final = "Normal"
ABNORMAL: Final = "Abnormal"

TRIAGE_LABELS: Final = (NORMAL, ABNORMAL)
"""Of the classifier, in the order of its outputs."""

FINDING_CODES: Final[dict[str, Code | None]] = {
    "Air trapping": Code("SCT", "76171001", "Air trapping"),
    "Alveolar pattern": Code("UMLS", "C1332240", "Abnormal alveolar pattern"),
    "Aortic atheromatosis": Code("UMLS", "C1096249", "Calcification of the aorta"),
    "Aortic elongation": None,
    "Apical pleural thickening": None,
    "Cardiomegaly": Code("UMLS", "C0018800", "Cardiomegaly"),
    "Costophrenic angle blunting": Code("UMLS", "C0742855", "COSTOPHRENIC ANGLE OBLITERATED"),
    "Interstitial pattern": Code("DCM", "112004", "Abnormal interstitial pattern"),
    "Laminar atelectasis": Code("SCT", "40779009", "Discoid atelectasis"),
    "Pleural effusion": Code("SCT", "60046008", "Pleural effusion"),
    "Scoliosis": Code("SCT", "298382003", "Scoliosis deformity of spine"),
    "Vascular hilar enlargement": None,
    "Vertebral degenerative changes": Code(
        "UMLS", "C4290224", "arthrosis or osteoarthritis of spine"
    ),
}
"""The 13 findings with enough boxes in PadChest-GR to train on."""

TRIAGE_CODES: Final[dict[str, Code | None]] = {
    NORMAL: Code("SCT", "17621005", "Normal"),
    ABNORMAL: Code("SCT", "263654008", "Abnormal"),
}

CODES: Final[dict[str, Code | None]] = FINDING_CODES | TRIAGE_CODES
"""Every label that any model of the project gives."""

_FOUR: Final = ("Aortic atheromatosis", "Aortic elongation", "Cardiomegaly", "Scoliosis")
_FIVE: Final = (*_FOUR, "Vertebral degenerative changes")
_EIGHT: Final = (
    *_FIVE,
    "Apical pleural thickening",
    "Pleural effusion",
    "Vascular hilar enlargement",
)

DETECTOR_LABELS: Final[dict[int, tuple[str, ...]]] = {
    4: tuple(sorted(_FOUR)),
    5: tuple(sorted(_FIVE)),
    8: tuple(sorted(_EIGHT)),
    13: tuple(sorted(FINDING_CODES)),
}
"""Labels of the detectors by their number, in the order of label ids 1, 2, …; 0 is background."""
