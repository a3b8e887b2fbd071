"""Small pictures of images, made once and kept on disk by what the images hold."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lfkit.data.datasets.decoding import decode, quiet_pil, read_header
from lfkit.data.files import write_atomically
from lfkit.data.image_source import ImageSource
from lfkit.errors import InputError, LfkitError, StorageError

SPRITE_COLUMNS = 10
SPRITE_TILES = 100
# Raise it when the same image would give another picture: it is part of every name.
_VERSION = "thumbnail 1"
_UNREADABLE = (128, 128, 128)  # a plain gray tile
_LOSSLESS_PX = 64  # up to here lossless: of so few pixels lossy ones lose too many
_HELD_BYTES = 48 * 2**20


class Thumbnails:
    """WebP pictures of single images, and of a hundred images together.

    An image that is a file of its own is read from that file and keeps its proportions;
    others are shown as functions see them. None is enlarged. An image that cannot be
    read is a plain gray tile. Safe to call from several threads.

    Parameters
    ----------
    folder : where pictures are kept, by the content of their images.
    side : the longer side of a picture in pixels, at most.
    held_bytes : how much of them is held in memory, too.

    Attributes
    ----------
    tile : (height, width) of one image in a sprite, in pixels.
    """

    def __init__(
        self,
        source: ImageSource,
        folder: Path,
        side: int = 96,
        *,
        held_bytes: int = _HELD_BYTES,
    ) -> None:
        if side < 1:
            raise InputError(f"side is {side}; a picture has at least 1 pixel a side.")
        self._source, self._folder, self._side = source, folder, side
        self._are_files = len(source) > 0 and source.path(0) is not None
        self.tile = (side, side) if self._are_files else _fitted(source.shape[:2], side)
        self._look = f"{_VERSION} {side} {source.decoding}"
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._room = held_bytes
        self._lock, self._writing = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        return len(self._source)

    def key(self, row: int) -> str:
        """Name an image's picture by its content: another image, another name."""
        return self._name([self._checked(row)])

    def sprite_key(self, first_row: int) -> str:
        """Name the picture of a hundred images by the content of all of them."""
        return self._name(self._sprite_rows(first_row))

    def webp(self, row: int) -> bytes:
        """Give the picture of one image."""
        rows = [self._checked(row)]

        def alone(pictures: list[Image.Image | None]) -> Image.Image:
            return pictures[0] or Image.new("RGB", self.tile[::-1], _UNREADABLE)

        return self._kept(rows, alone)

    def sprite(self, first_row: int) -> bytes:
        """Give images `first_row` to `first_row + 99` in one picture, ten in a line.

        Tile i lies at column i % 10, line i // 10. The last sprite has as many lines as
        it needs.
        """
        rows = self._sprite_rows(first_row)
        return self._kept(rows, self._sheet)

    def _checked(self, row: int) -> int:
        if not 0 <= row < len(self._source):
            raise InputError(
                f"there is no image {row}; {self._source.name} has images 0 to "
                f"{len(self._source) - 1}."
            )
        return int(row)

    def _sprite_rows(self, first_row: int) -> list[int]:
        end = min(self._checked(first_row) + SPRITE_TILES, len(self._source))
        return list(range(first_row, end))

    def _name(self, rows: Sequence[int]) -> str:
        digest = hashlib.blake2b(self._look.encode(), digest_size=16)
        digest.update(f" {len(rows)} ".encode())
        digest.update(np.ascontiguousarray(self._source.keys[list(rows)]).data)
        return digest.hexdigest()

    def _kept(
        self,
        rows: Sequence[int],
        lay_out: Callable[[list[Image.Image | None]], Image.Image],
    ) -> bytes:
        """Give a picture from memory, from disk, or made now."""
        name = self._name(rows)
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
        path = self._folder / name[:2] / f"{name}.webp"
        try:
            data = path.read_bytes()
        except OSError:
            pictures = self._pictures(rows)
            data = _encoded(lay_out(pictures), lossless=max(self.tile) <= _LOSSLESS_PX)
            if None in pictures:
                return data  # not kept: that image may be readable the next time
            # Two threads would share a partial file. On a full disk nothing is kept.
            with self._writing, contextlib.suppress(StorageError):
                write_atomically(path, data)
        with self._lock:
            if name not in self._held:
                self._room -= len(data)
            self._held[name] = data
            while self._room < 0 and len(self._held) > 1:
                _, gone = self._held.popitem(last=False)
                self._room += len(gone)
        return data

    def _sheet(self, pictures: Sequence[Image.Image | None]) -> Image.Image:
        """Lay pictures out in lines of ten, each in the middle of its tile."""
        high, wide = self.tile
        n_lines = -(-len(pictures) // SPRITE_COLUMNS)
        mode = "RGBA" if self._are_files else "RGB"  # transparent beside the pictures
        sheet = Image.new(mode, (SPRITE_COLUMNS * wide, n_lines * high))
        for place, found in enumerate(pictures):
            picture = found or Image.new("RGB", (wide, high), _UNREADABLE)
            line, column = divmod(place, SPRITE_COLUMNS)
            left = column * wide + (wide - picture.width) // 2
            top = line * high + (high - picture.height) // 2
            sheet.paste(picture, (left, top))
        return sheet

    def _pictures(self, rows: Sequence[int]) -> list[Image.Image | None]:
        """Read and shrink some images; None for those that cannot be read."""
        if self._are_files:
            with quiet_pil():
                return [self._of_file(row) for row in rows]
        read = self._source.read(np.asarray(rows, np.int64))
        size = (self.tile[1], self.tile[0])
        found: list[Image.Image | None] = []
        for place, pixels in enumerate(read.pixels):
            picture = _as_picture(pixels)
            if picture.size != size:
                picture = picture.resize(size, Image.Resampling.BOX, reducing_gap=3.0)
            found.append(None if place in read.problems else picture)
        return found

    def _of_file(self, row: int) -> Image.Image | None:
        path = self._source.path(row)
        assert path is not None, "all images of a source are files, or none is"
        try:
            with open(path, "rb") as file:
                header = read_header(file)
                file.seek(0)
                size = _fitted((header.height, header.width), self._side)
                pixels = decode(file, channels=3, size=size)
        except (OSError, ValueError, SyntaxError, LfkitError):
            return None
        return _as_picture(pixels)


def _fitted(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Give the (height, width) that fits into a square; nothing is enlarged."""
    high, wide = size
    scale = min(1.0, side / max(high, wide))
    return max(1, round(high * scale)), max(1, round(wide * scale))


def _as_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    plain = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return Image.fromarray(np.ascontiguousarray(plain)).convert("RGB")


def _encoded(picture: Image.Image, *, lossless: bool) -> bytes:
    buffer = io.BytesIO()
    if lossless:
        picture.save(buffer, "WEBP", lossless=True, quality=20, method=0)
    else:
        picture.save(buffer, "WEBP", quality=82, method=2)
    return buffer.getvalue()
