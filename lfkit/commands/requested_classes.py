"""Which classes `lfkit generate` draws images of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.commands.generate_options import GenerateOptions
from lfkit.errors import InputError
from lfkit.generators import JointGenerator
from lfkit.generators.sampling import BLOCK

_MOST_IMAGES = 1e12


def requested_classes(
    options: GenerateOptions, names: Sequence[str], generator: JointGenerator
) -> NDArray[np.int64] | None:
    """List the class of each image, to whole blocks; None: whatever is generated."""
    k = len(names)
    if not (options.classes or options.balanced or options.shares):
        if not generator.is_conditional:
            return None
        shares = generator.prior_
    else:
        unknown = [name for name in options.classes if name not in names]
        if unknown:
            raise InputError(
                f"there is no class {unknown[0]!r}; choose from {', '.join(names)}."
            )
        chosen = [names.index(name) for name in options.classes] or [
            label for label in range(k) if generator.prior_[label] > 0
        ]
        if options.shares and len(options.shares) != len(options.classes or names):
            raise InputError(
                f"--shares has {len(options.shares)} numbers for "
                f"{len(options.classes or names)} classes; give one each."
            )
        shares = np.zeros(k)
        if options.shares:
            chosen = [names.index(name) for name in options.classes or names]
            shares[chosen] = options.shares
        else:
            shares[chosen] = 1
        if not np.isfinite(shares).all() or shares.min() < 0 or shares.sum() <= 0:
            raise InputError("--shares must be numbers from 0 on, and not all 0.")
    unknowable = [
        names[label]
        for label in range(k)
        if shares[label] > 0 and generator.prior_[label] <= 0
    ]
    if unknowable:
        raise InputError(
            f"class {unknowable[0]!r} cannot be generated: no image was labeled so. "
            "Leave it out."
        )
    n_blocks = -(-options.n_images // BLOCK)
    return evenly(shares, n_blocks * BLOCK)


def evenly(shares: ArrayLike, n: int) -> NDArray[np.int64]:
    """List n classes so that every beginning has the shares, to within one image.

    The j-th image of a class with the share p is due at (j + 1/2) / p (Webster's
    method); n changes nothing of the beginning.
    """
    known = np.asarray(shares, np.float64) / np.sum(shares)
    known[known < 1 / _MOST_IMAGES] = 0  # never due
    counts = np.where(known > 0, np.ceil(known * n) + 1, 0).astype(np.int64)
    classes = np.repeat(np.arange(len(known)), counts)
    place = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    due = (place + 0.5) / known[classes]
    # Those due at the same time come in the order of the classes.
    return classes[np.lexsort((classes, due))][:n]
