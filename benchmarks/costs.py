"""What each feature and each vote costs on one core."""

import time
from collections import defaultdict

import numpy as np
import torch

from lfkit.data.image_tensors import to_unit_range
from lfkit.features.feature import (
    BatchedEvaluator,
    ancestors,
    as_stored,
    batch_size,
    image,
)

_VOTE_BATCH = 1024  # as many rows as LFApplier gives a function


class Costs:
    """Times of a library's parts, on one core, in batches as LFApplier forms them.

    Times are the calling thread's on its core: call it within `one_thread`. What other
    programs do on the machine hardly counts.

    Parameters
    ----------
    features : batched and fitted.
    pixels : (n, h, w, c) uint8.
    n_kept : so many images' values are kept.

    Attributes
    ----------
    own : feature → seconds per image of it alone, its inputs given. `lfkit.image`
        stands for turning pixels into tensors.
    values : feature → (n_kept, ...) float32, of in-between features and `image` too.
    """

    def __init__(self, features, pixels, n_kept):
        size = min(batch_size(pixels.shape[1:]), len(pixels))
        order = ancestors(features)
        evaluate = BatchedEvaluator()
        times, kept = defaultdict(list), defaultdict(list)
        starts = range(0, len(pixels) - size + 1, size)
        for start in (0, *starts):  # the first batch again: it fills caches
            batch = pixels[start : start + size]
            tensors = {}
            tensors[image] = self._clock(times[image], lambda b=batch: to_unit_range(b))
            for node in order:
                inputs = [tensors[source] for source in node.of]
                tensors[node] = self._clock(
                    times[node],
                    lambda node=node, inputs=inputs: evaluate(node, inputs),
                )
            if len(times[image]) > 1:
                for node in (image, *order):
                    if sum(map(len, kept[node])) < n_kept:
                        kept[node].append(tensors[node].numpy())
        self._order = order
        self.own = {
            node: float(np.median(found[1:])) / size for node, found in times.items()
        }
        self.values = {
            node: np.concatenate(parts)[:n_kept] for node, parts in kept.items()
        }

    def _clock(self, times, work):
        start = time.thread_time()
        result = work()
        times.append(time.thread_time() - start)
        return result

    def whole(self, node):
        """Give seconds per image of a feature and all it is computed from."""
        return self.own[image] + sum(self.own[part] for part in ancestors([node]))

    @property
    def all_features(self):
        """Seconds per image of all features, pixels to tensors included."""
        return sum(self.own.values())

    def votes(self, lfs):
        """Give seconds per image of batched functions' votes, their features given."""
        total = 0.0
        for lf in lfs:
            if not lf.batched:
                continue
            stored = [self._repeated(node) for node in lf.features]
            keywords = lf.keywords
            times = []
            for _ in range(3):
                with torch.no_grad():
                    self._clock(
                        times,
                        lambda lf=lf, stored=stored, keywords=keywords: lf.fn(
                            *stored, **keywords
                        ),
                    )
            total += min(times) / _VOTE_BATCH
        return total

    def _repeated(self, node):
        """Fill a batch of votes with the values there are."""
        values = self.values[node]
        if node is not image:
            values = as_stored(values).astype(np.float32)
        return torch.from_numpy(values[np.arange(_VOTE_BATCH) % len(values)])
