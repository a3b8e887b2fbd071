"""From a file's bytes to (h, w, c) uint8: every format and colour model PIL knows."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError, features

from lfkit.data.datasets.image_limits import MAX_PIXELS, check_beginning, check_image
from lfkit.errors import DataError

# Raise it when the same file would give other pixels: it is part of every cached key.
DECODER_VERSION = f"decoder=2 pillow={PIL.__version__}"
# Named, so that no file makes PIL start Ghostscript or another surprising reader.
PIL_FORMATS = (
    *("PNG", "JPEG", "WEBP", "BMP", "TIFF", "DIB", "GIF", "PPM", "JPEG2000"),
    *(("AVIF",) if features.check("avif") else ()),
)
EXTENSIONS = (
    *("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif"),
    *("apng", "jfif", "jpe", "dib", "ppm", "pgm", "pbm", "pnm", "pfm"),
    *("jp2", "j2k", "j2c", "jpx", "jpf"),
    *(("avif", "avifs") if features.check("avif") else ()),
)
# How files begin whose names say nothing. TIFF is not among them: the raw files of
# cameras begin like it, and show PIL their thumbnail.
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
}
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_STRANGERS = {  # how a file begins, in lower case → what is wrong
    b"<!doctype html": "it is a web page, no image; fetch it again",
    b"<html": "it is a web page, no image; fetch it again",
    b"<svg": "it is an SVG drawing, which is not read; save it as PNG",
    b"<?xml": "it is XML, maybe an SVG drawing, which is not read; save it as PNG",
    b"%pdf": "it is a PDF, which is not read; save it as PNG",
    b"8bps": "it is a Photoshop file, which is not read; save it as PNG",
    b"version https://git-lfs": "it is a pointer of Git LFS; fetch it: git lfs pull",
}
COLORS = {"gray": 1, "rgb": 3}
DEEP_WHITE = 65535
_LARGE_PIXELS = 16_000_000
_PHOTOMETRIC = 262  # TIFF's tag of what the values mean; 0: the lowest is white

_GRAY_MODES = ("1", "L", "LA", "La", "I", "F")
_Turn = Image.Transpose
_TURNS = {  # EXIF orientation → what makes the image upright
    2: _Turn.FLIP_LEFT_RIGHT,
    3: _Turn.ROTATE_180,
    4: _Turn.FLIP_TOP_BOTTOM,
    5: _Turn.TRANSPOSE,
    6: _Turn.ROTATE_270,
    7: _Turn.TRANSVERSE,
    8: _Turn.ROTATE_90,
}
_SIDEWAYS = (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8])  # width becomes height


class Header(NamedTuple):
    """What an image file says about itself before its pixels are decoded."""

    width: int  # as seen: after the EXIF rotation
    height: int
    mode: str


def check_look(size: tuple[int, int] | None, color: str | None) -> None:
    """Check the size and colour that a user asks all images to be brought to."""
    if color is not None and color not in COLORS:
        raise DataError(
            f"color is {color!r}; give {' or '.join(map(repr, COLORS))}, or leave it "
            "out to keep the images' own."
        )
    if size is not None and not (
        len(size) == 2 and min(size) >= 1 and size[0] * size[1] <= MAX_PIXELS
    ):
        raise DataError(
            f"size is {size}; give (height, width), each at least 1 pixel and at most "
            f"{MAX_PIXELS:,} pixels together."
        )


def is_gray(mode: str) -> bool:
    """Say whether PIL's mode has no colour; palettes count as colour."""
    return mode in _GRAY_MODES or mode.startswith("I;16")


