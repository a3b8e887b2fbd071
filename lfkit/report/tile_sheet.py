"""A picture of images in rows, as PNG: texts on the left, framed images beside them."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lfkit.data.image_source import ImageSource
from lfkit.report.examples import mark
from lfkit.runs.store import write_atomically

_PICTURE = 56  # 7 x 8 and 2 x 28: small images are enlarged without a blur
_FRAME = 4
_TILE = _PICTURE + 2 * _FRAME
_STEP = _TILE + 4
_MARGIN = 16
_HEAD = 74
_CAPTION = 16
_GAP = 14
_BATCH = 16
# Okabe & Ito's blue and vermilion: color-blind readers tell them apart.
_COLORS = {"right": (0, 114, 178), "wrong": (213, 94, 0), "": (165, 165, 172)}
_INK, _FAINT, _MAT, _RULE = (30, 30, 35), (100, 100, 108), (240, 240, 242), (225,) * 3

_Color = tuple[int, ...]
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Line = tuple[str, int, _Color, _Font]  # text, step to the next, color, font


@dataclass(frozen=True)
class Tile:
    """An image under a label or a vote.

    Attributes
    ----------
    row : of the source.
    caption : below it.
    named : the classes of that label or vote.
    truth : its class; -1 if unknown.
    """

    row: int
    caption: str
    named: tuple[int, ...]
    truth: int

    @property
    def mark(self) -> str:
        """How it compares with the truth: "right", "wrong" or "" if not known."""
        return mark(self.truth, self.named)


@dataclass(frozen=True)
class SheetRow:
    """A row of images with its texts.

    Attributes
    ----------
    groups : images side by side; each group has its own place.
    silence : written in place of images.
    """

    name: str
    claim: str
    figures: str
    groups: Sequence[Sequence[Tile]]
    silence: str = ""

    @property
    def tiles(self) -> list[Tile]:
        """All of its images."""
        return [tile for group in self.groups for tile in group]


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture of rows of images.

    Attributes
    ----------
    note : beside the meaning of the frames.
    per_group : images that a group has at most.
    text_width : of the texts on the left, in px.
    """

    rows: Sequence[SheetRow]
    title: str
    note: str
    class_names: Sequence[str]
    per_group: int
    text_width: int

    def save(
        self,
        source: ImageSource,
        path: Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Read the images, each once, and write the PNG.

        Parameters
        ----------
        progress : called with the number of images read and the number of all.
        """
        pictures = _read(source, self.rows, progress)
        texts = [self._texts(row) for row in self.rows]
        heights = [
            max(_tile_height(row), sum(step for _, step, _, _ in lines))
            for row, lines in zip(self.rows, texts, strict=True)
        ]
        height = _HEAD + sum(heights) + _GAP * len(heights) + _MARGIN
        sheet = Image.new("RGB", (self._width, height), "white")
        draw = ImageDraw.Draw(sheet)
        self._draw_head(draw)
        top = _HEAD
        for row, lines, tall in zip(self.rows, texts, heights, strict=True):
            draw.line((_MARGIN, top, self._width - _MARGIN, top), _RULE)
            y = top + _GAP // 2 + 1
            self._draw_tiles(sheet, draw, row, y, pictures)
            for text, step, color, font in lines:
                draw.text((_MARGIN, y), text, color, font=font)
                y += step
            top += tall + _GAP
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG", optimize=True)
        write_atomically(path, buffer.getvalue())

    @property
    def _left(self) -> int:
        """Where the first image begins."""
        return 2 * _MARGIN + self.text_width

    @property
    def _width(self) -> int:
        n_groups = max((len(row.groups) for row in self.rows), default=1)
        return self._left + n_groups * (self.per_group * _STEP + _MARGIN) - 4

    def _texts(self, row: SheetRow) -> list[_Line]:
        """Lay out a row's texts."""
        large, small, width = _font(16), _font(13), self.text_width
        names = _folded(row.name, large, width, most=2)
        claims = _folded(row.claim, small, width, most=3) if row.claim else []
        figures = _folded(row.figures, small, width, most=1)
        return [
            *((line, 20, _INK, large) for line in names),
            *((line, 17, _INK, small) for line in claims),
            *((line, 17, _FAINT, small) for line in figures),
        ]

    def _draw_head(self, draw: ImageDraw.ImageDraw) -> None:
        small, right = _font(13), self._width - _MARGIN
        title = _elided(self.title, _font(20), right - _MARGIN)
        draw.text((_MARGIN, 12), title, _INK, font=_font(20))
        x = _MARGIN
        for kind, color in _COLORS.items():
            meaning = kind or "not known"
            draw.rectangle((x, 44, x + 19, 63), _MAT, color, width=_FRAME)
            _draw_mark(draw, x + 19, 44, kind)
            draw.text((x + 34, 46), meaning, _INK, font=small)
            x += 34 + round(small.getlength(meaning)) + 22
        note = _elided(self.note, small, right - x)
        draw.text((x, 46), note, _FAINT, font=small)

    def _draw_tiles(
        self,
        sheet: Image.Image,
        draw: ImageDraw.ImageDraw,
        row: SheetRow,
        y: int,
        pictures: dict[int, Image.Image],
    ) -> None:
        if row.silence:
            place = (self._left, y + _TILE // 2 - 8)
            draw.text(place, row.silence, _FAINT, font=_font(16))
        for i, group in enumerate(row.groups):
            x = self._left + i * (self.per_group * _STEP + _MARGIN)
            for tile in group:
                self._draw_tile(sheet, draw, tile, (x, y), pictures.get(tile.row))
                x += _STEP

    def _draw_tile(
        self,
        sheet: Image.Image,
        draw: ImageDraw.ImageDraw,
        tile: Tile,
        corner: tuple[int, int],
        picture: Image.Image | None,
    ) -> None:
        (x, y), color, font = corner, _COLORS[tile.mark], _font(12)
        draw.rectangle((x, y, x + _TILE - 1, y + _TILE - 1), _MAT, color, width=_FRAME)
        middle = (x + _TILE // 2, y + _TILE // 2)
        if picture is None:
            text = "unreadable"
            draw.text(middle, text, _FAINT, font=_font(11), anchor="mm")
        else:
            place = (middle[0] - picture.width // 2, middle[1] - picture.height // 2)
            sheet.paste(picture, place)
        _draw_mark(draw, x + _TILE - 1, y, tile.mark)
        captions = [(tile.caption, _INK)]
        if tile.mark == "wrong":
            truth = self.class_names[tile.truth]
            fits = font.getlength(_writable(f"is {truth}")) <= _STEP
            captions.append((f"is {truth}" if fits else truth, color))
        for line, (text, ink) in enumerate(captions):
            place = (middle[0], y + _TILE + 2 + _CAPTION * line)
            draw.text(place, _elided(text, font, _STEP), ink, font=font, anchor="ma")


@cache
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _read(
    source: ImageSource,
    rows: Sequence[SheetRow],
    progress: Callable[[int, int], None] | None,
) -> dict[int, Image.Image]:
    """Make a thumbnail of every image that is shown and can be read."""
    wanted = np.asarray(sorted({t.row for row in rows for t in row.tiles}), np.int64)
    pictures = {}
    if progress:
        progress(0, len(wanted))
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        read = source.read(batch)
        for position, row in enumerate(batch.tolist()):
            if position not in read.problems:
                pictures[row] = _thumbnail(read.pixels[position])
        if progress:
            progress(start + len(batch), len(wanted))
    return pictures


def _thumbnail(pixels: NDArray[np.uint8]) -> Image.Image:
    """Scale to fit a square; pixels stay sharp where they fill whole pixels."""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    scale = _PICTURE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    whole = _PICTURE % max(picture.size) == 0
    method = Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
    return picture.convert("RGB").resize((width, height), method)


def _tile_height(row: SheetRow) -> int:
    """Give the height of a row's images with their captions."""
    n_lines = 2 if any(tile.mark == "wrong" for tile in row.tiles) else 1
    return _TILE + 6 + _CAPTION * n_lines


def _folded(text: str, font: _Font, width: int, most: int) -> list[str]:
    """Break a text after spaces and underscores into lines that fit."""
    lines = [""]
    for piece in re.findall(r"[^ _]+[ _]?|[ _]", _writable(text)):
        if lines[-1] and font.getlength((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    if len(lines) > most:
        lines[most - 1 :] = ["".join(lines[most - 1 :])]
    return [_elided(line.rstrip(), font, width) for line in lines]


def _writable(text: str) -> str:
    """Write a text in one line and, as the font has no accents, without them.

    >>> _writable("Tür,  écrit")
    'Tur, ecrit'
    """
    letters = unicodedata.normalize("NFD", " ".join(text.split()))
    return "".join(each for each in letters if not unicodedata.combining(each))


def _elided(text: str, font: _Font, width: int) -> str:
    text = _writable(text)
    if font.getlength(text) <= width:
        return text
    n = len(text) - 1
    while n and font.getlength(f"{text[:n]}…") > width:
        n = min(n - 1, max(1, 2 * n // 3)) if n > 200 else n - 1
    return f"{text[:n]}…"


def _draw_mark(draw: ImageDraw.ImageDraw, right: int, y: int, kind: str) -> None:
    """Mark the upper right corner: a check where right, a cross where wrong."""
    if not kind:
        return
    x, color = right - 10, _COLORS[kind]
    if kind == "right":
        draw.ellipse((x - 3, y - 3, x + 13, y + 13), color, "white")
        check = [(x + 1, y + 5), (x + 4, y + 8), (x + 9, y + 2)]
        draw.line(check, "white", width=2, joint="curve")
    else:
        draw.rectangle((x - 3, y - 3, x + 13, y + 13), color, "white")
        draw.line((x + 1, y + 1, x + 9, y + 9), "white", width=2)
        draw.line((x + 1, y + 9, x + 9, y + 1), "white", width=2)
