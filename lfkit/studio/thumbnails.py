"""Small pictures of images, made once and kept on disk by what the images hold."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lfkit.data.datasets.decoding import decode, quiet_pil, read_header
from lfkit.data.files import write_atomically
from lfkit.data.image_source import ImageSource
from lfkit.errors import InputError, LfkitError, StorageError

# Raise it when the same image would give another picture: it is part of every name.
_VERSION = "thumbnail 1"
_UNREADABLE = (128, 128, 128)  # a plain gray tile
_LOSSLESS_PX = 64  # up to here lossless: of so few pixels lossy ones lose too many
_HELD_BYTES = 48 * 2**20


class Thumbnails:
    """WebP pictures of single images.

    An image that is a file of its own is read from that file and keeps its proportions;
    others are shown as functions see them. None is enlarged. An image that cannot be
    read is a plain gray tile. Safe to call from several threads.

    Parameters
    ----------
    folder : where pictures are kept, by the content of their images, unless they are
        made as quickly as they would be read.
    side : the longer side of a picture in pixels, at most.
    held_bytes : how much of them is held in memory, too.
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
        self._size = _fitted(source.shape[:2], side)
        self._is_lossless = not self._are_files and max(self._size) <= _LOSSLESS_PX
        self._look = f"{_VERSION} {side} {source.decoding}".encode()
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._room = held_bytes
        self._lock, self._writing = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        return len(self._source)

    def key(self, row: int) -> str:
        """Name an image's picture by its content: another image, another name."""
        if not 0 <= row < len(self._source):
            raise InputError(
                f"there is no image {row}; {self._source.name} has images 0 to "
                f"{len(self._source) - 1}."
            )
        digest = hashlib.blake2b(self._look, digest_size=16)
        digest.update(np.ascontiguousarray(self._source.keys[row]).data)
        return digest.hexdigest()

    def webp(self, row: int) -> bytes:
        """Give the picture of one image."""
        return self.webps([row])[0]

    def webps(self, rows: Sequence[int]) -> list[bytes]:
        """Give the pictures of some images; those that are not kept are read together.

        Raises
        ------
        InputError : there is no such image.
        """
        names = [self.key(row) for row in rows]
        found = {name: self._kept(name) for name in names}
        missing = {n: row for n, row in zip(names, rows, strict=True) if not found[n]}
        pictures = self._pictures([*missing.values()])
        for name, picture in zip(missing, pictures, strict=True):
            if picture is None:  # not kept: it may be readable the next time
                plain = Image.new("RGB", self._size[::-1], _UNREADABLE)
                found[name] = self._encoded(plain)
            else:
                found[name] = self._encoded(picture)
                self._keep(name, found[name])
        return [found[name] for name in names]

    def _kept(self, name: str) -> bytes:
        """Give a picture from memory or disk; nothing where it is not kept."""
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
        if self._is_lossless:
            return b""
        with contextlib.suppress(OSError):
            data = self._path(name).read_bytes()
            self._hold(name, data)
            return data
        return b""

    def _keep(self, name: str, data: bytes) -> None:
        self._hold(name, data)
        if not self._is_lossless:
            # Two threads would share a partial file. On a full disk nothing is kept.
            with self._writing, contextlib.suppress(StorageError):
                write_atomically(self._path(name), data)

    def _hold(self, name: str, data: bytes) -> None:
        with self._lock:
            if name not in self._held:
                self._room -= len(data)
            self._held[name] = data
            while self._room < 0 and len(self._held) > 1:
                _, gone = self._held.popitem(last=False)
                self._room += len(gone)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / f"{name}.webp"

    def _pictures(self, rows: Sequence[int]) -> list[Image.Image | None]:
        """Read and shrink some images; None for those that cannot be read."""
        if self._are_files:
            with quiet_pil():
                return [self._of_file(row) for row in rows]
        read = self._source.read(np.asarray(rows, np.int64))
        found: list[Image.Image | None] = []
        for place, pixels in enumerate(read.pixels):
            picture = _as_picture(pixels)
            if picture.size != self._size[::-1]:
                box = Image.Resampling.BOX
                picture = picture.resize(self._size[::-1], box, reducing_gap=3.0)
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

    def _encoded(self, picture: Image.Image) -> bytes:
        buffer = io.BytesIO()
        if self._is_lossless:
            picture.save(buffer, "WEBP", lossless=True, quality=20, method=0)
        else:
            picture.save(buffer, "WEBP", quality=82, method=2)
        return buffer.getvalue()


def pack(pictures: Sequence[bytes]) -> bytes:
    r"""Join pictures so that one answer brings many: how many, their lengths, they.

    >>> pack([b"ab", b"c"])
    b'\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00abc'
    """
    numbers = [len(pictures), *map(len, pictures)]
    return np.asarray(numbers, "<u4").tobytes() + b"".join(pictures)


def _fitted(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Give the (height, width) that fits into a square; nothing is enlarged."""
    high, wide = size
    scale = min(1.0, side / max(high, wide))
    return max(1, round(high * scale)), max(1, round(wide * scale))


def _as_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    plain = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return Image.fromarray(np.ascontiguousarray(plain)).convert("RGB")
