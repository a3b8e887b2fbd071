"""A picture of the votes: for each labeling function, some images it voted on."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lfkit.data.image_source import ImageSource
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.labeling.analysis import LFAnalysis
from lfkit.runs.store import write_atomically

_PER_FUNCTION = 14
_PICTURE = 56  # 7 x 8 and 2 x 28: small images are enlarged without a blur
_FRAME = 4
_TILE = _PICTURE + 2 * _FRAME
_STEP = _TILE + 4
_MARGIN = 16
_TEXT_WIDTH = 404
_LEFT = 2 * _MARGIN + _TEXT_WIDTH  # where the first tile begins
_WIDTH = _LEFT + _PER_FUNCTION * _STEP + _MARGIN - 4
_HEAD = 74
_CAPTION = 16
_GAP = 14
_MOST_FUNCTIONS = 400  # a picture that viewers still open
_BATCH = 16
# Okabe & Ito's blue and vermilion: told apart by color-blind readers.
_RIGHT, _WRONG, _UNKNOWN = (0, 114, 178), (213, 94, 0), (165, 165, 172)
_INK, _FAINT, _MAT, _RULE = (30, 30, 35), (100, 100, 108), (240, 240, 242), (225,) * 3

_Color = tuple[int, ...]
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, eq=False)
class _Row:
    """What is drawn of one function: its texts, and the images it voted on.

    Attributes
    ----------
    shown : (t,) rows of the source.
    named : the classes that it voted for on each of them; several if the vote is a set.
    silence : said in place of images.
    """

    name: str
    claim: str
    figures: str
    shown: NDArray[np.int64]
    named: list[tuple[int, ...]]
    silence: str


def lf_sheet(
    source: ImageSource,
    votes: Votes,
    path: Path,
    *,
    class_names: Sequence[str],
    title: str,
    docs: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    truth: NDArray[np.int64] | None = None,
    exclude: NDArray[np.bool_] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a PNG with a row per labeling function: its claim, and images it voted on.

    Images are spread over the classes that a function named, and from its surest vote
    (left) to its least sure; hard votes are equally sure. Only these images are read.

    Parameters
    ----------
    source : the n images that the votes are about.
    docs, kinds : the m functions' claims and kinds.
    truth : (n,) true classes, -1 where unknown: for frames, marks and accuracies.
    exclude : (n,) images neither shown nor scored, such as the seeds.
    progress : called with the number of images read and the number of all.
    """
    kept = np.ones(len(votes), bool) if exclude is None else ~exclude
    known = np.full(len(votes), ABSTAIN) if truth is None else np.where(kept, truth, -1)
    rows = _rows(votes, docs, kinds, known, kept)[:_MOST_FUNCTIONS]
    pictures = _read(source, rows, progress)
    fonts = {size: ImageFont.load_default(size) for size in (11, 12, 13, 16, 20)}
    texts = [_texts(row, fonts) for row in rows]
    heights = [
        max(_tile_height(row, known), sum(step for _, step, _, _ in lines))
        for row, lines in zip(rows, texts, strict=True)
    ]
    height = _HEAD + sum(heights) + _GAP * len(rows) + _MARGIN
    sheet = Image.new("RGB", (_WIDTH, height), "white")
    draw = ImageDraw.Draw(sheet)
    _draw_head(draw, title, len(rows), votes.n_functions, fonts)
    top = _HEAD
    for row, lines, tall in zip(rows, texts, heights, strict=True):
        draw.line((_MARGIN, top, _WIDTH - _MARGIN, top), _RULE)
        y = top + _GAP // 2 + 1
        _draw_tiles(sheet, draw, row, y, pictures, known, class_names, fonts)
        for text, step, color, font in lines:
            draw.text((_MARGIN, y), text, color, font=font)
            y += step
        top += tall + _GAP
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def _rows(
    votes: Votes,
    docs: Sequence[str] | None,
    kinds: Sequence[str] | None,
    truth: NDArray[np.int64],
    kept: NDArray[np.bool_],
) -> list[_Row]:
    table = LFAnalysis(votes)
    coverages = table.lf_coverages()
    accuracies = table.lf_empirical_accuracies(truth)
    rows = []
    for j, name in enumerate(votes.names):
        figures = [kinds[j]] if kinds else []
        figures.append(f"votes on {coverages[j]:.1%}")
        if not np.isnan(accuracies[j]):
            figures.append(f"right on {accuracies[j]:.1%} of them")
        shown = _chosen(votes, j, kept)
        silence = ""
        if not votes.voted[:, j].any():
            silence = f"never voted on these {len(votes):,} images"
        elif not len(shown):
            silence = "voted only on seeds, or on images that cannot be read"
        claim = docs[j] if docs else ""
        named = [_named(votes, row, j) for row in shown.tolist()]
        rows.append(_Row(name, claim, " · ".join(figures), shown, named, silence))
    return rows


