"""CIFAR-10 and CIFAR-100, binary version: a folder, its .tar.gz, or one .bin."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.data.datasets.array_source import Arrays
from lfkit.data.datasets.disk_cache import (
    CHUNK_BYTES,
    chunks,
    damage_named,
    map_bytes,
    spill,
)
from lfkit.errors import DataError

_SPLITS = {
    "train": ("train.bin", "data_batch_"),
    "test": ("test.bin", "test_batch.bin"),
}
_NAMES_FILES = ("batches.meta.txt", "fine_label_names.txt")
_PICKLED = ({"data_batch_1", "test_batch"}, {"train", "test", "meta"})
_PIXEL_BYTES = 3 * 32 * 32


def is_cifar(path: Path) -> bool:
    """Recognise a folder or archive of CIFAR batches, or one batch."""
    if path.is_dir():
        held = {file.name for file in path.iterdir()}
        return not held.isdisjoint(_names()) or _is_pickled(held)
    return path.suffix == ".bin" or path.name.endswith((".tar.gz", ".tgz"))


def open_cifar(path: Path, split: str | None) -> Arrays:
    """Open a split, train where none is asked for."""
    if split is not None and (split not in _SPLITS or path.suffix == ".bin"):
        raise DataError(
            f"{path} has no split {split!r}; a CIFAR folder or archive has "
            f"{' and '.join(_SPLITS)}."
        )
    with damage_named(path):
        if path.is_dir():
            files = {file.name: file for file in path.iterdir() if file.is_file()}
            batches = {name: _map(files[name]) for name in files if name in _names()}
            names = [files[name].read_bytes() for name in _NAMES_FILES if name in files]
            _refuse_pickles(path, set(files), batches)
        elif path.suffix == ".bin":
            beside = (path.with_name(name) for name in _NAMES_FILES)
            names = [file.read_bytes() for file in beside if file.is_file()]
            return _records(_map(path), names, path)
        else:
            batches, names = _unpack(path)
    wanted = _SPLITS[split or "train"]
    chosen = [batches[name] for name in sorted(batches) if name.startswith(wanted)]
    if not chosen:
        raise DataError(
            f"{path} holds no CIFAR batch for {split or 'train'}, only "
            f"{', '.join(sorted(batches)) or 'other files'}."
        )
    return _records(_joined(chosen, path), names, path)


def _names() -> tuple[str, ...]:
    batches = (f"data_batch_{number}.bin" for number in range(1, 6))
    return (*batches, "test_batch.bin", "train.bin", "test.bin")


def _is_pickled(names: set[str]) -> bool:
    """Recognise what CIFAR-10's and CIFAR-100's python versions hold."""
    return any(pickles <= names for pickles in _PICKLED)


def _map(path: Path) -> NDArray[np.uint8]:
    return map_bytes(path, 0, path.stat().st_size)


def _unpack(path: Path) -> tuple[dict[str, NDArray[np.uint8]], list[bytes]]:
    """Spill the batches of an archive, in one pass and whatever their order."""
    batches: dict[str, NDArray[np.uint8]] = {}
    names: list[bytes] = []
    seen: set[str] = set()
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            name = Path(member.name).name
            stream = archive.extractfile(member)
            if stream is None:
                continue
            seen.add(name)
            if name in _names():
                batches[name] = spill(chunks(stream), member.size, f"{name} in {path}")
            elif name in _NAMES_FILES:
                names.append(stream.read(CHUNK_BYTES))
    _refuse_pickles(path, seen, batches)
    return batches, names


def _refuse_pickles(
    path: Path, seen: set[str], batches: dict[str, NDArray[np.uint8]]
) -> None:
    if not batches and _is_pickled(seen):
        raise DataError(
            f"{path} is CIFAR's python version, pickles that could run any code; fetch "
            "the binary version (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz)."
        )


def _joined(batches: list[NDArray[np.uint8]], path: Path) -> NDArray[np.uint8]:
    """Lay several batches end to end on disk, so that they are one array."""
    if len(batches) == 1:
        return batches[0]
    return spill(_pieces(batches), sum(len(batch) for batch in batches), str(path))


def _pieces(batches: list[NDArray[np.uint8]]) -> Iterator[bytes]:
    for batch in batches:
        for start in range(0, len(batch), CHUNK_BYTES):
            yield batch[start : start + CHUNK_BYTES].tobytes()


def _records(raw: NDArray[np.uint8], names: list[bytes], path: Path) -> Arrays:
    """Split records into labels and planes; CIFAR-100's begin with two labels."""
    class_names = tuple(names[0].decode().split()) if names else None
    n_labels = _n_labels(len(raw), class_names, path)
    records = raw.reshape(-1, n_labels + _PIXEL_BYTES)
    planes = records[:, n_labels:].reshape(-1, 3, 32, 32)
    # CIFAR-100's second label is the fine one, of 100 classes.
    return Arrays(planes.transpose(0, 2, 3, 1), records[:, n_labels - 1], class_names)


def _n_labels(n_bytes: int, class_names: tuple[str, ...] | None, path: Path) -> int:
    fits = [labels for labels in (1, 2) if n_bytes % (labels + _PIXEL_BYTES) == 0]
    if class_names is not None:
        fits = [labels for labels in fits if (labels == 2) == (len(class_names) == 100)]
    if not fits or n_bytes == 0:
        raise DataError(
            f"{path} holds {n_bytes:,} bytes of batches, no whole number of CIFAR's "
            "records of 3,073 or 3,074 bytes; fetch it again."
        )
    return fits[0]
