"""Labeled images in the formats of other tools.

Each is a member of `LABEL_FORMATS`, named as `lfkit export --as` takes it.
"""

from lfkit.data.label_files.class_folders import ClassFolders
from lfkit.data.label_files.fiftyone import FiftyOne
from lfkit.data.label_files.hugging_face import HuggingFace
from lfkit.data.label_files.label_format import ImagesToExport as ImagesToExport
from lfkit.data.label_files.label_format import LabelFormat as LabelFormat
from lfkit.data.label_files.label_studio_tasks import LabelStudio

LABEL_FORMATS: dict[str, type[LabelFormat]] = {
    "huggingface": HuggingFace,
    "label-studio": LabelStudio,
    "fiftyone": FiftyOne,
    "folders": ClassFolders,
}
