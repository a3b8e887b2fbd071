"""The contract of a rule: a threshold whose value weighs classes by a feature."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DeclarationError
from lfkit.features.feature import image
from lfkit.labeling.thresholds.threshold import Threshold


class Rule(Threshold):
    """A threshold whose value is a rule: feature values in, class weights out.

    A member writes `_learn`, which returns named arrays, and `_weigh`.
    """

    @property
    def value(self) -> Threshold:
        """The fitted rule itself: call it with the feature's values."""
        if self.learned is None:
            raise DeclarationError(
                f"{type(self).__name__} of feature {self.feature.name!r} has not been "
                "fitted; it needs seed labels."
            )
        return self.with_feature(image)  # a worker process need not load the feature

    def __call__(self, values: Any) -> Any:
        """Weigh the declared classes.

        Parameters
        ----------
        values : (n, ...) tensor, or one image's number or array.

        Returns
        -------
        (n, classes) tensor of weights, or (classes,) array for one image; a row of
        zeros abstains.
        """
        import torch

        if isinstance(values, torch.Tensor):
            return self._weigh(values.reshape(len(values), -1).to(torch.float32))
        # Given values may be read-only, which torch warns of: a copy.
        row = torch.as_tensor(np.array(values, np.float32)).reshape(1, -1)
        return self._weigh(row)[0].numpy()

    @abstractmethod
    def _weigh(self, values: Any) -> Any: ...

    def _tensors(self, values: Any) -> dict[str, Any]:
        """Give what was learned as tensors beside the values."""
        import torch

        assert self.learned is not None
        return {
            name: torch.as_tensor(array, device=values.device)
            for name, array in self.learned.items()
        }

    def _require_seeds(self, present: NDArray[np.bool_]) -> None:
        needed = min(2, len(present))
        if present.sum() < needed:
            raise DeclarationError(
                f"{type(self).__name__} of feature {self.feature.name!r} finds seed "
                f"images for {int(present.sum())} of its {len(present)} classes; it "
                f"needs at least {needed}."
            )

    def _require_share(self, name: str, share: float, *, most: float = 1) -> None:
        if not 0 <= share < most:
            raise DeclarationError(
                f"{type(self).__name__} needs 0 <= {name} < {most:g}, got "
                f"{name}={share}."
            )


def sure_only(proba: Any, scores: Any, margin: Any) -> Any:
    """Silence rows whose two best scores are closer than the margin."""
    import torch

    if scores.shape[1] == 1:
        return proba
    best = scores.topk(2, dim=1).values
    sure = (best[:, 0] - best[:, 1]) >= margin
    return torch.where(sure[:, None], proba, torch.zeros_like(proba))
