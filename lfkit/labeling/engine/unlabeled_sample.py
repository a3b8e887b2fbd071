"""A sample of images without labels, for features that learn what images look like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.vote_columns import originals

N_UNLABELED = 2048
_LEAST = 16
_MOST_PIXELS = 2**26  # of a sample read as images: 256 MB per channel in float32
_STREAM = 0x5A3B1E  # apart from all other draws of the same random_state


def draw_unlabeled(source: ImageSource, random_state: int) -> NDArray[np.int64]:
    """Draw up to 2,048 rows of a source, ascending; of copies the first only: (u,).

    Nobody looks at their labels, and seeds may be among them. Large images are fewer:
    64 megapixels in all, but 16.
    """
    distinct = np.unique(originals(source.keys))
    problems = list(source.known_problems)
    usable = np.setdiff1d(distinct, np.asarray(problems, np.int64))
    h, w = source.shape[:2]
    most = min(N_UNLABELED, max(_LEAST, _MOST_PIXELS // (h * w)))
    rng = np.random.default_rng([random_state, _STREAM])
    if len(usable) > most:
        usable = rng.choice(usable, most, replace=False)
    return np.sort(usable)
