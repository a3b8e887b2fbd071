"""Measures of clothes: garments seen from the front and shoes from the side, on black.

All work at 28x28. Rows and columns are those of the image, bands those of the object's
bounding box.
"""

import torch
import torch.nn.functional as F

from lfkit import feature
from lfkit.features.edges import sobel
from lfkit.features.gray import gray28, silhouette
from lfkit.features.shape import band_mean, band_width, bounding_box

shoulder_width = band_width("shoulder_width", 0.1, 0.3)
waist_width = band_width("waist_width", 0.4, 0.6)
hem_width = band_width("hem_width", 0.6, 0.8)
top_width = band_width("top_width", 0.0, 0.1)
foot_width = band_width("foot_width", 0.9, 1.0)


@feature(batched=True, of=[gray28, bounding_box])
def leg_gap(gray, box):
    """How dark the middle is between two bright sides, in the lower half: (n,)."""
    sides = torch.minimum(gray[:, :, :14].amax(dim=2), gray[:, :, 14:].amax(dim=2))
    depth = (sides - gray[:, :, 11:17].amin(dim=2)).clamp(min=0)  # (n, 28)
    return band_mean(depth, box, 0.5, 1.0)


@feature(batched=True, of=[silhouette])
def pieces(mask):
    """Pieces of the silhouette in each row, then in each column: (n, 56)."""
    across = (mask[:, :, 1:] > mask[:, :, :-1]).sum(dim=2) + mask[:, :, 0]
    down = (mask[:, 1:] > mask[:, :-1]).sum(dim=1) + mask[:, 0]
    return torch.cat([across, down], dim=1)


@feature(batched=True, of=[pieces, bounding_box])
def sleeve_gaps(found, box):
    """Share of the lower rows in three pieces, as sleeve, body, sleeve: (n,)."""
    return band_mean((found[:, :28] >= 3).to(found.dtype), box, 0.5, 0.95)


@feature(batched=True, of=[pieces])
def pieces_by_quarter(found):
    """Mean number of pieces in each quarter of the rows and columns: (n, 8)."""
    return found.view(-1, 8, 7).mean(dim=2)


@feature(batched=True, of=[shoulder_width, hem_width])
def sleeve_flare(shoulders, hem):
    """How much wider the garment is at the shoulders than at the hem: (n,)."""
    return shoulders - hem


@feature(
    batched=True, of=[top_width, shoulder_width, waist_width, hem_width, foot_width]
)
def widths(*bands):
    """Widths from the top to the foot: (n, 5)."""
    return torch.stack(bands, dim=1)


@feature(batched=True, of=[silhouette])
def reach(mask):
    """Share of each column below its highest silhouette pixel: (n, 28)."""
    return torch.cummax(mask, dim=1).values.mean(dim=1)


@feature(batched=True, of=[reach])
def shaft(height):
    """How much higher one side of the object stands than the other: (n,)."""
    return (height[:, :9].mean(dim=1) - height[:, 19:].mean(dim=1)).abs()


@feature(batched=True, of=[reach])
def top_line(height):
    """Height of the top in seven places from left to right: (n, 7)."""
    return height.view(-1, 7, 4).mean(dim=2)


@feature(batched=True, of=[reach])
def neck(height):
    """How much deeper the top's middle lies than the shoulders beside it: (n,)."""
    beside = torch.minimum(height[:, 7:11].amax(dim=1), height[:, 17:21].amax(dim=1))
    return beside - height[:, 12:16].mean(dim=1)


@feature(batched=True, of=[silhouette])
def underside(mask):
    """Share of each column above its lowest silhouette pixel: (n, 28)."""
    return torch.cummax(mask.flip(1), dim=1).values.mean(dim=1)


@feature(batched=True, of=[underside, bounding_box])
def flat_bottom(depth, box):
    """Share of the object's columns that stand on its lowest row: (n,)."""
    lowest = box[:, 2:3] / 28
    wide = (box[:, 3] - box[:, 1]).clamp(min=1)
    return (depth > lowest - 0.05).sum(dim=1) * (lowest[:, 0] > 0) / wide


@feature(batched=True, of=[reach, bounding_box])
def flat_top(height, box):
    """Share of the object's columns that reach its highest row: (n,)."""
    highest = 1 - box[:, 0:1] / 28
    wide = (box[:, 3] - box[:, 1]).clamp(min=1)
    return ((height > highest - 0.05) & (height > 0)).sum(dim=1) / wide


@feature(batched=True, of=[underside, bounding_box])
def arch(depth, box):
    """How high the sole's middle stands over its lowest point: (n,)."""
    return box[:, 2] / 28 - depth[:, 9:19].mean(dim=1)


@feature(batched=True, of=[gray28, bounding_box])
def collar(gray, box):
    """How much brighter the middle of the top is than the sides beside it: (n,)."""
    beside = torch.minimum(gray[:, :, 6:10].amax(dim=2), gray[:, :, 18:22].amax(dim=2))
    return band_mean(gray[:, :, 12:16].mean(dim=2) - beside, box, 0.0, 0.15)


@feature(batched=True, of=[sobel, bounding_box])
def front_opening(derivatives, box):
    """Upright edges down the middle against those beside it: (n,)."""
    upright = derivatives[:, 0].abs()  # (n, 28, 28)
    beside = (upright[:, :, 8:12].mean(dim=2) + upright[:, :, 16:20].mean(dim=2)) / 2
    return band_mean(upright[:, :, 12:16].mean(dim=2) - beside, box, 0.2, 0.95)


