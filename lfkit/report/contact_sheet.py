"""A picture of the labels: the surest and the most disputed images of every class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lfkit.data.image_source import ImageSource
from lfkit.data.votes import ABSTAIN
from lfkit.runs.store import write_atomically

_PER_SIDE = 8
_TILE = 56
_GAP = 6
_FRAME = 3
_NAME_WIDTH = 130
_HEAD = 34
_MARGIN = 14
_MOST_CLASSES = 40
_RIGHT, _WRONG, _UNKNOWN = (46, 160, 67), (218, 54, 51), (200, 200, 205)
_INK, _FAINT = (30, 30, 35), (110, 110, 118)


def contact_sheet(
    source: ImageSource,
    labels: NDArray[np.int64],
    proba: NDArray[np.float64],
    class_names: Sequence[str],
    path: Path,
    *,
    truth: NDArray[np.int64] | None = None,
    exclude: NDArray[np.bool_] | None = None,
) -> None:
    """Write a PNG with a row per class: surest images left, most disputed right.

    Frames are green where the truth is known and the label right, red where wrong.

    Parameters
    ----------
    labels : (n,) classes, -1 = no label.
    proba : (n, k) posterior; disputed are the least margins between the best two.
    truth : (n,) true classes for the frames, -1 where unknown.
    exclude : (n,) images not to show, such as the seeds.
    """
    shown = list(enumerate(class_names))[:_MOST_CLASSES]
    side = _PER_SIDE * (_TILE + _GAP)
    width = _MARGIN * 3 + _NAME_WIDTH + 2 * side
    height = _MARGIN * 2 + _HEAD + len(shown) * (_TILE + 2 * _GAP) + 20
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    left, right = _MARGIN + _NAME_WIDTH, 2 * _MARGIN + _NAME_WIDTH + side
    draw.text((left, _MARGIN), "most confident", _INK, font=_font(17))
    draw.text((right, _MARGIN), "most disputed", _INK, font=_font(17))
    usable = labels != ABSTAIN
    if exclude is not None:
        usable &= ~exclude
    ranked = np.sort(proba, axis=1)
    margin = ranked[:, -1] - (ranked[:, -2] if proba.shape[1] > 1 else 0)
    top = _MARGIN + _HEAD
    for label, name in shown:
        members = np.flatnonzero(usable & (labels == label))
        order = members[np.argsort(margin[members], kind="stable")]
        draw.text((_MARGIN, top + 8), _clipped(name), _INK, font=_font(15))
        count = f"{int((labels == label).sum()):,} images"
        draw.text((_MARGIN, top + 30), count, _FAINT, font=_font(12))
        surest = order[::-1][:_PER_SIDE]
        disputed = order[: min(_PER_SIDE, max(0, len(order) - len(surest)))]
        for x, rows in ((left, surest), (right, disputed)):
            _draw_row(sheet, source, rows, x, top, label, truth)
        top += _TILE + 2 * _GAP
    draw.text(
        (_MARGIN, top + 4), _legend(truth, len(class_names)), _FAINT, font=_font(12)
    )
    _save(sheet, path)


def _draw_row(
    sheet: Image.Image,
    source: ImageSource,
    rows: NDArray[np.int64],
    x: int,
    y: int,
    label: int,
    truth: NDArray[np.int64] | None,
) -> None:
    if not len(rows):
        return
    read = source.read(rows)
    for position, row in enumerate(rows):
        known = truth is not None and truth[row] >= 0
        color = _UNKNOWN
        if known and truth is not None:
            color = _RIGHT if truth[row] == label else _WRONG
        corner = (x + position * (_TILE + _GAP), y)
        sheet.paste(Image.new("RGB", (_TILE, _TILE), color), corner)
        tile = _thumbnail(read.pixels[position], _TILE - 2 * _FRAME)
        offset = ((_TILE - tile.width) // 2, (_TILE - tile.height) // 2)
        sheet.paste(tile, (corner[0] + offset[0], corner[1] + offset[1]))


def _thumbnail(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    """Scale to fit a square; small images stay sharp."""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    scale = side / max(picture.size)
    size = tuple(max(1, round(length * scale)) for length in picture.size)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return picture.convert("RGB").resize((size[0], size[1]), method)


def _legend(truth: NDArray[np.int64] | None, n_classes: int) -> str:
    text = "The true classes are not known, so frames are gray."
    if truth is not None and (truth >= 0).any():
        text = "Green frame: the label is right. Red frame: it is wrong."
    if n_classes > _MOST_CLASSES:
        text += f" The first {_MOST_CLASSES} of {n_classes} classes are shown."
    return text


def _clipped(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _save(sheet: Image.Image, path: Path) -> None:
    import io

    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())
