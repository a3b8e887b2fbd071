"""How the folders of a data set are meant: as classes, as splits, or as wrapping."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# Folders of these names are parts of the data, if all beside them are, too. Words that
# often stand with them, and years, are allowed; others not: bullet_train is a class.
_ROLES = rb"train|training|test|testing|val|valid|validation"
_OTHER_ROLES = rb"dev|eval|evaluation|holdout|pred|prediction|unlabell?ed"
_BESIDE = rb"set|data|dataset|images?|imgs?|split|seg|(?:19|20)[0-9][0-9]"
_SPLIT = re.compile(
    rb"(?:(?:%b)[ _-]?)?(?:%b)(?:[ _-]?(?:%b))*" % (_BESIDE, _ROLES, _BESIDE)
)
_ALSO_SPLIT = re.compile(
    rb"(?:(?:%b)[ _-]?)?(?:%b)(?:[ _-]?(?:%b))*" % (_BESIDE, _OTHER_ROLES, _BESIDE)
)
# A folder that stands alone under one of these names only holds the images.
_WRAPPING = {
    *(b"images", b"image", b"imgs", b"img", b"photos", b"pictures", b"pics"),
    *(b"data", b"dataset", b"jpegimages"),
}


class Layout(NamedTuple):
    """What the folders above n images say.

    Attributes
    ----------
    classes : n folder names, None for an image beside the classes' folders.
    splits : n folder names such as "train"; None if no folders are splits.
    notes : what was decided, for the user.
    """

    classes: list[str | None]
    splits: list[str | None] | None
    notes: tuple[str, ...]


def find_layout(names: Sequence[bytes]) -> Layout:
    """Tell the folders that are classes from those that are splits or wrapping.

    >>> layout = find_layout([b"train/cat/1.png", b"test/dog/2.png"])
    >>> layout.classes, layout.splits
    (['cat', 'dog'], ['train', 'test'])
    """
    # There are fewer folders than images: a million names are not taken apart.
    position: dict[bytes, int] = {}
    rows = [
        position.setdefault(name.rpartition(b"/")[0], len(position)) for name in names
    ]
    found = _layout_of([[*filter(None, path.split(b"/")), b""] for path in position])
    splits = found.splits
    return Layout(
        [found.classes[row] for row in rows],
        None if splits is None else [splits[row] for row in rows],
        found.notes,
    )


def _layout_of(below: list[list[bytes]]) -> Layout:
    """Find the layout of one image for each folder, given as the parts of its path."""
    splits: list[str | None] | None = None
    notes: list[str] = []
    while True:
        heads = sorted({parts[0] for parts in below if len(parts) > 1})
        if splits is None and _are_splits(heads):
            splits = [_head(parts) for parts in below]
            notes.append(
                f"the folders {_shown(heads)} are taken for splits, not for classes; "
                "images.parquet keeps them in its column split"
            )
        elif splits is not None and heads and _repeats(below, splits):
            pass  # as in train/train/cat
        elif len(heads) == 1 and _wraps(below, heads[0]):
            notes.append(f"the folder {_shown(heads)} alone is not taken for a class")
        else:
            break
        below = [parts[1:] if len(parts) > 1 else parts for parts in below]
    if splits is None and _are_splits(
        [*{parts[1] for parts in below if len(parts) > 2}]
    ):
        splits = [_head(parts[1:]) for parts in below]  # as in cat/train
    return Layout([_head(parts) for parts in below], splits, tuple(notes))


def _head(parts: Sequence[bytes]) -> str | None:
    return _shown(parts[:1]) if len(parts) > 1 else None


def _are_splits(heads: Sequence[bytes]) -> bool:
    are_main = [_SPLIT.fullmatch(head.lower()) is not None for head in heads]
    are_other = [_ALSO_SPLIT.fullmatch(head.lower()) is not None for head in heads]
    pairs = zip(are_main, are_other, strict=True)
    return any(are_main) and all(main or other for main, other in pairs)


def _repeats(below: Sequence[Sequence[bytes]], splits: Sequence[str | None]) -> bool:
    """Say whether every split holds one folder of its own name."""
    pairs = zip(below, splits, strict=True)
    return all(_head(parts) == split for parts, split in pairs if split is not None)


def _wraps(below: Sequence[Sequence[bytes]], head: bytes) -> bool:
    """Say whether the one folder there is holds all classes, and is none itself."""
    if head.lower() in _WRAPPING:
        return True
    if any(len(parts) < 3 for parts in below):
        return False
    inner = sorted({parts[1] for parts in below})
    if len(inner) > 1 or _are_splits(inner):
        return True
    return _wraps([parts[1:] for parts in below], inner[0])


def _shown(heads: Sequence[bytes]) -> str:
    return ", ".join(head.decode("utf-8", "backslashreplace") for head in heads)