def format_of(path: bytes) -> str | None:
    """Recognise an image by how its file begins; None if it is not one we know."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait
            return None
        with open(path, "rb") as file:
            begins = file.read(32)
    except OSError:
        return None
    for beginning, kind in _BEGINNINGS.items():
        if begins.startswith(beginning):
            return kind
    if begins[:4] == b"RIFF" and begins[8:12] == b"WEBP":
        return "WEBP"
    is_avif = begins[4:8] == b"ftyp" and begins[8:12] in (b"avif", b"avis")
    return "AVIF" if is_avif and "AVIF" in PIL_FORMATS else None


def read_header(file: BinaryIO) -> Header:
    """Read size and mode, decoding no pixel."""
    with open_checked(file) as image:
        width, height = image.size
        # PIL has already turned the size of a TIFF.
        if image.format != "TIFF" and _TURNS.get(_orientation(image)) in _SIDEWAYS:
            width, height = height, width
        return Header(width, height, image.mode)


def decode(
    file: BinaryIO,
    *,
    channels: int,
    size: tuple[int, int] | None,
    white: int = DEEP_WHITE,
) -> NDArray[np.uint8]:
    """Read one image as (h, w, channels) uint8.

    Parameters
    ----------
    channels : 1 for gray, 3 for RGB.
    size : (height, width) to stretch the image to, or None to keep its own.
    white : the value that is white in gray of more than 8 bits: 65535, or 255.
    """
    with open_checked(file) as image:
        box = None if size is None else _shrink_jpeg(image, size)
        with _one_large_at_a_time(image):
            image.load()
            turn = _TURNS.get(_orientation(image))
            # Turned last, when the image is small and the box still means something.
            stored_size = size[::-1] if size and turn in _SIDEWAYS else size
            plain = _fit(image, channels, stored_size, box, white)
            return _as_array(plain if turn is None else plain.transpose(turn))


def fit(
    image: Image.Image, *, channels: int, size: tuple[int, int] | None
) -> NDArray[np.uint8]:
    """Bring a decoded image to the asked channels and size: (h, w, channels) uint8."""
    return _as_array(_fit(image, channels, size, None, DEEP_WHITE))


def is_deep(mode: str) -> bool:
    """Say whether PIL's mode is gray of 16 or 32 bits."""
    return mode.startswith("I")


def highest_gray(file: BinaryIO) -> int:
    """Read an image of `is_deep` gray; give its highest value."""
    with open_checked(file) as image, _one_large_at_a_time(image):
        image.load()
        return int(_deep_values(image).max())


def reason(error: Exception) -> str:
    """Say in a few words why an image could not be read."""
    match error:
        case DataError():
            return str(error)
        case FileNotFoundError():
            return "there is no such file"
        case PermissionError():
            return "permission to read it is denied"
        case UnidentifiedImageError():
            known = ", ".join(PIL_FORMATS)
            return f"no image of a known format ({known}), or its header is damaged"
        case Image.DecompressionBombError():
            return f"its header says more than {MAX_PIXELS:,} pixels"
        case MemoryError():
            return "too large to decode in the memory there is"
        case OSError(errno=int()):
            return f"cannot be opened: {error.strerror}"
        case _:
            return f"cut short or damaged: {error or type(error).__name__}"


_large_lock = threading.Lock()


def _one_large_at_a_time(image: Image.Image) -> contextlib.AbstractContextManager[Any]:
    """Let a large image wait for others: with its copies it may be a gigabyte."""
    is_large = image.width * image.height > _LARGE_PIXELS
    return _large_lock if is_large else contextlib.nullcontext()


_quiet_lock = threading.Lock()
_quiet_users = 0
_quiet_stack = contextlib.ExitStack()


@contextlib.contextmanager
def quiet_pil() -> Iterator[None]:
    """Hide PIL's own warnings: whatever is wrong with an image is told as a problem.

    Enter it around a batch, not in the threads that decode: Python's warning filters
    are global, so overlapping users share one change and the last one undoes it.
    """
    global _quiet_users
    with _quiet_lock:
        if _quiet_users == 0:
            _quiet_stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _quiet_users += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_users -= 1
            if _quiet_users == 0:
                _quiet_stack.close()


def open_checked(file: BinaryIO) -> Image.Image:
    """Read the header and refuse what must not be decoded."""
    check_beginning(file)
    try:
        image = Image.open(file, formats=PIL_FORMATS)  # refuses empty images itself
    except UnidentifiedImageError:
        file.seek(0)
        what = _stranger(file.read(512))
        if what is None:
            raise
        raise DataError(what) from None
    check_image(image, file)
    return image


