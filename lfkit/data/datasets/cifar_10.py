"""CIFAR-10: color photographs of ten kinds of animals and vehicles, 32x32.

Krizhevsky (2009), Learning multiple layers of features from tiny images.
"""

from __future__ import annotations

from pathlib import Path

from lfkit.data.datasets.array_source import Arrays
from lfkit.data.datasets.cifar import open_cifar
from lfkit.data.datasets.named_folders import named_folders
from lfkit.errors import DataError

CLASS_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
FOLDER = "cifar-10-batches-bin"

_BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


def open_cifar_10(split: str | None) -> Arrays:
    """Open train, of the batches that are there and in their order, or test."""
    found = open_cifar(find_cifar_10(), split)
    return Arrays(found.images, found.labels, found.class_names or CLASS_NAMES)


def find_cifar_10() -> Path:
    """Give the first folder that has a batch; DataError says where one may be."""
    folders = named_folders(FOLDER)
    for folder in folders:
        if any((folder / name).is_file() for name in _BATCHES):
            return folder
    looked = f" in {', '.join(map(str, folders))}" if folders else ""
    raise DataError(
        f"cifar-10 was not found{looked}; set LFKIT_DATA to the folder that holds "
        f"{FOLDER}, which cifar-10-binary.tar.gz of "
        "https://www.cs.toronto.edu/~kriz/cifar.html unpacks to."
    )
