"""Images beside a network that can be trained on them, at its own working size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.data.image_tensors import to_unit_range
from lfkit.encoders import Encoder
from lfkit.labeling.engine.feature_values import require_lasting
from lfkit.nn.compute import usual
from lfkit.nn.pretrained import Tuned

_READ_AT_ONCE = 256
_AT_ONCE = 64

Progress = Callable[[int, int], None]


class TunableImages:
    """Images, and a network whose last part can be trained on them.

    A view is an image, or its mirror image.

    Parameters
    ----------
    source : n images of any size.
    """

    def __init__(self, source: ImageSource, encoder: Encoder, device: str) -> None:
        self.source, self.encoder, self.device = source, encoder, device
        self.compute = usual(device, half=device != "cpu")

    def maps(
        self, rows: NDArray[np.int64], flip: bool, progress: Progress | None = None
    ) -> NDArray[np.float16]:
        """Give what the network's frozen part sees: (b, v, c, h, w), v views an image.

        Parameters
        ----------
        flip : there are two views of each.
        progress : called with the images done and all of them.
        """
        parts = []
        for start in range(0, len(rows), _READ_AT_ONCE):
            read = self.source.read(rows[start : start + _READ_AT_ONCE])
            require_lasting(bool(read.transient))
            images = to_unit_range(read.pixels, self.device)
            views = [images, images.flip(3)] if flip else [images]
            parts.append(np.stack([self._first_part(view) for view in views], axis=1))
            if progress is not None:
                progress(min(start + _READ_AT_ONCE, len(rows)), len(rows))
        return np.concatenate(parts)

    def new_network(self, n_classes: int) -> Tuned:
        """Make the network that training begins with, on the CPU."""
        last, (h, w, c) = self.encoder.last_part(), self.source.shape
        example = self._first_part(torch.zeros(1, c, h, w, device=self.device))
        with torch.no_grad():
            width = last(torch.from_numpy(example).float()).shape[1]
        return Tuned(last, width, n_classes)

    def log_posteriors(
        self,
        network: Tuned,
        rows: NDArray[np.int64],
        flip: bool,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Give what a trained network says of some images, (b, k)."""
        parts = [np.zeros((0, network.head.out_features))]
        for start in range(0, len(rows), _READ_AT_ONCE):
            maps = self.maps(rows[start : start + _READ_AT_ONCE], flip)
            parts.append(self.log_posteriors_of(network, maps))
            if progress is not None:
                progress(min(start + _READ_AT_ONCE, len(rows)), len(rows))
        return np.concatenate(parts)

    @torch.no_grad()
    def log_posteriors_of(
        self, network: Tuned, maps: NDArray[np.float16]
    ) -> NDArray[np.float64]:
        """Give what it says by (b, v, c, h, w) maps: the mean of the views, (b, k)."""
        network.to(self.device).eval()
        parts = []
        with self.compute.on_its_threads():
            for start in range(0, len(maps), _AT_ONCE):
                views = torch.from_numpy(maps[start : start + _AT_ONCE])
                order = self.compute.memory_format
                scores = [
                    network(view.contiguous(memory_format=order))
                    for view in views.to(self.device).float().unbind(1)
                ]
                mean = torch.stack(scores).mean(dim=0).double()
                parts.append(mean.log_softmax(dim=1).cpu().numpy())
        return np.concatenate(parts)

    def _first_part(self, images: torch.Tensor) -> NDArray[np.float16]:
        chunks = torch.split(images, self.encoder.at_once(images.device.type))
        found = [
            self.encoder.first_part(chunk).half().cpu().numpy() for chunk in chunks
        ]
        return np.concatenate(found)


def tunable(source: ImageSource, encoder: Encoder, device: str) -> TunableImages | None:
    """Put images beside a network that can be trained on them; None if it cannot."""
    return TunableImages(source, encoder, device) if encoder.is_tunable else None
