"""Read a file that may be damaged: what a parser raises becomes one sentence.

A file can be cut off, garbled, empty, a folder, of another program or of another
version of lfkit. Parsers raise some thirty kinds of errors for it.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lfkit.errors import InputError, LfkitError, RunError
from lfkit.runs.json_text import to_json

if TYPE_CHECKING:  # votes are read without it
    from pydantic import BaseModel

_Record = TypeVar("_Record", bound="BaseModel")
_CHECKSUM = "checksum"
_MOST_REASON = 200  # characters of what a parser says


@contextlib.contextmanager
def reading(
    path: Path, remedy: str, error: type[InputError] = RunError
) -> Iterator[None]:
    """Turn whatever fails inside into one sentence that names the file.

    Only parsing belongs inside: the mistakes of other code would be called damage, too.

    Parameters
    ----------
    remedy : what to do, "delete it and run again".
    error : the kind of error to raise.
    """
    try:
        yield
    except Exception as damage:  # no list of what parsers raise was ever complete
        if isinstance(damage, LfkitError) and str(path) in str(damage):
            raise
        raise error(f"{path} cannot be read ({_reason(damage)}); {remedy}.") from damage


def read_text(path: Path) -> str:
    """Read UTF-8, whatever the system's own encoding."""
    return path.read_text(encoding="utf-8")


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON file that holds an object."""
    with reading(path, remedy):
        found = json.loads(read_text(path))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}, not an object")
    return found


def as_record(
    kind: type[_Record], found: Mapping[str, Any], path: Path, remedy: str
) -> _Record:
    """Check what a JSON file holds, and give it as the record that it is."""
    from pydantic import ValidationError

    try:
        # As text: what is a tuple here is a list there.
        return kind.model_validate_json(json.dumps(found))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(
            f"{path} cannot be read: {where or 'all'}: {first['msg'].rstrip('.')}; "
            f"{remedy}."
        ) from error


def sealed(content: Mapping[str, Any]) -> bytes:
    """Write a JSON object with a checksum, for `read_sealed`."""
    plain = json.loads(to_json({k: v for k, v in content.items() if k != _CHECKSUM}))
    return to_json(plain | {_CHECKSUM: _checksum(plain)}, indent=1).encode()


def read_sealed(
    path: Path, remedy: str, *, or_unsealed: bool = False
) -> dict[str, Any]:
    """Read what `sealed` wrote; refuse it if it has been changed since.

    Parameters
    ----------
    or_unsealed : take what has no checksum, too: the reader looks at what is in it.
    """
    found = read_object(path, remedy)
    if or_unsealed and _CHECKSUM not in found:
        return found
    if found.pop(_CHECKSUM, None) != _checksum(found):
        raise RunError(
            f"{path} was changed after it was written, or by another lfkit; {remedy}."
        )
    return found


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a training's log, one JSON object a line, as far as it is whole.

    A killed training leaves its last line cut off. Lines that are damaged are left
    out, and what is no number.
    """
    lines: list[dict[str, Any]] = []
    if not path.exists():
        return lines
    with reading(path, "delete it: it is only for charts"):
        text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            held = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(held, dict) or type(held.get("step")) is not int:
            continue
        lines.append({k: v for k, v in held.items() if type(v) in (int, float)})
    return lines


def _checksum(plain: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(plain, sort_keys=True).encode())


def _reason(damage: Exception) -> str:
    if isinstance(damage, KeyError):
        return f"it lacks {damage}"
    if isinstance(damage, OSError) and damage.strerror:
        return damage.strerror
    if isinstance(damage, UnicodeDecodeError):
        return "it is not text in UTF-8"
    said = " ".join(str(damage).split()) or type(damage).__name__
    return said if len(said) <= _MOST_REASON else f"{said[:_MOST_REASON]}…"
