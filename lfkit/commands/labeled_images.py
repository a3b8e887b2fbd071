"""`LabeledImages`: the images of a run and their labels, to train a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lfkit.data.image_source import ImageSource
from lfkit.data.image_tensors import to_unit_range
from lfkit.errors import DataError, InputError
from lfkit.runs.run import load_run
from lfkit.runs.run_files import unreadable_rows

_Item = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class LabeledImages(Dataset[_Item]):
    """Images, soft labels and weights of a finished run, for a `DataLoader`.

    An item is an image, (c, h, w) float32 from 0 to 1; its label, (k,) float32
    probabilities of the classes; and its weight, a float32: the probability of the
    label that the run gave. Images are decoded when they are asked for, in each worker
    of the `DataLoader` by itself. No code of the run is loaded.

    Parameters
    ----------
    run : folder of `lfkit apply`.
    unlabeled : also give images without a label, with weight 0.
    transform : called on each image tensor, such as an augmentation.

    Attributes
    ----------
    class_names : the k classes, in the order of the probabilities.
    labels : (n,) classes of the items, -1 = no label.
    ids : the items' image ids.

    Raises
    ------
    InputError : the folder is no finished run, its images are no longer those it has
        labeled, or none of them has a label.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        unlabeled: bool = False,
        transform: Callable[[torch.Tensor], Any] | None = None,
    ) -> None:
        self.folder = Path(run).expanduser()
        self.transform = transform
        found = load_run(self.folder)
        self._source: ImageSource | None = found.open_images()
        labels = np.asarray(found.labels.labels, np.int64)
        wanted = np.ones(len(labels), bool) if unlabeled else labels >= 0
        wanted[unreadable_rows(found.index)] = False
        self._rows = np.flatnonzero(wanted)
        if not len(self._rows):
            raise InputError(
                f"{self.folder} has no labeled image that can be read; look at what "
                "`lfkit analyze` says of its functions."
            )
        self.class_names = found.config.class_names
        self.labels = labels[self._rows]
        names = found.index.column("image_id").to_pylist()
        self.ids = [names[row] for row in self._rows.tolist()]
        proba = found.labels.proba[self._rows]
        self._proba = torch.from_numpy(proba.astype(np.float32))
        own = proba[np.arange(len(proba)), np.maximum(self.labels, 0)]
        weights = np.where(self.labels >= 0, own, 0.0)
        self._weights = torch.from_numpy(weights.astype(np.float32))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, item: int) -> _Item:
        """Give an image, its soft label and its weight."""
        if not -len(self) <= item < len(self):
            raise IndexError(f"item {item} of {len(self)} labeled images")
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[int]) -> list[_Item]:
        """Give several items: a `DataLoader` asks for a batch at once."""
        chosen = np.asarray(items, np.int64)
        read = self._images().read(self._rows[chosen])
        for position, reason in read.problems.items():
            raise DataError(
                f"image {self.ids[items[position]]!r} of {self.folder} cannot be read: "
                f"{reason}; run `lfkit apply` again."
            )
        images = [*to_unit_range(read.pixels)]
        if self.transform is not None:
            images = [self.transform(image) for image in images]
        proba, weights = self._proba[chosen], self._weights[chosen]
        return list(zip(images, proba, weights, strict=True))

    def _images(self) -> ImageSource:
        """Open the images in this process, if it has not."""
        if self._source is None:
            self._source = load_run(self.folder).open_images()
        return self._source

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files and threads here: another process has its own."""
        return self.__dict__ | {"_source": None}
