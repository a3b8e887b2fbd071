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
from lfkit.data.datasets.image_limits import MAX_BYTES
from lfkit.data.datasets.packed_images import Content
from lfkit.data.places import read_place
from lfkit.errors import DataError

_ENDINGS = tuple(f".{ending}" for ending in EXTENSIONS)
_BLOCK_BYTES = 512
_GZIP = b"\x1f\x8b"


def read_tar(place: str) -> tuple[Sequence[str], Sequence[Content]]:
    """Find the images of a tar file: n names, and the bytes of each.

    Nothing is unpacked to the disk, and the bytes are those of the file, not copies.

    Raises
    ------
    DataError
        If the file is damaged or cut, or holds files but no image.
    """
    data = read_place(place)
    if not data:
        raise DataError(f"{place} is empty; fetch it again.")
    names: list[bytes] = []
    contents: list[Content] = []
    held: dict[str, Content] = {}  # what hard links may point to
    others: list[str] = []
    try:
        if data.startswith(_GZIP):
            data = gzip.decompress(data)  # checks the sums of all of it
        whole = pa.py_buffer(data)
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                if not member.name.lower().endswith(_ENDINGS):
                    others.append(member.name)
                    continue
                content = _content(archive, member, whole, held)
                held[posixpath.normpath(member.name)] = content
                names.append(member.name.encode("utf-8", "surrogateescape"))
                contents.append(content)
            end = archive.offset
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise DataError(
            f"{place} cannot be read as a tar file: {error}; fetch it again."
        ) from error
    _check_end(place, memoryview(data)[end:], end)
    if others and not names:
        raise DataError(
            f"{place} holds no images, but {len(others):,} other files, such as "
            f"{others[0]!r}; give files of images."
        )
    return names_as_text(pa.array(names, pa.binary())).to_pylist(), contents


def _content(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    whole: pa.Buffer,
    held: dict[str, Content],
) -> Content:
    """Give a member's bytes, or why there are none."""
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
    if member.issparse():
        file = archive.extractfile(member)
        return pa.py_buffer(b"" if file is None else file.read())
    if member.offset_data + member.size > whole.size:
        raise EOFError("unexpected end of data")
    return whole.slice(member.offset_data, member.size)


def _check_end(place: str, rest: memoryview, at: int) -> None:
    """Refuse a file that does not go on with zeros where tarfile stopped.

    tarfile takes a damaged header, and the end of a file that was cut, for the end.
    """
    if len(rest) < _BLOCK_BYTES:
        raise DataError(
            f"{place} was cut: it lacks the block that ends a tar file; fetch it again."
        )
    if any(rest[:_BLOCK_BYTES]):
        raise DataError(f"{place} is damaged at byte {at:,}; fetch it again.")
    if bytes(rest).count(0) < len(rest):
        raise DataError(
            f"{place} goes on behind its end at byte {at:,}, as joined tar files do; "
            "give each as a file of its own."
        )
