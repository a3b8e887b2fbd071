"""Labels in a table beside images, as Hugging Face's imagefolder writes them."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from lfkit.data.datasets.manifest import Listing, read_column, read_listing, slashes
from lfkit.data.label_cells import number, read_cells
from lfkit.errors import DataError

NAMES = (b"metadata.csv", b"metadata.jsonl", b"metadata.parquet")


class Metadata(NamedTuple):
    """What the tables of a folder say of its images.

    Attributes
    ----------
    source : the tables' names, for messages.
    path : of the first table.
    labels : n labels as text, None where a table gives none; None without labels.
    splits : n names such as "train", None where there is none; None without splits.
    notes : what a user should know.
    """

    source: str
    path: Path
    labels: list[str | None] | None
    splits: list[str | None] | None
    notes: tuple[str, ...]


def read_metadata(
    folder: Path, names: Sequence[bytes], tables: Sequence[bytes]
) -> Metadata | None:
    """Read the tables that lie beside images; None if none of them lists any.

    Parameters
    ----------
    names : n paths of images, relative to the folder.
    tables : paths of the tables, relative to the folder; what one lists is relative to
        where it lies.
    """
    if not tables:
        return None
    row_of = {name: row for row, name in enumerate(names)}
    labels: list[str | None] = [None] * len(names)
    splits: list[str | None] = [None] * len(names)
    found = _Found([], set(), False, [])
    for table in tables:
        _read_table(folder, table, row_of, labels, splits, found)
    if not found.rows:
        return _nothing(found, folder)
    source = " and ".join(
        table.decode("utf-8", "backslashreplace") for table in tables[:3]
    )
    unlisted = [row for row in range(len(names)) if row not in found.rows]
    notes = [*found.notes, *_missing_notes(source, found, names, unlisted)]
    return Metadata(
        source,
        folder / Path(tables[0].decode("utf-8", "surrogateescape")),
        labels if found.has_labels else None,
        splits if any(split is not None for split in splits) else None,
        tuple(notes),
    )


def read_metadata_column(
    folder: Path, names: Sequence[bytes], tables: Sequence[bytes], column: str
) -> list[str | None]:
    """Read a column of the tables that lie beside images, n texts.

    None for images that no table lists; the arguments are those of `read_metadata`.
    """
    row_of = {name: row for row, name in enumerate(names)}
    found: list[str | None] = [None] * len(names)
    root = os.fsencode(os.path.abspath(folder)) + b"/"
    for table in tables:
        path = folder / Path(table.decode("utf-8", "surrogateescape"))
        listing = read_listing(path)
        if listing is None:
            continue
        cells = zip(_texts(listing.paths), read_column(path, column), strict=True)
        for name, text in cells:
            row = _row(name or "", root, table.rpartition(b"/")[0], row_of)
            if row is not None:
                found[row] = text
    return found


class _Found:
    """What reading several tables has shown so far.

    Attributes
    ----------
    notes : for the user.
    rows : of the images that a table lists.
    has_labels : whether any table has a column of labels.
    missing : what the tables list that is not there, or not an image.
    """

    def __init__(
        self, notes: list[str], rows: set[int], has_labels: bool, missing: list[str]
    ) -> None:
        self.notes, self.rows = notes, rows
        self.has_labels, self.missing = has_labels, missing


def _nothing(found: _Found, folder: Path) -> Metadata | None:
    """Say what tables hold that list none of the images."""
    notes = list(found.notes)
    if found.missing:
        notes.append(_listed_note("the table beside the images", found.missing))
    return Metadata("", folder, None, None, tuple(notes)) if notes else None


def _read_table(
    folder: Path,
    table: bytes,
    row_of: dict[bytes, int],
    labels: list[str | None],
    splits: list[str | None],
    found: _Found,
) -> None:
    shown = table.decode("utf-8", "backslashreplace")
    path = folder / Path(table.decode("utf-8", "surrogateescape"))
    listing = read_listing(path)
    if listing is None:
        found.notes.append(
            f"{shown} is not read: it has no column 'file_name' that names the images"
        )
        return
    found.notes += listing.notes
    if listing.labels is None:
        found.notes.append(f"{shown} has no column 'label': it gives no labels")
    found.has_labels |= listing.labels is not None
    root = os.fsencode(os.path.abspath(folder)) + b"/"
    above = table.rpartition(b"/")[0]
    texts = _label_texts(listing, path)
    parts = [None] * len(texts) if listing.splits is None else _texts(listing.splits)
    for name, label, split in zip(_texts(listing.paths), texts, parts, strict=True):
        row = _row(name or "", root, above, row_of)
        if row is None:
            found.missing.append(name or "")
            continue
        if row in found.rows and labels[row] != label:
            raise DataError(
                f"{path} gives {name} the label {label!r}, and it has {labels[row]!r} "
                "in the same or another table; list each image once."
            )
        found.rows.add(row)
        labels[row] = label
        splits[row] = split


def _row(name: str, root: bytes, above: bytes, row_of: dict[bytes, int]) -> int | None:
    """Find the image that a table in the folder `above` calls by this name."""
    for spelled in (name, slashes(name)):
        inside = posixpath.normpath(
            posixpath.join(above, spelled.encode("utf-8", "surrogateescape"))
        )
        row = row_of.get(inside.removeprefix(root))
        if row is not None:
            return row
    return None


def _label_texts(listing: Listing, path: Path) -> list[str | None]:
    """Write labels in the one spelling in which they are compared; -1 is none."""
    if listing.labels is None:
        return [None] * len(listing.paths)
    cells = read_cells(listing.labels, f"the column of labels of {path}")
    spelled = [None if number(text) == -1 else text for text in cells.spellings]
    return [*map([*spelled, None].__getitem__, cells.codes.tolist())]


def _texts(column: pa.Array) -> list[str | None]:
    """Give texts without the spaces around them, None for empty ones."""
    stripped = [None if text is None else text.strip() for text in column.to_pylist()]
    return [text or None for text in stripped]


def _missing_notes(
    source: str, found: _Found, names: Sequence[bytes], unlisted: Sequence[int]
) -> list[str]:
    notes = []
    if found.missing:
        notes.append(_listed_note(source, found.missing))
    if unlisted:
        example = names[unlisted[0]].decode("utf-8", "backslashreplace")
        notes.append(
            f"{len(unlisted):,} of {len(names):,} images are not listed in {source}, "
            f"such as {example}"
        )
    return notes


def _listed_note(source: str, missing: Sequence[str]) -> str:
    files = (
        "1 file that is" if len(missing) == 1 else f"{len(missing):,} files that are"
    )
    return f"{source} lists {files} not there, or no image, such as {missing[0]}"
