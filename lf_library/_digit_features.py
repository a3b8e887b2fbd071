"""Features of written digits: views that straighten them, bays, bars, ends, templates.

All read the gray image, bright strokes on black, so that `seen_in` can show them
another view of it.
"""

from functools import cache

import torch
import torch.nn.functional as F

from lfkit import feature
from lfkit.features.corners import skeleton
from lfkit.features.gray import SIDE, gray28, grid_means, ink
from lfkit.features.image_parts import seen_in
from lfkit.features.shape import bounding_box, centre_of_mass, second_moments

# A one is narrow: stretched to a square it would be a blot.
_LEAST_ASPECT = 0.6
# Half the height of the upright view, in standard deviations of the rows.
_REACH = 1.9
_STEEPEST = 1.0
_LEVELS = 7

LEFT, RIGHT, UP, DOWN, CLOSED = range(5)
"""The sides to which a bay opens; the first axis of `bays`."""


@feature(batched=True, of=[gray28, bounding_box])
def framed(gray, box):
    """The digit's bounding box stretched over the whole image: (n, 28, 28).

    A box less than .6 as wide as it is tall keeps ground at its sides.
    """
    top, left, bottom, right = box.unbind(dim=1)
    tall, middle = bottom - top, (left + right) / 2
    wide = torch.maximum(right - left, _LEAST_ASPECT * tall)
    down = _stretch(top, tall)
    across = _stretch(middle - wide / 2, wide)
    return down @ gray @ across.transpose(1, 2)


def _stretch(start, length):
    """Spread the pixels from start to start + length over 28: (n, 28, 28)."""
    line = torch.arange(SIDE, dtype=start.dtype, device=start.device)
    source = start[:, None] + (line + 0.5) / SIDE * length[:, None] - 0.5  # (n, 28)
    return (1 - (source[:, :, None] - line).abs()).clamp(min=0)


