"""Features of a part of the image, or of a map made of it, instead of the image."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
import torch.nn.functional as F

from lfkit.features.feature import Feature, ancestors, feature
from lfkit.features.gray import SIDE, gray28


def seen_in(what: Feature, view: Feature, *, instead_of: Feature = gray28) -> Feature:
    """Make a feature that reads `view` where the given one reads the gray image.

    Everything between is computed anew from the view; what does not read the gray
    image stays as it is. Asked twice, the same feature comes back, so that functions
    share it.

    Parameters
    ----------
    view : a batched feature of the shape of `instead_of`.

    >>> from lfkit.features.hog import hog
    >>> seen_in(hog(cell=7), top_half)
    Feature hog7_of_top_half
    """
    return _seen_in(what, view, instead_of)


@cache
def _seen_in(what: Feature, view: Feature, instead_of: Feature) -> Feature:
    # All arguments by position: the cache takes f(a, b=c) and f(a, c) for two calls.
    if what is instead_of or view is instead_of:
        return view if what is instead_of else what
    if instead_of not in ancestors([what]):
        return what
    inputs = tuple(_seen_in(source, view, instead_of) for source in what.of)
    return replace(what, name=f"{what.name}_of_{view.name}", of=inputs)


def part(name: str, rows: tuple[float, float], columns: tuple[float, float]) -> Feature:
    """Make a view: a part of the image, enlarged to 28x28.

    Parameters
    ----------
    rows, columns : where it starts and ends, from 0 to 1.

    Returns
    -------
    (n, 28, 28) feature in [0, 1].
    """
    top, bottom = round(rows[0] * SIDE), round(rows[1] * SIDE)
    left, right = round(columns[0] * SIDE), round(columns[1] * SIDE)

    @feature(name=name, batched=True, of=[gray28])
    def cut_out(gray: torch.Tensor) -> torch.Tensor:
        """One part of the gray image, enlarged to 28x28."""
        piece = gray[:, None, top:bottom, left:right]
        return F.interpolate(piece, (SIDE, SIDE), mode="bilinear")[:, 0]

    return cut_out


top_half = part("top_half", (0, 0.5), (0, 1))
bottom_half = part("bottom_half", (0.5, 1), (0, 1))
left_half = part("left_half", (0, 1), (0, 0.5))
right_half = part("right_half", (0, 1), (0.5, 1))
centre = part("centre", (0.25, 0.75), (0.25, 0.75))


@feature(batched=True, of=[gray28])
def full_contrast(gray: torch.Tensor) -> torch.Tensor:
    """Stretch the brightness from the darkest to the brightest pixel: (n, 28, 28)."""
    low, high = gray.amin(dim=(1, 2), keepdim=True), gray.amax(dim=(1, 2), keepdim=True)
    return (gray - low) / (high - low).clamp(min=1e-3)


@feature(batched=True, of=[gray28])
def flattened(gray: torch.Tensor) -> torch.Tensor:
    """Brightness against that of the surroundings, shades removed: (n, 28, 28).

    The difference from the mean of 7x7 pixels around, in standard deviations there,
    squeezed into [0, 1]; .5 is even ground.
    """
    box = _box_matrix(gray.device)
    mean = box @ gray @ box.T
    square = box @ gray.square() @ box.T
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    return torch.sigmoid((gray - mean) / (deviation + 0.05))


@cache
def _box_matrix(device: torch.device) -> torch.Tensor:
    """Average of 7 pixels around each, the border repeated: (28, 28)."""
    place = torch.arange(SIDE)
    near = (place[:, None] + torch.arange(-3, 4)).clamp(0, SIDE - 1)  # (28, 7)
    counts = torch.nn.functional.one_hot(near, SIDE).sum(dim=1)
    return (counts / 7).to(device)
