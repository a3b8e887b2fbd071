"""Measures of a garment on a floor, a bed or a wall: its silhouette, edges and colors.

The garment is what differs from the border's median color by more than Otsu's cut, seen
at 28x28; parts of a background of several colors are taken for it.
"""

import torch
import torch.nn.functional as F

from lf_library import _fashion_features as outline
from lf_library._clip_art_features import rgb28
from lfkit import feature
from lfkit.features.color import border_color
from lfkit.features.image_parts import seen_in
from lfkit.features.moments import convexity
from lfkit.features.shape import aspect, height, second_moments


@feature(batched=True, of=[rgb28, border_color])
def off_background(rgb, border):
    """Distance of each pixel's color from the border's, smoothed: (n, 28, 28)."""
    far = (rgb - border[:, :, None, None]).square().sum(dim=1).sqrt()
    padded = F.pad(far[:, None], (1, 1, 1, 1), mode="replicate")
    return F.avg_pool2d(padded, 3, stride=1)[:, 0]


@feature(batched=True, of=[off_background])
def garment(far):
    """Pixels that stand out of the background: (n, 28, 28), 0 or 1.

    Otsu (1979), https://doi.org/10.1109/TSMC.1979.4310076: the cut between two groups
    of distances that has the largest variance between the groups.
    """
    values = far.flatten(1).sort(dim=1).values  # (n, 784)
    n = values.shape[1]
    below = values.cumsum(dim=1)
    n_low = torch.arange(1, n, device=far.device, dtype=far.dtype)
    n_high = n - n_low
    low = below[:, :-1] / n_low
    high = (below[:, -1:] - below[:, :-1]) / n_high
    between = n_low * n_high * (high - low).square()
    cut = values.gather(1, between.argmax(dim=1, keepdim=True))  # of the lower group
    return (far > cut[:, :, None]).to(far.dtype)


@feature(batched=True, of=[garment])
def area(mask):
    """Share of the image that the garment covers: (n,)."""
    return mask.mean(dim=(1, 2))


leg_gap = seen_in(outline.leg_gap, garment)
pieces = seen_in(outline.pieces_by_quarter, garment)
sleeve_gaps = seen_in(outline.sleeve_gaps, garment)
sleeve_flare = seen_in(outline.sleeve_flare, garment)
widths = seen_in(outline.widths, garment)
neck = seen_in(outline.neck, garment)
flat_top = seen_in(outline.flat_top, garment)
gaps = seen_in(outline.gaps, garment)
mirror_difference = seen_in(outline.outline_asymmetry, garment)
garment_aspect = seen_in(aspect, garment)
garment_height = seen_in(height, garment)
garment_spread = seen_in(second_moments, garment)
garment_convexity = seen_in(convexity, garment)
