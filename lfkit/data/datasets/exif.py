"""EXIF: what a camera wrote into the image file."""

from __future__ import annotations

import math
from typing import Any, BinaryIO

from PIL import ExifTags, Image

from lfkit.data.datasets.decoding import open_checked

# Degrees, and the tag that says which way they count.
_DIRECTIONS = {"GPSLatitude": "GPSLatitudeRef", "GPSLongitude": "GPSLongitudeRef"}
_MOST_LETTERS = 10_000


def read_exif(file: BinaryIO, tag: str) -> str | float | tuple[float, ...] | None:
    """Read one tag of an image file.

    Parameters
    ----------
    tag : its name, as PIL has it: "DateTimeOriginal", "Model", "ISOSpeedRatings",
        "GPSLatitude".

    Returns
    -------
    Text, a number, or a tuple of numbers; "GPSLatitude" and "GPSLongitude" in degrees,
    south and west below zero. None where there is none, or what there is is garbled.
    """
    try:
        with open_checked(file) as image:
            # Image's own method: PNG's decodes all pixels to look for EXIF behind them.
            exif = Image.Image.getexif(image)
            if tag in ExifTags.GPS.__members__:
                return _place(exif.get_ifd(ExifTags.IFD.GPSInfo), tag)
            number = ExifTags.Base[tag]
            value = exif.get(number)
            if value is None:
                value = exif.get_ifd(ExifTags.IFD.Exif).get(number)
            return _plain(value)
    except Exception:  # PIL's parsers raise anything on garbled EXIF
        return None


def _place(tags: dict[int, Any], tag: str) -> str | float | tuple[float, ...] | None:
    value = _plain(tags.get(ExifTags.GPS[tag]))
    if tag not in _DIRECTIONS or not isinstance(value, tuple):
        return value
    degrees = sum(part / 60**i for i, part in enumerate(value))
    direction = _plain(tags.get(ExifTags.GPS[_DIRECTIONS[tag]]))
    return -degrees if direction in ("S", "W") else degrees


def _plain(value: Any) -> str | float | tuple[float, ...] | None:
    """Give text, a finite number, or a tuple of them; None for anything else."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.replace("\0", " ").strip()[:_MOST_LETTERS] or None
    if isinstance(value, tuple):
        numbers = tuple(float(part) for part in value)
        return numbers if numbers and all(map(math.isfinite, numbers)) else None
    number = None if value is None else float(value)
    return number if number is not None and math.isfinite(number) else None
