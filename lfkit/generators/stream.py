"""Fresh generated images for a training loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.utils.data import IterableDataset, get_worker_info

from lfkit.errors import InputError
from lfkit.generators.generator import JointGenerator
from lfkit.generators.sampling import BLOCK


class GeneratedStream(IterableDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Yields batches of new images with their labels, without end or a given number.

    No batch of one pass is like another. Images, of the first domain where there are
    two, are float32 in [0, 1], (batch, c, h, w); labels are distributions over the
    classes, (batch, k). It is for a `torch.utils.data.DataLoader` with
    `batch_size=None`; several workers make the images of a single one, in another
    order.

    Parameters
    ----------
    generator : trained.
    batch : a divisor of 256: that many are made at a time.
    shares : (k,) how often each class is wanted; None: as often as it was learned.
    min_confidence : images below it are made again.
    n_batches : how many; None: no end.
    random_state : every pass over the stream gives the same images; another number
        gives others.

    >>> from torch.utils.data import DataLoader
    >>> for images, labels in DataLoader(GeneratedStream(gan), None):  # doctest: +SKIP
    ...     train_on(images, labels)
    """

    def __init__(
        self,
        generator: JointGenerator,
        batch: int = 64,
        *,
        shares: ArrayLike | None = None,
        min_confidence: float = 0.0,
        n_batches: int | None = None,
        random_state: int = 0,
    ) -> None:
        if batch < 1 or BLOCK % batch:
            raise InputError(
                f"batch is {batch}; give a divisor of {BLOCK}, such as 32 or 64."
            )
        k = len(generator.prior_)
        self.shares = None if shares is None else np.asarray(shares, np.float64)
        if self.shares is not None:
            wrong = self.shares.shape != (k,) or not np.isfinite(self.shares).all()
            if wrong or self.shares.min() < 0 or self.shares.sum() <= 0:
                raise InputError(
                    f"shares are {np.asarray(shares).tolist()}; give {k} numbers from "
                    "0 on, one for each class, and not all 0."
                )
            unknown = np.flatnonzero((self.shares > 0) & (generator.prior_ <= 0))
            if len(unknown):
                raise InputError(
                    f"shares ask for class {unknown[0]}, which cannot be generated: no "
                    "image it learned from had that label. Give it 0."
                )
        if n_batches is not None and n_batches < 1:
            raise InputError(f"n_batches is {n_batches}; give 1 or more, or None.")
        self.generator, self.batch, self.n_batches = generator, batch, n_batches
        self.min_confidence, self.random_state = min_confidence, random_state

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        worker = get_worker_info()
        number, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        end = np.inf if self.n_batches is None else self.n_batches * self.batch
        while number * BLOCK < end:
            made = self.generator.block(
                number,
                self._classes(number),
                random_state=self.random_state,
                min_confidence=self.min_confidence,
            )
            images = torch.from_numpy(made.images).permute(0, 3, 1, 2) / 255
            proba = torch.from_numpy(made.proba)
            for start in range(0, BLOCK, self.batch):
                if number * BLOCK + start < end:
                    part = slice(start, start + self.batch)
                    yield images[part], proba[part]
            number += step

    def _classes(self, number: int) -> np.ndarray | None:
        if self.shares is None:
            return None
        rng = np.random.default_rng([self.random_state, 11, number])
        return rng.choice(len(self.shares), BLOCK, p=self.shares / self.shares.sum())
