"""Errors of a data set as a whole; a single bad study is an `Exclusion`, never an error.

ContractError
  DatasetError             the folder is not what training needs; nothing is trained
    MissingPartError           a file or folder of the published layout is absent
    MissingColumnError         master_table.csv lacks a column
    UnreadableAnnotationsError the JSON or the table cannot be parsed, or has another form
    MangledIdError             ids were read as numbers and written back
    PatientLeakError           a patient stands in more than one split
    EmptyDatasetError          every study was excluded
    StalePreparedError         a prepared folder does not fit this code, or is incomplete
"""

from lambdas.shared.errors import ContractError


class DatasetError(ContractError):
    """A data set that cannot be trained on or evaluated with."""


class MissingPartError(DatasetError):
    """A file or folder of the published layout is absent."""


class MissingColumnError(DatasetError):
    """master_table.csv lacks a column."""


class UnreadableAnnotationsError(DatasetError):
    """The JSON or the table cannot be parsed, or has another form than published."""


class MangledIdError(DatasetError):
    """Ids were read as numbers by some tool and written back: digits are lost."""


class PatientLeakError(DatasetError):
    """A patient stands in more than one split: every figure on test would be too good."""


class EmptyDatasetError(DatasetError):
    """No study is left to train on."""


class StalePreparedError(DatasetError):
    """A prepared folder is absent, incomplete, or from another version of the pipeline."""
