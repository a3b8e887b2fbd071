"""A folder of images; its sub-folders are the classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from lfkit.data.class_names import discover, number_names
from lfkit.data.datasets.decoding import EXTENSIONS, format_of
from lfkit.data.datasets.folder_layout import find_layout
from lfkit.data.datasets.image_files import Files
from lfkit.data.datasets.metadata_files import (
    NAMES,
    Metadata,
    read_metadata,
    read_metadata_column,
)
from lfkit.data.label_cells import means_nothing, read_cells, spelling
from lfkit.errors import DataError

RUN_FILES = {b"run.json", b"blocks.arrow", b".lock", b"studio-session.json"}
_SUFFIXES = tuple(f".{extension}".encode() for extension in EXTENSIONS)
# What systems leave in folders; hidden files are left out anyway.
JUNK = {
    *(b"__macosx", b"thumbs.db", b"ehthumbs.db", b"desktop.ini", b"@eadir"),
    *(b"$recycle.bin", b"system volume information", b"lost+found", b"__pycache__"),
}
_NO_IMAGES = {  # not looked into
    *(b".txt", b".csv", b".tsv", b".json", b".jsonl", b".xml", b".html", b".md"),
    *(b".parquet", b".yaml", b".yml", b".pdf", b".py", b".ipynb", b".zip", b".gz"),
    *(b".npy", b".npz", b".mat", b".tar", b".db", b".mp4", b".log"),
}
_MOST_TYPES = 8


def is_folder(path: Path) -> bool:
    """Recognise any folder; ask the formats that are folders of other things first."""
    return path.is_dir()


def open_folder(path: Path, split: str | None) -> Files:
    """List the images below a folder, sorted by path.

    Folders named train, test and the like are splits, all others of the first level
    are classes, unless a `metadata.csv` (`.jsonl`, `.parquet`) beside the images has
    their labels. Hidden files are left out, and sub-folders that are runs of lfkit.
    """
    if split is not None:
        raise DataError(f"{path} has no splits; give the folder {path / split}.")
    scan = _scan(os.fsencode(path))
    if not scan.names:
        other = f"; it holds {_types(scan.unread)}" if scan.unread else ""
        raise DataError(
            f"{path} holds no image ({', '.join(EXTENSIONS)}){other}; give another "
            "folder."
        )
    names = sorted(scan.names)
    layout = find_layout(names)
    metadata = read_metadata(path, names, sorted(scan.tables))
    notes = [*layout.notes, *scan.notes()]
    splits = layout.splits
    where = str(path)
    are_classes = True
    labels, class_names, decided = number_names(layout.classes, where)
    if metadata is not None:
        notes += metadata.notes
        splits = splits or metadata.splits
        if metadata.labels is not None:
            chosen, is_named, note = _reconciled(
                layout.classes, metadata.labels, metadata, names
            )
            notes += note
            if is_named:
                labels, class_names, decided = number_names(chosen, where)
            else:
                cells = read_cells(pa.array(chosen, pa.string()), metadata.source)
                found = discover(
                    cells,
                    metadata.source,
                    lambda row: f"{metadata.path} gives {_text(names[row])}",
                )
                labels, class_names, decided = found.labels, found.names, found.notes
                are_classes = False
    return Files(
        str(path),
        pa.array(names, pa.binary()),
        labels,
        class_names,
        splits=None if splits is None else pa.array(splits, pa.string()),
        folders_are_classes=are_classes,
        column=None
        if metadata is None
        else lambda name: read_metadata_column(path, names, sorted(scan.tables), name),
        notes=(*notes, *decided),
    )


def _reconciled(
    folders: Sequence[str | None],
    labels: Sequence[str | None],
    metadata: Metadata,
    names: Sequence[bytes],
) -> tuple[Sequence[str | None], bool, list[str]]:
    """Choose between the folders' names and a table's labels.

    Gives n labels, whether they are names of folders, and notes.

    Raises
    ------
    DataError
        If both give classes and they contradict each other.
    """
    folders = [None if name is None else spelling(name) for name in folders]
    of_folders = set(folders)
    known = {
        label
        for label in labels
        if label and (label in of_folders or not means_nothing(label))
    }
    both = [row for row, label in enumerate(labels) if label in known and folders[row]]
    pairs = {(folders[row], labels[row]) for row in both}
    wrong = [row for row in both if folders[row] != labels[row]]
    source = metadata.source
    is_shared = not known.isdisjoint(of_folders)
    if not wrong and (is_shared or not known):
        # The same names: what the table does not list, the folder does.
        pairs_of_all = zip(labels, folders, strict=True)
        joined = [label if label in known else folder for label, folder in pairs_of_all]
        return joined, True, []
    if not wrong:
        return labels, False, [f"the labels are those of {source}"]
    if {folder for folder, _ in pairs} & {label for _, label in pairs}:
        row = wrong[0]
        raise DataError(
            f"the folder's name and {metadata.path} disagree on {len(wrong):,} of "
            f"{len(both):,} images: {_text(names[row])} has the label {labels[row]!r} "
            f"there; correct one of them, or give {metadata.path} itself as the data "
            "to take its labels."
        )
    is_one_to_one = (
        len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    )
    if is_one_to_one and all((label or "").isdecimal() for _, label in pairs):
        return (
            folders,
            True,
            [f"the classes are named by their folders; {source} numbers the same ones"],
        )
    return (
        labels,
        False,
        [
            f"the labels are those of {source}; the names of the folders are not among "
            "them, and are not taken for classes"
        ],
    )


@dataclass
class _Scan:
    """What a folder holds.

    Attributes
    ----------
    names : paths of images, relative to the folder.
    tables : paths of tables that may hold labels.
    unread : ending → number of files of types that are not read.
    by_content : images that their names do not tell.
    links : links to folders that are listed anyway.
    """

    names: list[bytes] = field(default_factory=list)
    tables: list[bytes] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    by_content: list[tuple[bytes, str]] = field(default_factory=list)
    links: list[bytes] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Say what was left out, and what was read although its name is unusual."""
        notes = []
        if self.unread:
            notes.append(f"{_types(self.unread)} left out")
        if self.by_content:
            name, kind = min(self.by_content)
            n = len(self.by_content)
            files = "1 file is" if n == 1 else f"{n:,} files are"
            notes.append(
                f"{files} read as what they contain, such as {_text(name)}: {kind}"
            )
        if self.links:
            n = len(self.links)
            links = "1 link to a folder" if n == 1 else f"{n:,} links to folders"
            notes.append(
                f"{links} inside of the data left aside, such as "
                f"{_text(min(self.links))}"
            )
        return notes


