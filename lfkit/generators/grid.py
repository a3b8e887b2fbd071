"""Generated images as a picture: a row per class."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lfkit.generators.samples import Samples
from lfkit.store import write_atomically

_PER_ROW = 12
_TILE = 56  # px: small images are enlarged to about this
_GAP, _MARGIN, _LETTER = 4, 14, 9
_LONGEST_NAME = 20
_MOST_CLASSES = 40
_INK = (30, 30, 35)


def write_grid(samples: Samples, class_names: Sequence[str], path: Path) -> None:
    """Write a PNG of the first images of every class, with the class's name."""
    classes = [
        (label, name)
        for label, name in enumerate(class_names)
        if (samples.labels == label).any()
    ][:_MOST_CLASSES]
    h, w, c = samples.images.shape[1:]
    zoom = max(1, _TILE // max(h, w)) if max(h, w) <= _TILE else _TILE / max(h, w)
    high, wide = max(1, round(h * zoom)), max(1, round(w * zoom))
    shown = {
        label: name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        for label, name in classes
    }
    indent = _MARGIN + _LETTER * max([len(name) for name in shown.values()], default=0)
    width = 2 * _MARGIN + indent + _PER_ROW * (wide + _GAP)
    height = 2 * _MARGIN + max(1, len(classes)) * (high + _GAP)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for row, (label, name) in enumerate(shown.items()):
        top = _MARGIN + row * (high + _GAP)
        draw.text((_MARGIN, top + high / 2 - 9), name, _INK, font=font)
        own = np.flatnonzero(samples.labels == label)[:_PER_ROW]
        for column, place in enumerate(own):
            pixels = samples.images[place]
            tile = Image.fromarray(pixels[..., 0] if c == 1 else pixels).convert("RGB")
            tile = tile.resize((wide, high), Image.Resampling.NEAREST)
            left = _MARGIN + indent + column * (wide + _GAP)
            sheet.paste(tile, (left, top))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())