@feature(batched=True, of=[gray28, centre_of_mass, second_moments])
def upright(gray, centre, moments):
    """The digit with its slant removed, centred, all equally tall: (n, 28, 28).

    Sheared until row and column are uncorrelated, as LeCun et al. (1998),
    https://doi.org/10.1109/5.726791, deslant MNIST; 1.9 standard deviations of the rows
    reach from the middle to the top.
    """
    down, _, slant = moments.unbind(dim=1)
    shear = (slant / down.square().clamp(min=1e-4)).clamp(-_STEEPEST, _STEEPEST)
    scale = (_REACH * down).clamp(min=0.2)
    nothing = torch.zeros_like(scale)
    # grid_sample counts from the outer border, our moments from pixel centres.
    inner = (SIDE - 1) / SIDE
    row, column = inner * centre[:, 0], inner * centre[:, 1]
    to_source = torch.stack(
        [
            torch.stack([scale, shear * scale, column], dim=1),
            torch.stack([nothing, scale, row], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(to_source, [len(gray), 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(gray[:, None], grid, align_corners=False)[:, 0]


framed_ink = seen_in(ink, framed)


@feature(batched=True, of=[framed_ink])
def bays(mask):
    """Share of the frame in bays, by the side they open to and half: (n, 5, 2).

    A pixel of ground lies in a bay that opens to the left if there is ink above it,
    below it and to its right, but not to its left; CLOSED if there is ink on all four
    sides. Upper, then lower half of the framed digit.
    """
    ground = 1 - mask
    before = _before(mask.device)
    left, up = mask @ before, before.T @ mask  # pixels of ink on that side
    right = mask.sum(dim=2, keepdim=True) - left - mask
    down = mask.sum(dim=1, keepdim=True) - up - mask
    ink_at = [(side > 0).to(mask.dtype) for side in (left, right, up, down)]
    open_to = []
    for side in range(4):
        inside = ground
        for other, there in enumerate(ink_at):
            inside = inside * ((1 - there) if other == side else there)
        open_to.append(inside)
    open_to.append(ground * ink_at[0] * ink_at[1] * ink_at[2] * ink_at[3])
    maps = torch.stack(open_to, dim=1)  # (n, 5, 28, 28)
    return maps.view(len(mask), 5, 2, -1).mean(dim=3)


@cache
def _before(device):
    """Add up what lies before each pixel of a row, by a matrix: (28, 28)."""
    return torch.ones(SIDE, SIDE, device=device).triu(1)


@feature(batched=True, of=[bays])
def left_bays(areas):
    """How much opens to the left, above and below: (n, 2)."""
    return areas[:, LEFT]


@feature(batched=True, of=[bays])
def right_bays(areas):
    """How much opens to the right, above and below: (n, 2)."""
    return areas[:, RIGHT]


@feature(batched=True, of=[bays])
def open_above(areas):
    """How much opens upwards: (n,)."""
    return areas[:, UP].sum(dim=1)


@feature(batched=True, of=[bays])
def enclosed_above_and_below(areas):
    """How much has ink on all four sides, above and below: (n, 2)."""
    return areas[:, CLOSED]


@feature(batched=True, of=[framed])
def segments(gray):
    """How bright each segment of a seven-segment display is: (n, 7) in [0, 1].

    Top, upper left, upper right, middle, lower left, lower right, bottom. A lying
    segment is as bright as its brightest row, between the outer thirds; an upright one
    as the mean over its rows of the brightest pixel in the outer third.
    """
    inner = gray[:, :, 8:20].mean(dim=2)  # (n, 28)
    left, right = gray[:, :, :10].amax(dim=2), gray[:, :, 18:].amax(dim=2)
    lit = [
        inner[:, :7].amax(dim=1),
        left[:, 5:12].mean(dim=1),
        right[:, 5:12].mean(dim=1),
        inner[:, 9:19].amax(dim=1),
        left[:, 16:23].mean(dim=1),
        right[:, 16:23].mean(dim=1),
        inner[:, 21:].amax(dim=1),
    ]
    brightest = gray.amax(dim=(1, 2)).clamp(min=1e-3)
    return torch.stack(lit, dim=1) / brightest[:, None]


@feature(batched=True, of=[framed])
def dot_matrix(gray):
    """The framed digit at 7x5, without its mean, of length one: (n, 35)."""
    rows, columns = _averages(7, gray.device), _averages(5, gray.device)
    small = (rows @ gray @ columns.T).flatten(1)
    small = small - small.mean(dim=1, keepdim=True)
    return small / torch.linalg.vector_norm(small, dim=1, keepdim=True).clamp(min=1e-3)


@cache
def _averages(cells, device):
    """Average 28 pixels in overlapping cells, by a matrix: (cells, 28)."""
    line = (torch.arange(SIDE, device=device) + 0.5) / SIDE * cells
    centre = torch.arange(cells, device=device)[:, None] + 0.5
    weight = (1 - (line - centre).abs()).clamp(min=0)
    return weight / weight.sum(dim=1, keepdim=True)


def _contour(name, of, dim, flipped):
    """Make a feature of the way from one side of the frame to the ink: (n, 7)."""

    @feature(name=name, batched=True, of=[of])
    def way(mask):
        """Seven bands' mean way from one side of the frame to the ink: (n, 7)."""
        seen = mask.flip(dim) if flipped else mask
        towards = torch.arange(SIDE, 0, -1, dtype=mask.dtype, device=mask.device)
        along = towards if dim == 2 else towards[:, None]
        depth = SIDE - (seen * along).amax(dim=dim)  # (n, 28); 28 without ink
        return depth.view(len(mask), _LEVELS, -1).mean(dim=2) / SIDE

    return way


left_contour = _contour("left_contour", framed_ink, 2, flipped=False)
right_contour = _contour("right_contour", framed_ink, 2, flipped=True)
top_contour = _contour("top_contour", framed_ink, 1, flipped=False)
bottom_contour = _contour("bottom_contour", framed_ink, 1, flipped=True)


@feature(batched=True, of=[gray28])
def quadrants(gray):
    """Share of the ink in the four quarters, upper ones first: (n, 4)."""
    share = grid_means(gray, 2).flatten(1)
    return share / share.sum(dim=1, keepdim=True).clamp(min=1e-6)


@feature(batched=True, of=[skeleton])
def skeleton_neighbors(thin):
    """Neighbors of each pixel of the skeleton, 0 elsewhere: (n, 28, 28)."""
    padded = F.pad(thin, (1, 1, 1, 1))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] - thin
    return around * thin


@feature(batched=True, of=[skeleton_neighbors, centre_of_mass])
def ends_by_quarter(neighbors, centre):
    """Loose ends of strokes in each quarter around the centre of mass: (n, 4).

    Upper left, upper right, lower left, lower right.
    """
    ends = (neighbors == 1).to(neighbors.dtype)
    line = torch.linspace(-1, 1, SIDE, device=neighbors.device)
    below = (line > centre[:, :1]).to(ends.dtype)  # (n, 28)
    beyond = (line > centre[:, 1:]).to(ends.dtype)
    down = torch.stack([1 - below, below], dim=1)  # (n, 2, 28)
    across = torch.stack([1 - beyond, beyond], dim=2)
    return (down @ ends @ across).flatten(1)


@feature(batched=True, of=[skeleton_neighbors])
def junction_count(neighbors):
    """Pixels of the skeleton where three strokes or more meet: (n,)."""
    return (neighbors >= 3).sum(dim=(1, 2))


@feature(batched=True, of=[framed_ink])
def bars(mask):
    """Longest lying bar of ink above, in the middle and below: (n, 3).

    The largest share of a row's frame that is ink, in thirds of the height.
    """
    return mask.mean(dim=2)[:, :27].view(-1, 3, 9).amax(dim=2)


@feature(batched=True, of=[framed_ink])
def posts(mask):
    """Tallest post of ink at the left, in the middle and at the right: (n, 3)."""
    return mask.mean(dim=1)[:, :27].view(-1, 3, 9).amax(dim=2)


@feature(batched=True, of=[framed_ink])
def widest_row(mask):
    """Where the widest part is, from 0 (top) to 1 (bottom): (n,)."""
    towards = torch.arange(SIDE, 0, -1, dtype=mask.dtype, device=mask.device)
    reach = (mask * towards).amax(dim=2) + (mask.flip(2) * towards).amax(dim=2) - SIDE
    reach = reach.clamp(min=0) ** 4  # nearly the maximum, without jumps between rows
    line = torch.linspace(0, 1, SIDE, device=mask.device)
    return reach @ line / reach.sum(dim=1).clamp(min=1)