def _stranger(begins: bytes) -> str | None:
    """Say what a file is that has the name of an image; None if that is unknown."""
    if begins[4:8] == b"ftyp" and begins[8:12] in _HEIC_BRANDS:
        return "it is a HEIC image, which is not read; save it as JPEG or PNG"
    text = begins.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, what in _STRANGERS.items():
        if text.startswith(beginning):
            return what
    return None


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 (upright) where there is none or it is garbled."""
    try:
        # Image's own method: PNG's decodes all pixels to look for EXIF behind them.
        exif = Image.Image.getexif(image)
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # PIL's parsers raise anything on garbled EXIF; the pixels count
        return 1


def _shrink_jpeg(
    image: Image.Image, size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Let a JPEG be decoded at 1/2, 1/4 or 1/8, for a fraction of the time.

    Three times the asked size leaves the bicubic filter enough to work on; both sides
    get the larger one, as the image may still be turned. Gives the part of the shrunk
    image that the original covers: 601 pixels at 1/4 are 150.25 of 151.
    """
    drafted = image.draft(None, (3 * max(size), 3 * max(size)))
    return None if drafted is None else drafted[1]


def _fit(
    image: Image.Image,
    channels: int,
    size: tuple[int, int] | None,
    box: tuple[float, float, float, float] | None,
    white: int,
) -> Image.Image:
    plain = _to_gray_or_rgb(image, white)
    mode = "L" if channels == 1 else "RGB"
    if plain.mode != mode:
        plain = plain.convert(mode)
    if size is None or plain.size == (size[1], size[0]):
        return plain
    bicubic = Image.Resampling.BICUBIC
    return plain.resize((size[1], size[0]), bicubic, box=box, reducing_gap=3.0)


def _deep_values(image: Image.Image) -> NDArray[np.int32]:
    """Give gray of 16 or 32 bits as (h, w), the highest value the brightest."""
    values = np.asarray(image).astype(np.int32)
    # PIL turns files in which 0 is white around, except those of 16 bits.
    if image.mode.startswith("I;16") and _is_white_zero(image):
        values = DEEP_WHITE - values
    return values


def _is_white_zero(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})  # TIFF's alone
    return bool(tags.get(_PHOTOMETRIC) == 0)


def _as_array(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image).reshape(image.height, image.width, -1)  # (h, w, c)


def _to_gray_or_rgb(image: Image.Image, white: int) -> Image.Image:
    """Turn any mode into L or RGB, transparent parts white."""
    if image.mode == "F":
        raise DataError("it holds floating-point pixels; save it with 8 or 16 bits")
    if is_deep(image.mode):
        return Image.fromarray(_to_8_bits(image, white))
    if _has_unused_alpha(image):
        return image.convert("RGB")
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        # Another copy of a large image is a quarter of a gigabyte.
        over = image if image.mode == "RGBA" else image.convert("RGBA")
        canvas.alpha_composite(over)
        return canvas.convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if is_gray(image.mode) else "RGB")


def _has_unused_alpha(image: Image.Image) -> bool:
    """Tell a BMP whose fourth byte is 0 everywhere: as alpha it would hide all."""
    is_bmp = image.format in ("BMP", "DIB") and image.mode == "RGBA"
    return is_bmp and image.getchannel("A").getextrema()[1] == 0


def _to_8_bits(image: Image.Image, white: int) -> NDArray[np.uint8]:
    """Scale 16-bit gray to (h, w) uint8; PIL's own conversion would clip at 255."""
    values = _deep_values(image)
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > white:
        wanted = "8 or 16 bits"
        if highest <= DEEP_WHITE and lowest >= 0:
            wanted = f"values up to {white}, as the other files have"
        raise DataError(
            f"its gray values go from {lowest} to {highest}; save it with {wanted}"
        )
    step = white // 255
    scaled = (values + step // 2) // step  # v / 257, rounded: 65535 is 255
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[values == transparent] = 255
    return scaled.astype(np.uint8)
