"""The findings that can be drawn: label, group, place, and what a report says of them.

Labels are PadChest's fine labels (lower case); groups are PadChest-GR's `label_group`.
Source: Bustos et al. 2020 (PadChest), Castro et al. 2024 (PadChest-GR).
"""

from dataclasses import dataclass

AORTIC_ATHEROMATOSIS = "aortic atheromatosis"
AORTIC_ELONGATION = "aortic elongation"
CARDIOMEGALY = "cardiomegaly"
SCOLIOSIS = "scoliosis"
VERTEBRAL_DEGENERATION = "vertebral degenerative changes"
APICAL_THICKENING = "apical pleural thickening"
PLEURAL_EFFUSION = "pleural effusion"
HILAR_ENLARGEMENT = "vascular hilar enlargement"
AIR_TRAPPING = "air trapping"
ALVEOLAR_PATTERN = "alveolar pattern"
COSTOPHRENIC_BLUNTING = "costophrenic angle blunting"
INTERSTITIAL_PATTERN = "interstitial pattern"
LAMINAR_ATELECTASIS = "laminar atelectasis"
NODULE = "nodule"
PACEMAKER = "pacemaker"
RIB_CALLUS = "callus rib fracture"
DIAPHRAGM_ELEVATION = "hemidiaphragm elevation"
STERNOTOMY = "sternotomy"

PRIMARY = (AORTIC_ATHEROMATOSIS, AORTIC_ELONGATION, CARDIOMEGALY, SCOLIOSIS)
"""The four classes of the primary detector."""

THIRTEEN = (
    *PRIMARY,
    VERTEBRAL_DEGENERATION,
    APICAL_THICKENING,
    PLEURAL_EFFUSION,
    HILAR_ENLARGEMENT,
    AIR_TRAPPING,
    ALVEOLAR_PATTERN,
    COSTOPHRENIC_BLUNTING,
    INTERSTITIAL_PATTERN,
    LAMINAR_ATELECTASIS,
)
"""The classes of the largest detector."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the tables and reports say of one label.

    Attributes:
        group: PadChest-GR's label_group.
        frequency: Chance that an abnormal study carries it, drawn independently.
        older: How much the chance grows with age: 0 not at all, 1 from half to one and a half.
        reader_iou: Mean overlap of the two readers' boxes. Published for aortic elongation,
            cardiomegaly, scoliosis, aortic atheromatosis, pleural effusion and nodule
            (Castro et al. 2024); a plausible value for the rest.
        english: Sentence; {side} becomes " right", " left", " bilateral" or "".
        spanish: Sentence; {side} likewise.
        places: PadChest locations, without the side.
    """

    group: str
    frequency: float
    older: float
    reader_iou: float
    english: str
    spanish: str
    places: tuple[str, ...]


