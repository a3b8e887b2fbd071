"""The outline of the one object in an image: its box, widths, symmetry and contours."""

from __future__ import annotations

import torch

from lfkit.features.feature import Feature, feature
from lfkit.features.gray import SIDE, gray28, silhouette


@feature(batched=True, of=[silhouette])
def bounding_box(mask: torch.Tensor) -> torch.Tensor:
    """Top, left, bottom and right of the silhouette: (n, 4) in pixels of 28.

    Bottom and right are exclusive; an empty image gives zeros.
    """
    rows, columns = mask.amax(dim=2), mask.amax(dim=1)  # (n, 28)
    along = torch.arange(1, SIDE + 1, dtype=mask.dtype, device=mask.device)
    last = torch.stack([rows, columns], dim=1) * along  # (n, 2, 28)
    first = torch.stack([rows, columns], dim=1) * (SIDE + 1 - along)
    ends = last.amax(dim=2)
    starts = (SIDE - first.amax(dim=2)) * (ends > 0)
    return torch.cat([starts, ends], dim=1)


@feature(batched=True, of=[bounding_box])
def height(box: torch.Tensor) -> torch.Tensor:
    """Height of the silhouette as a share of the image: (n,)."""
    return (box[:, 2] - box[:, 0]) / SIDE


@feature(batched=True, of=[bounding_box])
def width(box: torch.Tensor) -> torch.Tensor:
    """Width of the silhouette as a share of the image: (n,)."""
    return (box[:, 3] - box[:, 1]) / SIDE


@feature(batched=True, of=[width, height])
def aspect(wide: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Width over height of the silhouette, 0 for an empty image: (n,)."""
    return wide / high.clamp(min=1 / SIDE)


@feature(batched=True, of=[silhouette, width, height])
def fill(mask: torch.Tensor, wide: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Share of the bounding box that the silhouette covers: (n,)."""
    return mask.mean(dim=(1, 2)) / (wide * high).clamp(min=1 / SIDE**2)


@feature(batched=True, of=[gray28])
def asymmetry(gray: torch.Tensor) -> torch.Tensor:
    """How much of the brightness has no mirror image left to right: (n,) in [0, 1]."""
    unmatched = (gray - gray.flip(2)).abs().sum(dim=(1, 2))
    return unmatched / (2 * gray.sum(dim=(1, 2))).clamp(min=1e-6)


@feature(batched=True, of=[gray28])
def centre_of_mass(gray: torch.Tensor) -> torch.Tensor:
    """Mean row and column of the brightness: (n, 2) in [-1, 1], (0, 0) if black."""
    along = torch.linspace(-1, 1, SIDE, device=gray.device)
    total = gray.sum(dim=(1, 2)).clamp(min=1e-6)
    row = gray.sum(dim=2) @ along / total
    column = gray.sum(dim=1) @ along / total
    return torch.stack([row, column], dim=1)


@feature(batched=True, of=[gray28, centre_of_mass])
def second_moments(gray: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Spread down, spread across, and slant of the brightness: (n, 3).

    Standard deviations in half image sides, and the covariance of row and column.
    """
    along = torch.linspace(-1, 1, SIDE, device=gray.device)
    weight = gray / gray.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    row, column = centre.unbind(dim=1)
    down = weight.sum(dim=2) @ along.square() - row.square()
    across = weight.sum(dim=1) @ along.square() - column.square()
    slant = ((weight @ along) @ along) - row * column
    spread = torch.stack([down, across], dim=1).clamp(min=0).sqrt()
    return torch.cat([spread, slant[:, None]], dim=1)


@feature(batched=True, of=[silhouette])
def outline(mask: torch.Tensor) -> torch.Tensor:
    """Widths by row, heights by column, left and top contours: (n, 4 * 28).

    Widths and heights count the silhouette's pixels; contours measure the way from the
    image's left (top) side to the silhouette, 1 where there is none. Unit: image sides.
    """
    left = torch.cummax(mask, dim=2).values.sum(dim=2)
    top = torch.cummax(mask, dim=1).values.sum(dim=1)
    profiles = [mask.sum(dim=2), mask.sum(dim=1), SIDE - left, SIDE - top]
    return torch.cat(profiles, dim=1) / SIDE


def band_width(name: str, start: float, stop: float) -> Feature:
    """Make a feature: the silhouette's mean extent in a band of its height.

    Parameters
    ----------
    name : of the feature.
    start, stop : the band, from 0 (top of the bounding box) to 1 (bottom).

    Returns
    -------
    (n,) feature: from the first to the last silhouette pixel of a row, as a share of
    the image's width, averaged over the band's rows; 0 for an empty image.
    """

    @feature(name=name, batched=True, of=[silhouette, bounding_box])
    def extent(mask: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
        """Mean width of one band of the silhouette."""
        reach = _reach(mask, dim=2) + _reach(mask.flip(2), dim=2) - SIDE
        return band_mean(reach.clamp(min=0) / SIDE, box, start, stop)

    return extent


def band_mean(
    rows: torch.Tensor, box: torch.Tensor, start: float, stop: float
) -> torch.Tensor:
    """Average (n, 28) values over the rows in a band of each bounding box: (n,)."""
    centre = torch.arange(SIDE, dtype=rows.dtype, device=rows.device) + 0.5
    top, tall = box[:, :1], (box[:, 2:3] - box[:, :1])
    within = (centre >= top + start * tall) & (centre < top + stop * tall)
    inside = within.to(rows.dtype)  # (n, 28)
    return (rows * inside).sum(dim=1) / inside.sum(dim=1).clamp(min=1)


def _reach(mask: torch.Tensor, *, dim: int) -> torch.Tensor:
    """Count pixels from the first silhouette pixel on to the border: (n, 28)."""
    after = torch.arange(SIDE, 0, -1, dtype=mask.dtype, device=mask.device)
    return (mask * after).amax(dim=dim)
