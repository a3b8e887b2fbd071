"""Generated images as a picture: a row per class."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lfkit.generators.samples import Samples
from lfkit.runs.store import write_atomically

_PER_ROW = 12
_TILE = 56  # px: small images are enlarged to about this
_GAP, _MARGIN, _LETTER = 4, 14, 9
_LONGEST_NAME = 20
_MOST_CLASSES = 40
_INK = (30, 30, 35)


def write_grid(
    samples: Samples, class_names: Sequence[str], path: Path
) -> NDArray[np.uint8]:
    """Write a PNG of the first images of every class, with the class's name.

    Images without a label have rows without a name. Images of a second domain stand
    below those that they are made with. Returns the picture, (h, w, 3).
    """
    found = _rows(samples, class_names)
    domains = [each for each in (samples.images, samples.images_2) if each is not None]
    rows = [
        (name if not number else "", places, images)
        for name, places in found
        for number, images in enumerate(domains)
    ]
    h, w = samples.images.shape[1:3]
    zoom = max(1, _TILE // max(h, w)) if max(h, w) <= _TILE else _TILE / max(h, w)
    high, wide = max(1, round(h * zoom)), max(1, round(w * zoom))
    indent = _MARGIN + _LETTER * max([len(name) for name, _ in found], default=0)
    width = 2 * _MARGIN + indent + _PER_ROW * (wide + _GAP)
    height = 2 * _MARGIN + max(1, len(rows)) * (high + _GAP)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for row, (name, places, images) in enumerate(rows):
        top = _MARGIN + row * (high + _GAP)
        draw.text((_MARGIN, top + high / 2 - 9), name, _INK, font=font)
        for column, place in enumerate(places):
            pixels = images[place]
            gray = pixels.shape[2] == 1
            tile = Image.fromarray(pixels[..., 0] if gray else pixels).convert("RGB")
            tile = tile.resize((wide, high), Image.Resampling.NEAREST)
            left = _MARGIN + indent + column * (wide + _GAP)
            sheet.paste(tile, (left, top))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())
    return np.asarray(sheet)


def _rows(
    samples: Samples, class_names: Sequence[str]
) -> list[tuple[str, NDArray[np.int64]]]:
    """Give the name and the images of each row."""
    known = samples.proba.any(axis=1)
    rows = []
    for label, name in enumerate(class_names):
        own = np.flatnonzero(known & (samples.labels == label))[:_PER_ROW]
        if len(own):
            short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
            rows.append((short, own))
    unnamed = np.flatnonzero(~known)
    most = len(class_names) * _PER_ROW
    for start in range(0, min(len(unnamed), most), _PER_ROW):
        rows.append(("", unnamed[start : start + _PER_ROW]))
    return rows[:_MOST_CLASSES]
