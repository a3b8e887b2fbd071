"""The contract of a feature extractor: images in, rows of numbers out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class Extractor(ABC):
    """A frozen network by whose features images are compared.

    Scores by different extractors are never comparable, so its name and checksum
    travel with them.

    Attributes
    ----------
    name : what the user calls it.
    width : d, numbers per image.
    n_classes : of its own class probabilities; 0 if it has none.
    checksum : hex digest of its weights and of what is done to the images before.
    """

    name: str
    width: int
    n_classes: int
    checksum: str

    @property
    def title(self) -> str:
        """Name and the first eight digits of the checksum."""
        return f"{self.name}@{self.checksum[:8]}"

    @abstractmethod
    def __call__(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Look at (b, h, w, c) uint8: (b, d) features and (b, n_classes) probabilities.

        The latter are None where `n_classes` is 0.
        """