@feature(batched=True, of=[silhouette])
def inside(mask):
    """Pixels whose neighbors are all of the silhouette: (n, 28, 28), 0 or 1."""
    rows = F.pad(mask, (1, 1, 1, 1))
    rows = torch.minimum(torch.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return torch.minimum(
        torch.minimum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:]
    )


def mean_inside(maps, mask):
    """Average (n, 28, 28) maps over a mask: (n,), 0 without any."""
    return (maps * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2)).clamp(min=1)


@feature(batched=True, of=[gray28, inside])
def shade(gray, mask):
    """Mean and deviation of the brightness inside: (n, 2)."""
    mean = mean_inside(gray, mask)
    square = mean_inside(gray.square(), mask)
    return torch.stack([mean, (square - mean.square()).clamp(min=0).sqrt()], dim=1)


@feature(batched=True, of=[sobel, inside])
def weave(derivatives, mask):
    """Mean edge across and down inside, outlines not counted: (n, 2)."""
    right, below = derivatives.abs().unbind(dim=1)
    return torch.stack([mean_inside(right, mask), mean_inside(below, mask)], dim=1)


@feature(batched=True, of=[weave])
def stripes(edges):
    """How much more the stripes lie than stand: (n,) in [-1, 1]."""
    upright, lying = edges.unbind(dim=1)
    return (lying - upright) / (lying + upright + 0.02)


@feature(batched=True, of=[gray28, inside])
def shading_down(gray, mask):
    """Brightness inside of the upper, middle and lower third: (n, 3)."""
    rows = (gray * mask).sum(dim=2), mask.sum(dim=2)
    thirds = [part[:, :27].view(-1, 3, 9).sum(dim=2) for part in rows]
    return thirds[0] / thirds[1].clamp(min=1)


@feature(batched=True, of=[gray28, silhouette])
def shading_across(gray, mask):
    """Brightness of the left, middle and right of the silhouette: (n, 3)."""
    columns = (gray * mask).sum(dim=1), mask.sum(dim=1)
    thirds = [part[:, :27].view(-1, 3, 9).sum(dim=2) for part in columns]
    return thirds[0] / thirds[1].clamp(min=1)


@feature(batched=True, of=[gray28, bounding_box])
def sole(gray, box):
    """Brightness of the lowest tenth against the fifth above it: (n,)."""
    rows = gray.mean(dim=2)
    return band_mean(rows, box, 0.9, 1.0) - band_mean(rows, box, 0.7, 0.9)


@feature(batched=True, of=[silhouette])
def outer_ink(mask):
    """Amount and height of what lies in the outer six columns, as sleeves do: (n, 2).

    The height is the mean row, 0 at the top; .5 without anything there.
    """
    sides = mask[:, :, :6].sum(dim=2) + mask[:, :, 22:].sum(dim=2)  # (n, 28)
    amount = sides.sum(dim=1)
    place = torch.linspace(-0.5, 0.5, 28, device=mask.device)
    return torch.stack([amount / 336, 0.5 + sides @ place / amount.clamp(min=1)], dim=1)


@feature(batched=True, of=[silhouette])
def handle_gap(mask):
    """Empty part of the upper middle, under a handle or between straps: (n,)."""
    under = torch.cummax(mask, dim=1).values - mask  # background with ink above it
    return under[:, 2:14, 7:21].mean(dim=(1, 2))


@feature(batched=True, of=[silhouette])
def gaps(mask):
    """Background with ink above and below it, and left and right of it: (n, 2)."""
    above, below = _seen(mask, 1), _seen(mask.flip(1), 1).flip(1)
    left, right = _seen(mask, 2), _seen(mask.flip(2), 2).flip(2)
    empty = 1 - mask
    down = (above * below * empty).mean(dim=(1, 2))
    across = (left * right * empty).mean(dim=(1, 2))
    return torch.stack([down, across], dim=1)


def _seen(mask, dim):
    return torch.cummax(mask, dim=dim).values


@feature(batched=True, of=[silhouette])
def outline_asymmetry(mask):
    """Share of the silhouette without a mirror image left to right: (n,)."""
    unmatched = (mask - mask.flip(2)).abs().sum(dim=(1, 2))
    return unmatched / (2 * mask.sum(dim=(1, 2))).clamp(min=1)


@feature(batched=True, of=[silhouette])
def widest_row(mask):
    """Where half of the silhouette lies above, and where its widest rows are: (n, 2).

    Shares of the image's height.
    """
    ink = mask.sum(dim=2)
    total = ink.sum(dim=1, keepdim=True).clamp(min=1)
    place = torch.linspace(0, 1, 28, device=mask.device)
    broad = (ink / total * 28).square()
    median = (ink.cumsum(dim=1) < total / 2).sum(dim=1) / 28
    widest = broad @ place / broad.sum(dim=1).clamp(min=1e-6)
    return torch.stack([median, widest], dim=1)


@feature(batched=True, of=[silhouette, bounding_box])
def straight_sides(mask, box):
    """How much the left and the right side run in and out: (n, 2), image sides."""
    left = torch.cummax(mask, dim=2).values.sum(dim=2)
    right = torch.cummax(mask.flip(2), dim=2).values.sum(dim=2)
    spread = []
    for side in (left, right):
        mean = band_mean(side, box, 0.3, 0.95)
        square = band_mean(side.square(), box, 0.3, 0.95)
        spread.append((square - mean.square()).clamp(min=0).sqrt() / 28)
    return torch.stack(spread, dim=1)
