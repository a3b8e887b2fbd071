"""A fitted library on one device: images in, votes out, nothing leaves the device.

What `LFApplier` does besides (reading, checks, isolating failures, storing) is left
out: this is how fast features and votes themselves are.
"""

import numpy as np
import torch

from lfkit import ABSTAIN
from lfkit.features.feature import WIDEST_FLOAT32, BatchedEvaluator, ancestors, image
from lfkit.labeling.thresholds.class_rule import Rule


class OnDevice:
    """Votes of batched, fitted labeling functions on one device.

    Parameters
    ----------
    batch : images at a time; on a GPU thousands, to be busy at all.
    """

    def __init__(self, lfs, device, *, batch):
        slow = [lf.name for lf in lfs if not lf.batched]
        if slow:
            raise ValueError(f"{slow[0]} takes one image at a time; it has no device.")
        self.device, self.batch = device, batch
        self._evaluate = BatchedEvaluator(device)
        self._order = ancestors(node for lf in lfs for node in lf.features)
        self._functions = [
            (
                lf,
                {k: _moved(value, device) for k, value in lf.keywords.items()},
                torch.tensor(sorted(lf.classes), device=device),
                np.argsort(lf.classes).tolist(),
            )
            for lf in lfs
        ]

    def __call__(self, images):
        """Vote on (n, c, h, w) uint8 images on the device: (n, m) int16 there."""
        parts = images.split(self.batch)
        return torch.cat([self._votes(part) for part in parts])

    @torch.no_grad()
    def _votes(self, images):
        tensors = {image: images.to(torch.float32).div_(255)}
        for node in self._order:
            inputs = [tensors[source] for source in node.of]
            tensors[node] = self._evaluate(node, inputs)
        stored = {
            node: _as_stored(tensors[node])
            for node in {node for lf, *_ in self._functions for node in lf.features}
        }
        columns = []
        for lf, keywords, classes, order in self._functions:
            votes = lf.fn(*(stored[node] for node in lf.features), **keywords)
            if lf.soft:
                total = votes.sum(dim=1, keepdim=True)
                shares = (votes / total.clamp(min=1e-30)).half()[:, order]
                votes = classes[shares.argmax(dim=1)]
                votes = torch.where(total[:, 0] > 0, votes, ABSTAIN)
            columns.append(votes.to(torch.int16))
        return torch.stack(columns, dim=1)


def _moved(value, device):
    """Keep what a rule has learned on the device, not copied for each batch."""
    if not isinstance(value, Rule):
        return value
    return value.with_learned(
        {
            key: torch.as_tensor(np.asarray(array), device=device)
            for key, array in value.learned.items()
        }
    )


def _as_stored(values):
    """Round as `lfkit.features.feature.as_stored` does."""
    return values if values[0].numel() <= WIDEST_FLOAT32 else values.half().float()
