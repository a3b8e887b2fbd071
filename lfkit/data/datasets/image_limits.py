"""Limits of what one image file may cost, checked before its pixels are decoded.

A file of some kilobytes can keep a decoder busy for hours: a JPEG of thousands of
scans, a TIFF of millions of strips. Decoders cannot be stopped, so such files are
recognised by their headers. The limits are some seconds each on a slow processor.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from PIL import Image

from lfkit.errors import DataError

MAX_PIXELS = 64_000_000
MAX_BYTES = 1 << 29  # the most pixels, uncompressed, with 16 bits a channel
_UNPACKED_AT_LEAST = 2 << 30  # what any file of images may unpack to
_UNPACKED_TIMES = 10  # its own size; images are packed already
_MAX_JPEG_PASSES = 1_000_000_000  # pixels x scans; ten scans are usual
_MAX_PNG_CHUNKS = 100_000
_MAX_GIF_BLOCKS = 100_000  # before the first frame
_MAX_TIFF_VALUES = 50_000  # of one tag
_MAX_JPEG2000_BYTES = 24_000_000
_MAX_JPEG2000_PIXELS = 32_000_000
_MAX_SLOW_VALUES = 6_000_000  # where PIL decodes in Python, a microsecond a value
_MAX_RLE_BYTES = 8_000_000

_MIN_SCAN_BYTES = 10
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_TIFF_BEGINNINGS = {  # byte order; whether offsets have 64 bits
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
_WIDE_TIFF_TYPES = {3, 4, 5, 8, 9, 10, 11, 12, 13, 16, 17, 18}  # PIL makes tuples of


def check_beginning(file: BinaryIO) -> None:
    """Refuse what would already cost too much to open; leaves the file at its start.

    Raises
    ------
    DataError
        If the file is empty, too long, or of too many parts.
    """
    n_bytes = file.seek(0, 2)
    check_length(n_bytes)
    file.seek(0)
    beginning = file.read(8)
    if beginning == b"\x89PNG\r\n\x1a\n" and n_bytes > 12 * _MAX_PNG_CHUNKS:
        _check_png(file)
    elif beginning[:4] == b"GIF8" and n_bytes > 2 * _MAX_GIF_BLOCKS:
        _check_gif(file)
    elif beginning[:4] in _TIFF_BEGINNINGS and n_bytes > 2 * _MAX_TIFF_VALUES:
        _check_tiff(file, beginning)
    file.seek(0)


def check_length(n_bytes: int) -> None:
    """Refuse a file by its length alone."""
    if n_bytes == 0:
        raise DataError("the file is empty")
    if n_bytes > MAX_BYTES:
        raise DataError(
            f"it is {n_bytes / 1e6:,.0f} MB long, more than {MAX_BYTES / 1e6:,.0f}"
        )


def most_unpacked(n_bytes: int) -> int:
    """Give the bytes that a compressed file of images may unpack to in memory.

    Parameters
    ----------
    n_bytes : of the file as it is.
    """
    return max(_UNPACKED_AT_LEAST, _UNPACKED_TIMES * n_bytes)


def check_image(image: Image.Image, file: BinaryIO) -> None:
    """Refuse an opened image whose pixels would take too long; keeps the position.

    Raises
    ------
    DataError
        If it has too many pixels, or a compression that makes so many slow.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(
            f"its header says {height}x{width} pixels, more than {MAX_PIXELS:,}"
        )
    position = file.tell()
    n_bytes = file.seek(0, 2)
    match image.format:
        case "JPEG" | "MPO":
            _check_jpeg(image, file, n_bytes)
        case "JPEG2000":
            if n_bytes > _MAX_JPEG2000_BYTES or width * height > _MAX_JPEG2000_PIXELS:
                raise DataError(
                    f"it is a JPEG 2000 of {height}x{width} pixels and "
                    f"{n_bytes / 1e6:.0f} MB, which takes too long to decode; at most "
                    f"{_MAX_JPEG2000_PIXELS:,} pixels and "
                    f"{_MAX_JPEG2000_BYTES / 1e6:.0f} MB are read"
                )
        case "PPM":
            _check_ppm(image)
        case "BMP" | "DIB":
            is_rle = any(tile[0] == "bmp_rle" for tile in image.tile)  # type: ignore[attr-defined]
            if is_rle and n_bytes > _MAX_RLE_BYTES:
                raise DataError(
                    f"it holds {n_bytes / 1e6:.0f} MB of run lengths, more than "
                    f"{_MAX_RLE_BYTES / 1e6:.0f}"
                )
    file.seek(position)


