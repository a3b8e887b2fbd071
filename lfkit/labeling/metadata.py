"""What is known of an image beside its pixels, for labeling functions to read.

>>> from lfkit import ABSTAIN, labeling_function, metadata
>>> @labeling_function(classes=[0], features=[metadata.file_name])
... def named_cat(name):
...     return 0 if "cat" in name.lower() else ABSTAIN
>>> named_cat.fn("Cat_01.jpg")
0

Where an image has no such thing, the function is not called and abstains. Arrays have
no metadata, nor have images that a generator makes. A function that reads metadata
takes one image a call; features and thresholds read pixels only.
"""

from __future__ import annotations

import difflib
import functools
from typing import Any

from lfkit.data.image_source import MetadataField
from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature


def _no_pixels(*_: Any) -> Any:
    raise DeclarationError("metadata is not computed from pixels.")


@functools.cache
def _known(kind: str, name: str = "") -> Feature:
    what = MetadataField(kind, name)
    label = f"{kind}({name!r})" if name else kind
    return Feature(name=label, fn=_no_pixels, metadata=what)


file_name = _known("file_name")
"""The file's name without folders, text: "Cat_01.jpg"."""

folder = _known("folder")
"""The folders above the file, text: "2021/summer"; "" where there are none.

Relative to the data. Folders that tell the labels that functions are scored by are left
out: those of the classes, and what stands for one class only.
"""


def exif(tag: str) -> Feature:
    """Give a tag that a camera wrote: text, a number or a tuple of numbers.

    Parameters
    ----------
    tag : PIL's name of it: "DateTimeOriginal" ("2021:07:30 18:02:11"), "Model",
        "FNumber", "ISOSpeedRatings"; "GPSLatitude" and "GPSLongitude" are degrees,
        south and west below zero.
    """
    from PIL import ExifTags

    known = [*ExifTags.Base.__members__, *ExifTags.GPS.__members__]
    if tag not in known:
        near = difflib.get_close_matches(str(tag), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise DeclarationError(
            f"there is no EXIF tag {tag!r}; give one by PIL's name, such as "
            f"'DateTimeOriginal', 'Model' or 'GPSLatitude'{hint}"
        )
    return _known("exif", tag)


def column(name: str) -> Feature:
    """Give a column of the table that lists the images, as text: "caption".

    Parameters
    ----------
    name : as it is written in the CSV, Parquet or JSON lines that is the data, or in
        the metadata.csv beside the images. Columns of labels are refused.
    """
    if not isinstance(name, str) or not name:
        raise DeclarationError(f"column needs the name of a column, got {name!r}.")
    return _known("column", name)