def _named(votes: Votes, row: int, j: int) -> tuple[int, ...]:
    """Give the class that function j voted for, or the set of classes."""
    label = int(votes.hard[row, j])
    if label == ABSTAIN and votes.allowed is not None:
        return tuple(np.flatnonzero(votes.allowed[row, j]).tolist())
    return (label,)


def _chosen(votes: Votes, j: int, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Choose images that function j voted on, the surest first: (t,) rows."""
    rows = np.flatnonzero(votes.voted[:, j] & kept)
    labels = votes.hard[rows, j]
    if votes.allowed is not None:
        is_set = labels == ABSTAIN
        labels = np.where(is_set, votes.allowed[rows, j].argmax(axis=1), labels)
    sureness = np.ones(len(rows))
    if votes.soft is not None:
        sureness = votes.soft[rows, j].max(axis=1).astype(np.float64)
    picked = _spread(labels, sureness)
    return rows[picked[np.argsort(-sureness[picked], kind="stable")]]


def _spread(
    labels: NDArray[np.integer], sureness: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose votes over all classes, and over all degrees of sureness: positions.

    A class's votes, surest first, are cut into as many parts as it gets images; from
    each part comes one image, from further back in each class than in the one before.
    """
    classes = np.unique(labels)
    if len(classes) > _PER_FUNCTION:
        few = np.linspace(0, len(classes) - 1, _PER_FUNCTION).round().astype(np.int64)
        classes = classes[few]
    members = [np.flatnonzero(labels == label) for label in classes]
    members = [own[np.argsort(-sureness[own], kind="stable")] for own in members]
    shares = _shares([len(own) for own in members])
    last = max(1, len(classes) * max(shares, default=0) - 1)
    picked = [
        part[round((turn * len(classes) + i) / last * (len(part) - 1))]
        for i, (own, share) in enumerate(zip(members, shares, strict=True))
        for turn, part in enumerate(np.array_split(own, share))
    ]
    return np.asarray(picked, np.int64)


def _shares(counts: Sequence[int]) -> list[int]:
    """Deal the places out, one to each class that has an image left, in turns."""
    shares = [0] * len(counts)
    left = min(_PER_FUNCTION, sum(counts))
    while left:
        for i, count in enumerate(counts):
            if left and shares[i] < count:
                shares[i] += 1
                left -= 1
    return shares


def _read(
    source: ImageSource,
    rows: Sequence[_Row],
    progress: Callable[[int, int], None] | None,
) -> dict[int, Image.Image]:
    """Make a thumbnail of every image that is shown and can be read."""
    wanted = np.unique(
        np.concatenate([np.zeros(0, np.int64), *(r.shown for r in rows)])
    )
    pictures = {}
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


def _tile_height(row: _Row, truth: NDArray[np.int64]) -> int:
    """Give the height of a row's images with their captions."""
    pairs = zip(truth[row.shown].tolist(), row.named, strict=True)
    any_wrong = any(real >= 0 and real not in named for real, named in pairs)
    return _TILE + 6 + _CAPTION * (2 if any_wrong else 1)


def _texts(row: _Row, fonts: dict[int, _Font]) -> list[tuple[str, int, _Color, _Font]]:
    """Lay out a function's texts: each line, the step to the next, color and font."""
    names = _folded(row.name, fonts[16], most=2)
    claims = _folded(row.claim, fonts[13], most=3) if row.claim else []
    return [
        *((line, 20, _INK, fonts[16]) for line in names),
        *((line, 17, _INK, fonts[13]) for line in claims),
        *((line, 17, _FAINT, fonts[13]) for line in _folded(row.figures, fonts[13], 1)),
    ]


def _folded(text: str, font: _Font, most: int) -> list[str]:
    """Break a text after spaces and underscores into lines that fit."""
    lines = [""]
    for piece in re.findall(r"[^ _]+[ _]?|[ _]", _writable(text)):
        if lines[-1] and font.getlength((lines[-1] + piece).rstrip()) > _TEXT_WIDTH:
            lines.append("")
        lines[-1] += piece
    if len(lines) > most:
        lines[most - 1 :] = ["".join(lines[most - 1 :])]
    return [_elided(line.rstrip(), font, _TEXT_WIDTH) for line in lines]


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


def _draw_head(
    draw: ImageDraw.ImageDraw,
    title: str,
    n_shown: int,
    n_functions: int,
    fonts: dict[int, _Font],
) -> None:
    width = _WIDTH - 2 * _MARGIN
    if n_shown < n_functions:
        title = f"{title} (the first {n_shown} of {n_functions} functions)"
    draw.text((_MARGIN, 12), _elided(title, fonts[20], width), _INK, font=fonts[20])
    x = _MARGIN
    meanings = ((_RIGHT, "right"), (_WRONG, "wrong"), (_UNKNOWN, "not known"))
    for color, meaning in meanings:
        draw.rectangle((x, 44, x + 19, 63), _MAT, color, width=_FRAME)
        _draw_mark(draw, x + 19, 44, color)
        draw.text((x + 34, 46), meaning, _INK, font=fonts[13])
        x += 34 + round(fonts[13].getlength(meaning)) + 22
    text = (
        "Under each image: the class voted for and, where that is wrong, what it is. "
        "Weighted votes: the surest left, the least sure right."
    )
    text = _elided(text, fonts[13], _WIDTH - _MARGIN - x)
    draw.text((x, 46), text, _FAINT, font=fonts[13])


def _draw_tiles(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    row: _Row,
    y: int,
    pictures: dict[int, Image.Image],
    truth: NDArray[np.int64],
    class_names: Sequence[str],
    fonts: dict[int, _Font],
) -> None:
    if row.silence:
        draw.text((_LEFT, y + _TILE // 2 - 8), row.silence, _FAINT, font=fonts[16])
    for x, image, named in _placed(row):
        real = int(truth[image])
        color = _UNKNOWN if real < 0 else _RIGHT if real in named else _WRONG
        draw.rectangle((x, y, x + _TILE - 1, y + _TILE - 1), _MAT, color, width=_FRAME)
        middle = (x + _TILE // 2, y + _TILE // 2)
        if image in pictures:
            picture = pictures[image]
            corner = (middle[0] - picture.width // 2, middle[1] - picture.height // 2)
            sheet.paste(picture, corner)
        else:
            draw.text(middle, "unreadable", _FAINT, font=fonts[11], anchor="mm")
        _draw_mark(draw, x + _TILE - 1, y, color)
        captions = [(" or ".join(class_names[label] for label in named), _INK)]
        if color == _WRONG:
            text = f"is {class_names[real]}"
            if fonts[12].getlength(_writable(text)) > _STEP:
                text = class_names[real]  # its color says the rest
            captions.append((text, _WRONG))
        for line, (text, ink) in enumerate(captions):
            place = (middle[0], y + _TILE + 2 + _CAPTION * line)
            text = _elided(text, fonts[12], _STEP)
            draw.text(place, text, ink, font=fonts[12], anchor="ma")


def _placed(row: _Row) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Give each image's left edge, its row of the source, and the classes named."""
    for i, (image, named) in enumerate(zip(row.shown.tolist(), row.named, strict=True)):
        yield _LEFT + i * _STEP, image, named


def _draw_mark(draw: ImageDraw.ImageDraw, right: int, y: int, color: _Color) -> None:
    """Mark the upper right corner: a check where right, a cross where wrong."""
    if color == _UNKNOWN:
        return
    x = right - 10
    if color == _RIGHT:
        draw.ellipse((x - 3, y - 3, x + 13, y + 13), color, "white")
        check = [(x + 1, y + 5), (x + 4, y + 8), (x + 9, y + 2)]
        draw.line(check, "white", width=2, joint="curve")
    else:
        draw.rectangle((x - 3, y - 3, x + 13, y + 13), color, "white")
        draw.line((x + 1, y + 1, x + 9, y + 9), "white", width=2)
        draw.line((x + 1, y + 9, x + 9, y + 1), "white", width=2)
