"""SVHN, cropped digits: train_32x32.mat, test_32x32.mat, extra_32x32.mat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.datasets.array_source import Arrays, check_dtype
from lfkit.data.datasets.disk_cache import damage_named, spill
from lfkit.data.datasets.matlab import Matrix, read_matrices
from lfkit.errors import DataError


def is_svhn(path: Path) -> bool:
    """Recognise MATLAB files by their name."""
    return path.suffix.lower() == ".mat"


def open_svhn(path: Path, split: str | None) -> Arrays:
    """Open X (h, w, c, n) and y (n, 1) of a MATLAB file; label 10 is the digit 0."""
    if split is not None:
        raise DataError(f"{path} is one split; leave out ':{split}'.")
    images = labels = None
    with damage_named(path), path.open("rb") as file:
        for matrix in read_matrices(file, path):
            if matrix.name == "X":
                images = _images(matrix, path)
            elif matrix.name == "y":
                raw = np.frombuffer(b"".join(matrix.pieces), matrix.dtype)
                labels = raw.astype(np.int64) % 10
    if images is None:
        raise DataError(f"{path} has no variable X (h, w, c, n); SVHN's images are X.")
    return Arrays(images, labels, tuple("0123456789"))


def _images(matrix: Matrix, path: Path) -> NDArray[Any]:
    if matrix.dtype != np.uint8:
        sample = np.frombuffer(next(matrix.pieces, b""), matrix.dtype)
        check_dtype(sample, f"X in {path}")
    if len(matrix.shape) != 4:
        raise DataError(
            f"X in {path} has shape {matrix.shape}; it must be (h, w, c, n)."
        )
    flat = spill(matrix.pieces, matrix.n_bytes, f"X in {path}")
    h, w, c, n = matrix.shape
    # Column-major (h, w, c, n) is row-major (n, c, w, h): one image lies in one piece.
    return flat.reshape(n, c, w, h).transpose(0, 3, 2, 1)  # (n, h, w, c)