def _check_jpeg(image: Image.Image, file: BinaryIO, n_bytes: int) -> None:
    """Count scans: each goes over all pixels."""
    n_pixels = image.width * image.height
    most = max(1, _MAX_JPEG_PASSES // n_pixels)
    if n_bytes // _MIN_SCAN_BYTES > most and _n_scans(file, most + 1) > most:
        raise DataError(
            f"it has more than {most:,} scans of {image.height}x{image.width} pixels, "
            "which take too long to decode; save it as a plain JPEG"
        )


def _n_scans(file: BinaryIO, most: int) -> int:
    file.seek(2)
    n = 0
    while n < most:
        marker = _next_marker(file)
        length = file.read(2)
        if marker is None or marker == _END_OF_IMAGE or len(length) < 2:
            break
        n += marker == _START_OF_SCAN
        file.seek(max(0, int.from_bytes(length, "big") - 2), 1)
    return n


def _next_marker(file: BinaryIO) -> int | None:
    """Go behind the next marker; give its second byte."""
    n_bytes, last = 64, b""
    while chunk := file.read(n_bytes):
        held = last + chunk
        found = _JPEG_MARKER.search(held)
        if found is not None:
            file.seek(found.end() - len(held), 1)
            return held[found.end() - 1]
        last = held[-1:]
        n_bytes = min(2 * n_bytes, 1 << 16)
    return None


def _check_png(file: BinaryIO) -> None:
    for _ in range(_MAX_PNG_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    raise DataError(f"it has more than {_MAX_PNG_CHUNKS:,} chunks")


def _check_gif(file: BinaryIO) -> None:
    """Count the blocks before the first frame."""
    file.seek(0)
    head = file.read(13)
    if len(head) == 13 and head[10] & 0x80:
        file.seek(3 << ((head[10] & 7) + 1), 1)
    n = 0
    while n < _MAX_GIF_BLOCKS:
        kind = file.read(1)
        if kind != b"!":  # an extension; whatever else there is, PIL judges
            return
        file.read(1)
        while size := file.read(1)[:1].strip(b"\0"):
            file.seek(size[0], 1)
            n += 1
        n += 1
    raise DataError(f"it has more than {_MAX_GIF_BLOCKS:,} blocks before its image")


def _check_tiff(file: BinaryIO, beginning: bytes) -> None:
    """Look at how many values the first page's tags have."""
    order, is_big = _TIFF_BEGINNINGS[beginning[:4]]
    where = f"{order}8xQ" if is_big else f"{order}4xI"
    count = f"{order}Q" if is_big else f"{order}H"
    entry = f"{order}HHQQ" if is_big else f"{order}HHII"
    file.seek(0)
    found = _unpack(where, file)
    if found is None or found[0] > MAX_BYTES:
        return  # whatever else is wrong, PIL finds
    file.seek(found[0])
    found = _unpack(count, file)
    if found is None:
        return
    (n_tags,) = found
    if n_tags > _MAX_TIFF_VALUES:
        raise DataError(f"its header says that it has {n_tags:,} tags")
    for _ in range(n_tags):
        found = _unpack(entry, file)
        if found is None:
            return
        tag, kind, n, _ = found
        if kind in _WIDE_TIFF_TYPES and n > _MAX_TIFF_VALUES:
            raise DataError(
                f"tag {tag} of its header has {n:,} values, more than "
                f"{_MAX_TIFF_VALUES:,}"
            )


def _unpack(layout: str, file: BinaryIO) -> tuple[int, ...] | None:
    """Read a few numbers; None where the file ends before."""
    packed = file.read(struct.calcsize(layout))
    if len(packed) < struct.calcsize(layout):
        return None
    return struct.unpack(layout, packed)


def _check_ppm(image: Image.Image) -> None:
    """Count the values that PIL decodes one by one: of text, and of odd depths."""
    tiles = image.tile  # type: ignore[attr-defined]
    codec = tiles[0][0] if tiles else "raw"
    n_values = image.width * image.height * len(image.getbands())
    if codec == "ppm_plain" and image.mode == "1":
        n_values //= 8
    if codec in ("ppm", "ppm_plain") and n_values > _MAX_SLOW_VALUES:
        raise DataError(
            f"it holds {n_values:,} values as text or of an odd depth, more than "
            f"{_MAX_SLOW_VALUES:,}; save it as PNG"
        )
