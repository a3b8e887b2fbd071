"""The images of a tar file, none left out in silence."""

from __future__ import annotations

import gzip
import io
import posixpath
import tarfile
import zlib
from collections.abc import Sequence

import pyarrow as pa

from lfkit.data.datasets.decoding import EXTENSIONS
from lfkit.data.datasets.image_files import names_as_text
from lfkit.data.datasets.image_limits import MAX_BYTES, most_unpacked
from lfkit.data.datasets.packed_images import Content
from lfkit.data.places import read_place
from lfkit.errors import DataError

_ENDINGS = tuple(f".{ending}" for ending in EXTENSIONS)
_BLOCK_BYTES = 512
_CHUNK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"


def read_tar(place: str) -> tuple[Sequence[str], Sequence[Content]]:
    """Find the images of a tar file: n names, and the bytes of each.

    Nothing is unpacked to the disk, and the bytes are those of the file, not copies. Of
    a compressed one no more is unpacked than `most_unpacked` allows, headers and all;
    an image beyond that is a problem.

    Raises
    ------
    DataError
        If the file is damaged or cut, holds files but no image, or its headers alone
        unpack to more than may be.
    """
    data = read_place(place)
    if not data:
        raise DataError(f"{place} is empty; fetch it again.")
    names: list[bytes] = []
    contents: list[Content] = []
    held: dict[str, Content] = {}  # what hard links may point to
    others: list[str] = []
    left = most_unpacked(len(data))
    packed = _Unzipped(data, left) if data.startswith(_GZIP) else None
    whole = None if packed else pa.py_buffer(data)
    file = packed or io.BytesIO(data)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                if not member.name.lower().endswith(_ENDINGS):
                    others.append(member.name)
                    continue
                room = min(left, packed.left) if packed else left
                content = _content(archive, member, whole, held, room)
                if isinstance(content, bytes):
                    left -= len(content)
                held[posixpath.normpath(member.name)] = content
                names.append(member.name.encode("utf-8", "surrogateescape"))
                contents.append(content)
            end = archive.offset
        first, is_last = _behind(file, end)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise DataError(
            f"{place} cannot be read as a tar file: {error}; fetch it again."
        ) from error
    _check_end(place, first, is_last, end)
    if others and not names:
        raise DataError(
            f"{place} holds no images, but {len(others):,} other files, such as "
            f"{others[0]!r}; give files of images."
        )
    return names_as_text(pa.array(names, pa.binary())).to_pylist(), contents


class _Unzipped(gzip.GzipFile):
    """A compressed tar file, read once from its beginning to its end.

    Attributes
    ----------
    last : what was read last.
    left : bytes that may be read, of headers and images.
    """

    def __init__(self, data: bytes, left: int) -> None:
        super().__init__(fileobj=io.BytesIO(data))
        self.last, self.left = b"", left

    def read(self, size: int | None = -1) -> bytes:
        """Unpack some bytes, and no more than an image may have."""
        if size is None or not 0 <= size <= MAX_BYTES:
            raise tarfile.ReadError("one of its headers is too long")
        self.last = super().read(min(size, self.left + 1))
        self.left -= len(self.last)
        if self.left < 0:
            raise tarfile.ReadError("it unpacks to many times its size")
        return self.last


def _content(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    whole: pa.Buffer | None,
    held: dict[str, Content],
    left: int,
) -> Content:
    """Give a member's bytes, or why there are none.

    Parameters
    ----------
    whole : the file; None if it is compressed.
    left : bytes that may be unpacked.
    """
    target = member.linkname.encode("utf-8", "backslashreplace").decode()
    if member.islnk():
        nothing = DataError(
            f"it is a hard link to {target}, no image before it in this file"
        )
        return held.get(posixpath.normpath(member.linkname), nothing)
    if member.issym():
        return DataError(
            f"it is a symbolic link to {target}; pack files, as `tar "
            "--dereference` does"
        )
    if not member.isfile():
        return DataError("it is no file")
    if member.size > MAX_BYTES:
        return DataError(
            f"it is {member.size / 1e6:,.0f} MB long, more than {MAX_BYTES / 1e6:,.0f}"
        )
    if whole is None or member.issparse():
        if member.size > left:
            return DataError(
                f"it is {member.size / 1e6:,.0f} MB long, and its file unpacks to "
                "many times its size"
            )
        file = archive.extractfile(member)
        content = b"" if file is None else file.read(member.size)
        if len(content) < member.size:
            raise EOFError("unexpected end of data")
        return content
    if member.offset_data + member.size > whole.size:
        raise EOFError("unexpected end of data")
    return whole.slice(member.offset_data, member.size)


def _behind(file: io.BufferedIOBase, end: int) -> tuple[bytes, bool]:
    """Give the block where tarfile stopped, and whether only zeros follow.

    What is compressed is read on: going back would unpack all of it again.
    """
    if isinstance(file, _Unzipped):
        first = file.last
    else:
        file.seek(end)
        first = file.read(_BLOCK_BYTES)
    is_last = True
    while chunk := file.read(_CHUNK_BYTES):
        is_last &= chunk.count(0) == len(chunk)
    return first, is_last


def _check_end(place: str, first: bytes, is_last: bool, at: int) -> None:
    """Refuse a file that does not go on with zeros where tarfile stopped.

    tarfile takes a damaged header, and the end of a file that was cut, for the end.
    """
    if len(first) < _BLOCK_BYTES:
        raise DataError(
            f"{place} was cut: it lacks the block that ends a tar file; fetch it again."
        )
    if any(first):
        raise DataError(f"{place} is damaged at byte {at:,}; fetch it again.")
    if not is_last:
        raise DataError(
            f"{place} goes on behind its end at byte {at:,}, as joined tar files do; "
            "give each as a file of its own."
        )
