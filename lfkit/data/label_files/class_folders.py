"""A folder of images per class."""

from __future__ import annotations

from pathlib import Path

from lfkit.data.label_files.label_format import (
    ImagesToExport,
    LabelFormat,
    number_names,
    pictures,
)
from lfkit.data.progress import Progress
from lfkit.errors import DataError

_WITHOUT = "_unlabeled"


class ClassFolders(LabelFormat):
    """Copies of the images, in a folder per class; `_unlabeled` holds the others.

    Names begin with the image's row and end with its own name.
    """

    def _write(
        self, out: Path, images: ImagesToExport, progress: Progress | None
    ) -> list[str]:
        folders = [_folder(name) for name in images.class_names]
        if twice := {name for name in folders if folders.count(name) > 1}:
            raise DataError(
                f"two classes would lie in the folder {min(twice)!r}; rename one."
            )
        for folder in folders:
            (out / folder).mkdir()
        numbers = number_names(len(images.labels))
        for row, data, ending in pictures(images, progress):
            label = int(images.labels[row])
            folder = folders[label] if label >= 0 else _WITHOUT
            (out / folder).mkdir(exist_ok=True)
            stem = Path(str(images.source.ids[row])).stem
            own = "" if stem == str(row) else f"_{_plain(stem)}"
            name = f"{numbers[row]}{own}{ending}"
            (out / folder / name).write_bytes(data)
        if not len(images.rows):
            return []
        return [
            f"Names begin with the image's row, so that none is there twice: {name} is "
            f"{images.source.ids[row]}."
        ]


def _folder(name: str) -> str:
    plain = _plain(name).strip(".") or "_"
    return plain if plain != _WITHOUT else f"{plain}_"


def _plain(name: str) -> str:
    """Take out of a name what some file system does not take."""
    kept = (c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in name)
    return "".join(kept)[:100].strip()