def _scan(folder: bytes) -> _Scan:
    """List the files below a folder, as paths relative to it."""
    scan = _Scan()
    root = os.path.realpath(folder)
    # Folders to look into: path, prefix of names, device and inode of those above.
    waiting: list[tuple[bytes, bytes, frozenset[tuple[int, int]]]] = [
        (folder, b"", frozenset())
    ]
    while waiting:
        here, prefix, above = waiting.pop()
        status = os.stat(here)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            continue  # links are followed, but not in circles
        with os.scandir(here) as entries:
            listed = list(entries)
        if prefix and not RUN_FILES.isdisjoint(entry.name for entry in listed):
            continue  # a run inside the data has images too: its contact sheet
        plain_names = {entry.name.lower() for entry in listed}
        for entry in listed:
            name, plain = prefix + entry.name, entry.name.lower()
            if plain.startswith(b".") or plain in JUNK:
                continue
            linked = entry.is_symlink()
            # os.path.isdir, as DirEntry.is_dir raises on links that form a circle.
            if os.path.isdir(entry.path) if linked else entry.is_dir():
                if linked and _is_inside(entry.path, root):
                    scan.links.append(name)  # its images are listed where they lie
                else:
                    waiting.append((entry.path, name + b"/", above | {identity}))
            # A link to nowhere is listed too, so that it is reported.
            elif plain.endswith(_SUFFIXES) and (linked or entry.is_file()):
                scan.names.append(name)
            elif plain in NAMES:
                scan.tables.append(name)
            # `lfkit generate` writes a manifest.json beside its table.
            elif plain != b"manifest.json" or plain_names.isdisjoint(NAMES):
                _other_file(scan, entry, name)
    return scan


def _is_inside(link: bytes, root: bytes) -> bool:
    target = os.path.realpath(link)
    return target == root or target.startswith(root.rstrip(b"/") + b"/")


def _other_file(scan: _Scan, entry: os.DirEntry[bytes], name: bytes) -> None:
    """Look into a file of another ending: some are images under another name."""
    ending = os.path.splitext(entry.name.lower())[1]
    kind = None if ending in _NO_IMAGES else format_of(entry.path)
    if kind is not None:
        scan.names.append(name)
        scan.by_content.append((name, kind))
        return
    text = _text(ending)
    scan.unread[text if text.isprintable() and len(text) < 12 else ""] += 1


def _types(unread: Counter[str]) -> str:
    """Count files by their endings."""
    total = sum(unread.values())
    listed = [
        f"{count:,} {ending or 'without an ending'}"
        for ending, count in sorted(
            unread.items(), key=lambda item: (-item[1], item[0])
        )
    ]
    more = ", …" if len(listed) > _MOST_TYPES else ""
    files = (
        "1 file of a type that is"
        if total == 1
        else f"{total:,} files of types that are"
    )
    return f"{files} not read ({', '.join(listed[:_MOST_TYPES])}{more})"


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
