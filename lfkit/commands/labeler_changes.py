"""What is not as it was when a run was frozen: code, files, libraries."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lfkit.features.user_code.files import MISSING, digest_of, folder_of, is_code
from lfkit.labeling.copied_sources import declared
from lfkit.labeling.frozen_functions import code_keys
from lfkit.labeling.labeling_function import LabelingFunction
from lfkit.labeling.loading import load_lfs
from lfkit.runs.labeler_files import LabelerRecord
from lfkit.runs.run_config import versions


def changes(
    record: LabelerRecord, lfs: Sequence[LabelingFunction], folder: Path
) -> tuple[str, ...]:
    """Say what is not as it was, in a sentence each.

    Copies of files are known by their hashes. What they read elsewhere is compared file
    by file: the hash of a function tells where its file lies, and copies lie elsewhere.

    Parameters
    ----------
    lfs : the labeler's functions, loaded and fitted.
    folder : of the labeler.
    """
    notes = [*_of_modules(record, lfs), *_outside(record), *_read(record, lfs, folder)]
    here = versions()
    other = [
        f"{name} {here.get(name)} (then {version})"
        for name, version in record.versions.items()
        if here.get(name) != version
    ]
    if other:
        notes.append(f"other versions than when the run was frozen: {', '.join(other)}")
    return tuple(notes)


def _of_modules(record: LabelerRecord, lfs: Sequence[LabelingFunction]) -> list[str]:
    modules = [spec for spec in record.specs if spec not in record.sources]
    if not modules:
        return []
    of_modules = {lf.name for lf in load_lfs(modules, kinds=record.kinds).lfs}
    now = code_keys([lf for lf in lfs if lf.name in of_modules])
    then = {each.name: each.code_key for each in record.functions}
    other = [name for name, key in now.items() if then[name] != key]
    if not other:
        return []
    more = f" and {len(other) - 1} others" if len(other) > 1 else ""
    return [
        f"labeling function {other[0]!r}{more}: code, a file it reads, or a library's "
        "version is not what it was when the run was frozen; labels may differ"
    ]


def _outside(record: LabelerRecord) -> Iterator[str]:
    """Compare the files that functions need and that are not in the folder."""
    for name, known in record.outside.items():
        path = Path(name)
        found = {digest_of(str(file)) for file in _places(path)}
        if _content(known) not in map(_content, found):
            state = "not there" if found == {MISSING} else "not what it was"
            yield (
                f"{path}, which functions need, is {state} when the run was frozen; "
                "labels may differ"
            )


def _places(path: Path) -> list[Path]:
    """List the files that are now what a file was: a module may lie elsewhere."""
    loaded = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
    count = 2 if path.name == "__init__.py" else 1
    like = [
        Path(file)
        for file in loaded
        if path.suffix == ".py"
        and isinstance(file, str)
        and Path(file).parts[-count:] == path.parts[-count:]
    ]
    return like or [path]


def _content(digest: str) -> str:
    """Leave out when a large file was changed, which a copy does not keep."""
    return digest.partition(" of ")[0]


def _read(
    record: LabelerRecord, lfs: Sequence[LabelingFunction], folder: Path
) -> Iterator[str]:
    """Name files that copied functions declare elsewhere than they did."""
    own = folder.resolve()
    for what, fn, file in declared(lfs):
        is_known = str(file) in record.outside or is_code(str(file))
        is_copied = folder_of(fn).is_relative_to(own)
        if is_copied and not is_known and not file.is_relative_to(own):
            yield (
                f"{what} reads {file}, which is not in {folder}: what it held when the "
                "run was frozen is not known; labels may differ"
            )