ENTRIES = {
    AORTIC_ATHEROMATOSIS: Entry(
        "aortic atheromatosis", 0.28, 0.8, 0.44,
        "Calcified atheroma plaques in the aortic arch.",
        "Placas de ateroma calcificadas en cayado aórtico.",
        ("aortic button",),
    ),
    AORTIC_ELONGATION: Entry(
        "aortic elongation", 0.34, 0.7, 0.63,
        "Elongated aorta.",
        "Elongación aórtica.",
        ("aortic", "mediastinum"),
    ),
    CARDIOMEGALY: Entry(
        "cardiomegaly", 0.34, 0.5, 0.69,
        "Cardiomegaly.",
        "Cardiomegalia.",
        ("cardiac",),
    ),
    SCOLIOSIS: Entry(
        "scoliosis", 0.28, 0.2, 0.65,
        "Scoliosis of the dorsal spine.",
        "Escoliosis de la columna dorsal.",
        ("dorsal vertebrae",),
    ),
    VERTEBRAL_DEGENERATION: Entry(
        "vertebral degenerative changes", 0.14, 0.9, 0.45,
        "Degenerative changes of the dorsal spine with osteophytes.",
        "Cambios degenerativos en columna dorsal con osteofitos.",
        ("dorsal vertebrae",),
    ),
    APICAL_THICKENING: Entry(
        "pleural thickening", 0.12, 0.3, 0.45,
        "Apical{side} pleural thickening.",
        "Engrosamiento pleural apical{side}.",
        ("apical",),
    ),
    PLEURAL_EFFUSION: Entry(
        "pleural effusion", 0.15, 0.3, 0.39,
        "Pleural effusion{side}.",
        "Derrame pleural{side}.",
        ("pleural",),
    ),
    HILAR_ENLARGEMENT: Entry(
        "vascular hilar enlargement", 0.12, 0.3, 0.45,
        "Hilar enlargement of vascular appearance{side}.",
        "Aumento hiliar de aspecto vascular{side}.",
        ("hilar",),
    ),
    AIR_TRAPPING: Entry(
        "hyperinflated lung", 0.12, 0.5, 0.60,
        "Signs of air trapping with flattened diaphragms.",
        "Signos de atrapamiento aéreo con aplanamiento diafragmático.",
        ("lung field",),
    ),
    ALVEOLAR_PATTERN: Entry(
        "alveolar pattern", 0.13, 0.0, 0.50,
        "Alveolar opacity{side}.",
        "Infiltrado alveolar{side}.",
        ("lung field",),
    ),
    COSTOPHRENIC_BLUNTING: Entry(
        "pleural effusion", 0.12, 0.3, 0.35,
        "Blunting of the costophrenic angle{side}.",
        "Pinzamiento del seno costofrénico{side}.",
        ("costophrenic angle",),
    ),
    INTERSTITIAL_PATTERN: Entry(
        "interstitial pattern", 0.12, 0.4, 0.50,
        "Interstitial pattern{side}, predominantly basal.",
        "Patrón intersticial{side} de predominio basal.",
        ("basal",),
    ),
    LAMINAR_ATELECTASIS: Entry(
        "atelectasis", 0.13, 0.3, 0.40,
        "Laminar atelectasis{side}.",
        "Atelectasia laminar{side}.",
        ("basal",),
    ),
    NODULE: Entry(
        "nodule", 0.06, 0.2, 0.32,
        "Pulmonary nodule{side}.",
        "Nódulo pulmonar{side}.",
        ("lung field",),
    ),
    PACEMAKER: Entry(
        "electrical device", 0.04, 0.9, 0.60,
        "Pacemaker with its lead in the right ventricle.",
        "Marcapasos con electrodo en ventrículo derecho.",
        ("cardiac",),
    ),
    RIB_CALLUS: Entry(
        "fracture", 0.04, 0.4, 0.40,
        "Old rib fracture with callus{side}.",
        "Fractura costal antigua con callo{side}.",
        ("rib",),
    ),
    DIAPHRAGM_ELEVATION: Entry(
        "hemidiaphragm elevation", 0.05, 0.2, 0.50,
        "Elevation of the hemidiaphragm{side}.",
        "Elevación del hemidiafragma{side}.",
        ("diaphragm",),
    ),
    STERNOTOMY: Entry(
        "Other Entities", 0.04, 0.6, 0.55,
        "Median sternotomy wires.",
        "Cerclajes de esternotomía media.",
        ("sternum",),
    ),
}  # fmt: skip
"""Every label that can be drawn."""

NORMAL_SENTENCES = (
    ("No pathological findings.", "Sin hallazgos patológicos."),
    ("Cardiomediastinal silhouette within normal limits.", "Silueta cardiomediastínica normal."),
    ("Clear lung fields.", "Campos pulmonares sin alteraciones."),
    ("Free costophrenic angles.", "Senos costofrénicos libres."),
)
"""Sentences of a normal study; findings that are not abnormal carry only these two keys."""

SIDE_ENGLISH = {"right": " right", "left": " left", "both": " bilateral", "": ""}
SIDE_SPANISH = {"right": " derecho", "left": " izquierdo", "both": " bilateral", "": ""}
