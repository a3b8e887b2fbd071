# Fill in, and copy to: lfkit/data/datasets/raw_images.py
# Table FORMATS in lfkit/data/datasets/catalog.py, an import and one line (a format that
# is a folder goes before "folder", which takes every folder that is left):
#   from lfkit.data.datasets.raw_images import is_raw, open_raw
#       "raw": Format(".raw: a line 'n h w c', then the pixels", is_raw, open_raw),
# Check: python -m pytest tests/test_datasets.py -k table, and open a file of yours:
#        python -c "from lfkit.data.datasets import open_images; open_images('x.raw')"
"""Raw pixels behind one line of text that says how many: "n h w c"."""

from __future__ import annotations

import math
from pathlib import Path

from lfkit.data.datasets.array_source import Arrays
from lfkit.data.datasets.disk_cache import damage_named, map_bytes
from lfkit.errors import DataError


# Read as little as possible: every format is asked in turn about every path.
def is_raw(path: Path) -> bool:
    """Recognise raw images by the name of their file."""
    return path.suffix.lower() == ".raw"


# A user may write DATA:split; a format without splits refuses one. What is wrong with a
# file is a DataError of one sentence, which names the file.
def open_raw(path: Path, split: str | None) -> Arrays:
    """Map the pixels where they lie, (n, h, w, c) uint8; there are no labels."""
    if split is not None:
        raise DataError(f"{path} has no splits; leave out ':{split}'.")
    with damage_named(path), path.open("rb") as file:
        header = file.readline(200).split()
        if len(header) != 4 or not all(word.isdigit() for word in header):
            raise DataError(f"{path} does not start with a line 'n h w c'.")
        shape = tuple(map(int, header))
        start, n_bytes = file.tell(), math.prod(shape)
        n_held = path.stat().st_size - start
        if n_held != n_bytes:
            raise DataError(
                f"{path} holds {n_held:,} bytes of pixels, and its first line says "
                f"{n_bytes:,}; it is damaged, fetch it again."
            )
        pixels = map_bytes(path, start, n_bytes)
    # With labels: Arrays(images, labels (n,), class_names).
    return Arrays(pixels.reshape(shape))
